"""The entries of some leaves, as replicas exchange them to find which ones differ.

What: ``Listing`` scans records and ghosts and keeps those whose leaf is wanted, as tuples ``Listed``.

Invariants: nothing is listed that leaves the tree, or expires for a reader, within ``NEAR_MS``: the other side may have
dropped it already. A value that leaves a tombstone is listed all the same, since value and tombstone count as equal.
Times are milliseconds; ``expire_ms`` is the instant, a whole second, at which the contribution leaves by itself.

Why a scan: a list of keys by leaf would cost every entry more than its tree does, and leaves that differ are few.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs
from pyroaring import BitMap

from dynacache.storage.contributions import (
    DELETED,
    LEAVES_TOMBSTONE,
    PREFIX_BITS,
    PREFIX_MASK,
    contribution,
    fingerprint,
    key_hash,
)
from dynacache.storage.ghost_shard import Ghost
from dynacache.storage.records import deleted_s, due_of, is_tombstone, read_times
from dynacache.storage.trees import Trees
from dynacache.versioning.layout import MANY

__all__ = ["GHOST", "NEAR_MS", "REAPED", "RESIDENT", "TOMB", "Listed", "Listing"]

RESIDENT, TOMB, GHOST, REAPED = range(4)
"""Kinds of a listed entry: a value held, a tombstone held, a value remembered, a tombstone remembered."""

NEAR_MS = 2_000
"""What leaves sooner than this is not listed."""

Listed = tuple[int, int, int, int, int, int, bytes | None]
"""(leaf, fingerprint, version hash, kind, time_ms, expire_ms or 0, key or None for a ghost)."""


@attrs.define(eq=False)
class Listing:
    """One scan. ``level`` is that of ``leaves``."""

    trees: Trees
    hash_seed: int
    grace_s: int
    level: int
    leaves: BitMap
    now_ms: int
    _listed: list[Listed] = attrs.field(init=False, factory=list)

    def records(self, entries: Mapping[bytes, bytes]) -> None:
        """Add those of a table."""
        shift = self.trees.prefix_shift
        drop, wanted = PREFIX_BITS - self.level, set(self.leaves)
        for key, record in entries.items():
            hashed = key_hash(key)
            prefix = hashed >> shift & PREFIX_MASK
            if prefix >> drop in wanted:
                self._add(key, record, hashed, prefix)

    def _add(self, key: bytes, record: bytes, hashed: int, prefix: int) -> None:
        version_hash = contribution(record, hashed ^ self.hash_seed)
        time, expire_ms = read_times(record)
        if is_tombstone(record):
            kind, ends_ms = TOMB, 1000 * (deleted_s(record) + self.grace_s)
        else:
            kind, ends_ms = RESIDENT, 0 if record[1] == MANY else 1000 * due_of(record)
        if not version_hash & LEAVES_TOMBSTONE or kind == TOMB:
            near_ms = self.now_ms + NEAR_MS
            if 0 < ends_ms <= near_ms or 0 < expire_ms <= near_ms:
                return
        leaf = prefix >> (PREFIX_BITS - self.level)
        self._listed.append((leaf, fingerprint(key, prefix), version_hash, kind, time >> 16, ends_ms, key))

    def ghosts(self, ghosts: Iterable[Ghost]) -> None:
        """Add those of a shard's ghosts."""
        drop, wanted, near_ms = 64 - self.level, set(self.leaves), self.now_ms + NEAR_MS
        for number, time, added, second in ghosts:
            if number >> drop not in wanted:
                continue
            if 0 < second * 1000 <= near_ms and (added & DELETED or not added & LEAVES_TOMBSTONE):
                continue
            kind = REAPED if added & DELETED else GHOST
            self._listed.append((number >> drop, number, added & ~DELETED, kind, time >> 16, second * 1000, None))

    def sorted(self) -> list[Listed]:
        """Return what was found, by leaf and fingerprint."""

        def place(listed: Listed) -> tuple[Any, ...]:
            return listed[:3]

        return sorted(self._listed, key=place)
