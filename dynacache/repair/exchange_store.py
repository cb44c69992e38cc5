"""What the exchange needs of the store, stated as a protocol.

What: digests of leaves, lists of what stands in them, merges and ghosts; ``storage.engine.Engine`` has all of it.

Invariant: digests and lists describe what was *witnessed*, whether it is still resident or only remembered, as of the
last ``sweep`` that returned True.

Why: packages of one rank never import each other, and the exchange can be tested against a store of a hundred lines.
"""

from array import array
from collections.abc import Sequence
from typing import Protocol

from pyroaring import BitMap

__all__ = ["GHOST", "REAPED", "RESIDENT", "TOMBSTONE", "WITNESSED", "ExchangeStore", "Ghost", "Listed"]

RESIDENT, TOMBSTONE, GHOST, REAPED = range(4)
"""Kinds of a listed entry: a value that is held, a tombstone, a value evicted, a tombstone reaped early."""

WITNESSED = 1
"""What ``merge_cold`` returns when a full store kept a ghost instead of the value."""

Listed = tuple[int, int, int, int, int, int, bytes | None]
"""Leaf, fingerprint, version hash, kind, time in milliseconds, millisecond at which it goes by itself (0 never), key
(of what is held)."""

Ghost = tuple[int, int, int, int, bool]
"""Fingerprint, version hash, hybrid time, second at which it goes (0 never), whether it stands for a tombstone."""


class ExchangeStore(Protocol):
    """The store of one node, partitions of the default namespace."""

    warming: BitMap
    stale: BitMap
    dirty: BitMap

    @property
    def roots(self) -> "array[int]":
        """Digests of partitions."""
        ...

    def take_changed(self) -> BitMap:
        """Return the ids (partition and prefix) changed since the last call."""
        ...

    def sweep(self, now_ms: int) -> bool:
        """Remove a bounded number of what is due; True when nothing that is due is left, so digests are comparable."""
        ...

    def tree_level(self, partition: int) -> int:
        """Return log2 of the leaves in use."""
        ...

    def leaf_digests(self, partition: int, level: int, leaves: Sequence[int]) -> "array[int]":
        """Return digests of leaves at ``level``; raises ValueError if that is above the tree's own."""
        ...

    def leaf_entries(self, partition: int, level: int, leaves: BitMap, now_ms: int) -> Sequence[Listed]:
        """Return what stands in some leaves, but for what goes within two seconds."""
        ...

    def admits(self) -> bool:
        """Tell whether there is room for what nobody here has asked for."""
        ...

    def room(self) -> bool | list[bytes]:
        """Tell the same, or of which keys there is none: by their prefixes."""
        ...

    def peek(self, partition: int, key: bytes) -> bytes | None:
        """Return the record as held."""
        ...

    def merge_cold(self, partition: int, key: bytes, record: bytes, now_ms: int) -> int:
        """Merge a record that repair brings; raises an error of the tree when it is refused."""
        ...

    def witness_many(self, partition: int, ghosts: Sequence[Ghost]) -> object:
        """Remember versions that are not held here. Pushes out no other ghost."""
        ...

    def drop_ghosts(self, partition: int, fingerprints: Sequence[int]) -> None:
        """Forget some ghosts."""
        ...

    def discard_older(self, partition: int, before_ms: int) -> None:
        """Drop what is older, with its context."""
        ...

    def discard_entries(self, partition: int, keys: Sequence[bytes], ghosts: Sequence[int], before_ms: int) -> None:
        """Drop what is older of some stored keys and some ghosts, with its context."""
        ...

    def clear(self, partition: int) -> None:
        """Drop everything of a partition without a trace."""
        ...
