"""What coordination needs of its neighbours, stated as protocols.

What: the store (``storage.engine``) and the hint store (``repair.hints``), as far as reads and writes use them.

Invariant: packages of one rank never import each other; ``node.core`` hands the real objects in.

Why: the coordinator can then be tested on a store of ten lines, and storage can change without it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pyroaring import BitMap

from dynacache.coordination.catalogue import Entry
from dynacache.errors import DynacacheError, NotReady
from dynacache.types import MissReason, NodeId

__all__ = [
    "CatalogueAlone",
    "CataloguePort",
    "CatalogueWaiter",
    "Completeness",
    "HintPort",
    "HintsToReplay",
    "KeptHint",
    "Repaired",
    "StorePort",
]


class Completeness(Protocol):
    """Which copies of this node may lack something.

    ``warming``: partitions being filled; ``stale``: those that have not met a complete owner for too long, so that they
    may lack deletions.
    """

    warming: BitMap
    stale: BitMap


class StorePort(Protocol):
    """Records of the partitions this node owns."""

    warming: BitMap
    stale: BitMap
    dirty: BitMap

    def get(self, partition: int, key: bytes, now_ms: int) -> bytes | None:
        """Return the record (live or tombstone) and mark it as used, None when there is none."""
        ...

    def peek(self, partition: int, key: bytes) -> bytes | None:
        """Return the record without marking it as used."""
        ...

    def put(self, partition: int, key: bytes, record: bytes) -> None:
        """Store a record; raises ``OutOfMemory`` before anything changed."""
        ...

    def merge(self, partition: int, key: bytes, incoming: bytes, now_ms: int) -> bytes | None:
        """Merge a record from elsewhere and return what is held now; raises ``OutOfMemory``."""
        ...

    def replace(self, partition: int, key: bytes, old: bytes, record: bytes) -> None:
        """Store a record in place of ``old``, which the caller has just peeked; raises ``OutOfMemory``."""
        ...

    def merge_newer(self, partition: int, key: bytes, incoming: object, now_ms: int) -> bool:
        """Merge a plain successor of what is held; False, and nothing done, for anything else."""
        ...

    def missing(self, partition: int, key: bytes) -> int | None:
        """Return why there is no record: None absent, else the evicted version's time (0 not remembered)."""
        ...

    def why_gone(self, partition: int, key: bytes) -> MissReason:
        """Return why a key is not found that has left neither tombstone nor ghost, as far as is remembered."""
        ...

    def live(self, partition: int) -> Mapping[bytes, bytes]:
        """Return the entries of a partition that are no tombstones, some of which may have expired."""
        ...

    def left(self, key: bytes, record: bytes) -> bytes | None:
        """Return what invalidations leave of a record: the record itself, a smaller one, or None for nothing."""
        ...

    def ended_until(self, key: bytes, tags: tuple[bytes, ...]) -> int:
        """Return up to which hybrid time values of a key with these tags have been invalidated, 0 for never."""
        ...

    def superseded_before(self, partition: int, key: bytes) -> int | None:
        """Return the hybrid time below which a version of a key that is not held was overwritten, deleted or expired
        here; None when nothing of the kind is remembered."""
        ...


class HintPort(Protocol):
    """Records kept for owners that are away."""

    def add(self, target: NodeId, partition: int, key: bytes, record: bytes, now_ms: int, *, counted: bool) -> bool:
        """Keep a record for ``target``; False when the budget refuses it."""
        ...

    total_bytes: int

    def refresh(self, key: bytes, record: bytes) -> None:
        """Bring the hints of a key up to a record that this node has taken."""
        ...

    def find(self, key: bytes) -> bytes | None:
        """Return the record held for whichever absent owner of ``key``, None when there is none."""
        ...


class KeptHint(Protocol):
    """One hint as replay sees it."""

    partition: int
    record: bytes
    stored_ms: int
    counted: bool
    queued: bool


class HintsToReplay(Protocol):
    """What replay needs of the hint store."""

    def targets(self) -> list[NodeId]:
        """Return the owners for whom hints are kept."""
        ...

    def keys(self, target: NodeId) -> list[bytes]:
        """Return the keys of a target's hints, oldest first."""
        ...

    def get(self, target: NodeId, key: bytes) -> KeptHint | None:
        """Return one hint, None if there is none."""
        ...

    def batch(self, target: NodeId, count: int, size_bytes: int) -> Sequence[tuple[bytes, KeptHint]]:
        """Return the oldest hints for ``target``."""
        ...

    def ending(self, now_ms: int, before_end_ms: int, count: int) -> Sequence[tuple[NodeId, bytes, KeptHint]]:
        """Return hints that have at most ``before_end_ms`` left to live and are not queued."""
        ...

    def delivered(self, target: NodeId, key: bytes, record: bytes) -> bool:
        """Remove a hint if it still is the record that was delivered."""
        ...

    def remove(self, target: NodeId, key: bytes) -> None:
        """Remove a hint."""
        ...

    def summary(self, now_ms: int) -> list[dict[str, Any]]:
        """Return count, bytes and age of the oldest of each target's hints."""
        ...


class Repaired(Protocol):
    """Whoever waits for a repair."""

    def repaired(self, reached: bool) -> None:
        """Take note whether enough replicas hold the record now."""
        ...


class CatalogueWaiter(Protocol):
    """Whoever must know a peer's part of the catalogue before it goes on."""

    def caught_up(self, reached: bool) -> None:
        """Go on; ``reached`` is False when the peer could not be asked."""
        ...


class CataloguePort(Protocol):
    """The catalogue's protocol (``node.catalogue_sync``)."""

    def is_behind(self, node_id: NodeId, sequence: int) -> bool:
        """Tell whether a peer has changes up to ``sequence`` that were not pulled yet."""
        ...

    def wait(self, node_id: NodeId, sequence: int, waiter: CatalogueWaiter) -> None:
        """Call the waiter once, later, when that much was pulled, or cannot be."""
        ...

    def change(
        self,
        entries: Sequence[Entry],
        level: int,
        timeout_ms: int,
        finished: Callable[[DynacacheError | None], None],
    ) -> None:
        """Set entries here and everywhere; ``finished`` is called once with None when the level is reached, else with
        what stands in its way (the change is kept and spreads on). Raises an error of the tree with nothing changed."""
        ...


class CatalogueAlone:
    """The port of a node that knows no peers."""

    def is_behind(self, node_id: NodeId, sequence: int) -> bool:
        """Nobody has anything."""
        return False

    def wait(self, node_id: NodeId, sequence: int, waiter: CatalogueWaiter) -> None:
        """Never asked for."""
        raise NotReady("this node knows no peers")

    def change(
        self,
        entries: Sequence[Entry],
        level: int,
        timeout_ms: int,
        finished: Callable[[DynacacheError | None], None],
    ) -> None:
        """Nothing can be changed."""
        raise NotReady("this node knows no peers")
