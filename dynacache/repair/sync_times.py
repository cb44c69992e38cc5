"""When each of this node's copies last agreed with another complete one, and which have been without that too long.

What: for every partition the start of the last exchange with a complete, not stale owner in which everything that
differed was resolved. A copy for which that is longer ago than ``STALE_SHARE`` of the grace limit is *stale*.

Invariant: a copy becomes stale before any tombstone that it has missed may have been reaped at the grace limit
elsewhere, so it never serves or spreads a value whose delete everybody else has forgotten. A partition with no other
owner, or still warming, does not become stale.

Why the start and not the end: what was written during the exchange may have missed it. Why one other owner is enough:
a delete is on W owners, so among N - W + 1 = 2 of three, this copy and that one, at least one holds it (brief R2.6;
model-checked before it was built, where every variant of these rules resurrected or lost something).
"""

from array import array

import attrs
from pyroaring import BitMap

__all__ = ["STALE_SHARE", "SyncTimes"]

STALE_SHARE = 0.8
"""Part of the grace limit after which a copy that has not synced is stale."""


@attrs.define(eq=False)
class SyncTimes:
    """Sync times in hybrid milliseconds by partition. ``next_due_ms`` is when ``overdue`` may find something next."""

    grace_ms: int
    times_ms: "array[int]"
    next_due_ms: int

    @classmethod
    def since(cls, now_ms: int, partition_count: int, grace_ms: int) -> "SyncTimes":
        """Return times for copies that are complete (or warming) at ``now_ms``."""
        limit_ms = int(grace_ms * STALE_SHARE)
        return cls(grace_ms, array("Q", [now_ms]) * partition_count, now_ms + limit_ms)

    def extend(self, count: int, now_ms: int) -> None:
        """Let there be ``count`` partitions; those that are new are complete (or warming) as of now."""
        more = count - len(self.times_ms)
        if more > 0:
            self.times_ms.extend([now_ms] * more)
            self.next_due_ms = min(self.next_due_ms, now_ms + self.limit_ms)

    @property
    def limit_ms(self) -> int:
        """How long a copy may be without a sync."""
        return int(self.grace_ms * STALE_SHARE)

    def synced(self, partition: int, at_ms: int) -> None:
        """Take note of an exchange that began at ``at_ms``."""
        if at_ms > self.times_ms[partition]:
            self.times_ms[partition] = at_ms

    def synced_all(self, partitions: BitMap, at_ms: int) -> None:
        """Take note of an exchange over many partitions."""
        times_ms = self.times_ms
        for partition in partitions:
            if at_ms > times_ms[partition]:
                times_ms[partition] = at_ms

    def completed(self, partition: int, at_ms: int) -> None:
        """Take note that a copy that was warming or stale is judged again: it is complete as of ``at_ms``, which may be
        before the time that stood in for its sync meanwhile."""
        self.times_ms[partition] = at_ms
        self.next_due_ms = min(self.next_due_ms, at_ms + self.limit_ms + 1)

    def set_back(self, now_ms: int) -> None:
        """Take note that the clock had run ahead: no sync was later than now."""
        for partition, at_ms in enumerate(self.times_ms):
            if at_ms > now_ms:
                self.times_ms[partition] = now_ms
        self.next_due_ms = now_ms

    def overdue(self, shared: BitMap, unjudged: BitMap, now_ms: int) -> BitMap:
        """Return which of the partitions ``shared`` with other owners have been without a sync for too long.

        Copies that are ``unjudged`` (warming, or stale already) start anew: whoever completes them says since when.
        """
        times_ms, before_ms = self.times_ms, now_ms - self.limit_ms
        oldest_ms = now_ms
        found = BitMap()
        for partition in shared:
            if partition in unjudged:
                times_ms[partition] = now_ms
            elif times_ms[partition] < before_ms:
                found.add(partition)
            elif times_ms[partition] < oldest_ms:
                oldest_ms = times_ms[partition]
        self.next_due_ms = oldest_ms + self.limit_ms + 1
        return found
