"""What transfers need of the store and of the rest of the node, stated as protocols.

What: ``TransferStore`` is the engine as far as partitions are copied out of it and into it; ``SnapshotPages`` one
partition's content at one moment.

Invariant: packages of one rank never import each other; the node hands the real objects in.

Why a snapshot and not a walk over the leaves: the list of a partition's keys is a copy of some thousand references, and
what changes meanwhile is written to the puller as well, which owns the partition by then.
"""

from collections.abc import Callable
from typing import Protocol

from pyroaring import BitMap

from dynacache.types import NodeId

__all__ = ["REFUSED", "Ended", "Fresh", "HintsFor", "SnapshotPages", "TransferStore"]

REFUSED = 2
"""What ``merge_cold`` returns where there was no room for a value, nor for its ghost."""

Fresh = Callable[[int, bytes, bytes], bytes | None]
"""(partition, key, record) -> what of the record was not superseded by something this node has witnessed and no longer
holds; None when nothing is left of it."""

HintsFor = Callable[[NodeId], int]
"""How many hints this node keeps for another one."""

Ended = Callable[[int, int], None]
"""(partition, since_ms): a partition is complete; by the hybrid clock its first copy was begun at ``since_ms``."""


class SnapshotPages(Protocol):
    """The content of a partition when the snapshot was made, without what is gone by the time of a page."""

    def page(self, cursor: int, limit_bytes: int) -> tuple[list[bytes], bytes, int | None]:
        """Return [key, record, ...] without local marks, ghosts, and the next cursor (None: nothing follows).

        At least one record, whatever its size, if one is left. The first cursor is 0; asking twice answers twice.
        """
        ...


class TransferStore(Protocol):
    """The store of one node."""

    warming: BitMap
    stale: BitMap

    def root(self, partition: int) -> int:
        """Return the XOR of the hashes of everything that a partition holds or has witnessed."""
        ...

    def snapshot(self, partition: int) -> SnapshotPages:
        """Return the content of a partition at this moment."""
        ...

    def merge_cold(self, partition: int, key: bytes, record: bytes, now_ms: int) -> int:
        """Merge a record, or only its ghost while memory is full, or nothing of it (``REFUSED``); raises an error of
        the tree, OutOfMemory when a delete does not fit."""
        ...

    def take_ghosts(self, partition: int, ghosts: bytes) -> None:
        """Take what another copy remembers of what it evicted or reaped; malformed: ValueError, and nothing taken."""
        ...

    def remembers(self, partition: int) -> bool:
        """Tell whether a value is remembered here that is not held."""
        ...

    def has_forgotten(self, partition: int) -> bool:
        """Tell whether a miss may be an eviction that is not remembered."""
        ...

    def note_forgotten(self, partition: int) -> None:
        """Take note that a source has forgotten evictions."""
        ...

    def discard_older(self, partition: int, before_ms: int) -> None:
        """Forget every version minted before, with its context."""
        ...
