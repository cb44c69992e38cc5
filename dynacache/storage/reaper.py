"""When tombstones go: at the grace limit, found by sweeping in slices.

What: the engine notes every tombstone it stores; the reaper keeps the earliest instant at which one may go, and from
then on walks the tombstones shard by shard, a bounded number at a time, naming those whose age passed the limit.

Invariants: nothing younger than the limit is named, nothing of a partition that is held (warming or stale). A sweep
starts at most every ``SWEEP_INTERVAL_MS``; an overdue tombstone is named within one sweep after it is no longer held.

Why a sweep and not the wheel: tombstones are few and live for a day, so a minute more is nothing, while a place in
the wheel would cost each as much again as its dictionary slot. Early reaping, once all owners are known to hold a
tombstone, joins with anti-entropy. Brief R2.2, R2.3, R2.6; DESIGN section 8.
"""

import attrs
from pyroaring import BitMap

from dynacache.storage.records import deleted_ms
from dynacache.storage.tables import TableSet

__all__ = ["HELD_RETRY_MS", "SWEEP_INTERVAL_MS", "Reaper"]

SWEEP_INTERVAL_MS = 10_000
"""Least time between the starts of two sweeps."""

HELD_RETRY_MS = 60_000
"""After this long an overdue tombstone of a held partition is looked at again."""


@attrs.define(eq=False)
class Reaper:
    """The state of the sweep. ``next_ms`` is the earliest instant at which there may be work, None without any."""

    grace_ms: int
    partition_count: int
    next_ms: int | None = None
    _left: list[int] = attrs.field(factory=list)

    def note(self, record: bytes) -> None:
        """Take account of a tombstone that was stored."""
        due_ms = deleted_ms(record) + self.grace_ms
        if self.next_ms is None or due_ms < self.next_ms:
            self.next_ms = due_ms

    def sweep(
        self, tombstones: TableSet, now_ms: int, count: int, held: tuple[BitMap, ...]
    ) -> tuple[list[tuple[int, bytes]], int]:
        """Look at about ``count`` tombstones; return (those to drop now as (shard, key), how many were looked at)."""
        if not self._left:
            if self.next_ms is None or now_ms < self.next_ms:
                return [], 0
            self._left, self.next_ms = sorted(tombstones.occupied, reverse=True), None
        dropped: list[tuple[int, bytes]] = []
        looked = 0
        while self._left and looked < count:
            shard = self._left.pop()
            partition = shard % self.partition_count
            is_held = any(partition in partitions for partitions in held)
            entries = tombstones.tables[shard].entries
            looked += len(entries)
            for key, record in entries.items():
                if deleted_ms(record) + self.grace_ms > now_ms:
                    self.note(record)
                elif is_held:
                    self._not_before(now_ms + HELD_RETRY_MS)
                else:
                    dropped.append((shard, key))
        if self._left:
            self.next_ms = now_ms
        elif self.next_ms is not None:
            self.next_ms = max(self.next_ms, now_ms + SWEEP_INTERVAL_MS)
        return dropped, looked

    def _not_before(self, due_ms: int) -> None:
        self.next_ms = due_ms if self.next_ms is None else min(self.next_ms, due_ms)
