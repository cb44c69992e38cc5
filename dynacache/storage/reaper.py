"""When tombstones go: early once every owner is known to hold them, else at the grace limit.

What: for every shard the reaper keeps the earliest second at which a tombstone leaves by the clock and the earliest
instant at which one is worth looking at. ``sweep`` walks the shards that are due, a bounded number of tombstones at a
time; ``examine`` sorts those of one shard into what stays, what leaves, and what may be reaped early.

Invariants: a tombstone leaves at ``deleted_s + grace_s``, the same second on every replica, and not while its partition
is held (warming or stale). Early goes only what is older than ``grace_min_ms`` and confirmed, and never of a held
partition. Sweeps start at most every ``interval_ms``; what is held or not confirmed is looked at again after
``retry_ms``.

Why a sweep and not the wheel: tombstones are few and live for long, so that half a minute more is nothing, while a
place in the wheel would cost each as much again as its dictionary slot. Brief R2.2, R2.3, R2.6; DESIGN section 8.
"""

from array import array
from collections.abc import Callable, Mapping

import attrs
from pyroaring import BitMap

from dynacache.storage.records import deleted_ms, deleted_s
from dynacache.storage.tables import TableSet

__all__ = ["HELD_RETRY_MS", "SHARD_REAPER_BYTES", "SWEEP_INTERVAL_MS", "Reaper", "never"]

SWEEP_INTERVAL_MS = 10_000
"""Least time between the starts of two sweeps, unless the grace is so short that a sixteenth of it is less."""

HELD_RETRY_MS = 60_000
"""After this long, or a quarter of the least grace if that is less, a tombstone that had to stay is looked at again."""

SHARD_REAPER_BYTES = 16
"""What the reaper keeps of every shard."""

_NEVER = 2**63


def never(shard: int, key: bytes) -> bool:
    """Confirm no tombstone."""
    return False


@attrs.define(eq=False)
class Reaper:
    """The state of the sweep. ``next_ms`` is the earliest instant at which there may be work, None without any."""

    grace_min_ms: int
    grace_max_ms: int
    next_ms: int | None = None
    _looks_ms: "array[int]" = attrs.field(factory=lambda: array("Q"))
    _departures_s: "array[int]" = attrs.field(factory=lambda: array("Q"))
    _left: list[int] = attrs.field(factory=list)

    @property
    def grace_s(self) -> int:
        """Whole seconds for which a tombstone is kept at most."""
        return -(-self.grace_max_ms // 1000)

    @property
    def interval_ms(self) -> int:
        """Least time between two sweeps."""
        return max(1, min(SWEEP_INTERVAL_MS, self.grace_min_ms // 16))

    @property
    def retry_ms(self) -> int:
        """Time after which a tombstone that had to stay is looked at again."""
        return max(1, min(HELD_RETRY_MS, self.grace_min_ms // 4))

    def extend(self, shards: int) -> None:
        """Make room for ``shards`` more shards."""
        self._looks_ms.extend([_NEVER] * shards)
        self._departures_s.extend([_NEVER] * shards)

    def note(self, shard: int, record: bytes) -> None:
        """Take account of a tombstone that was stored."""
        departure_s = deleted_s(record) + self.grace_s
        look_ms = min(departure_s * 1000, deleted_ms(record) + self.grace_min_ms)
        if departure_s < self._departures_s[shard]:
            self._departures_s[shard] = departure_s
        if look_ms < self._looks_ms[shard]:
            self._looks_ms[shard] = look_ms
        if self.next_ms is None or look_ms < self.next_ms:
            self.next_ms = look_ms

    def is_due(self, shard: int, now_s: int) -> bool:
        """Tell whether a tombstone of a shard may have to leave by the clock."""
        return self._departures_s[shard] <= now_s

    def due_shards(self, now_s: int) -> list[int]:
        """Return the shards in which a tombstone may have to leave by the clock."""
        departures_s = self._departures_s
        if min(departures_s) > now_s:
            return []
        return [shard for shard, departure_s in enumerate(departures_s) if departure_s <= now_s]

    def sweep(
        self,
        tombstones: TableSet,
        now_ms: int,
        count: int,
        held: tuple[BitMap, ...],
        confirmed: Callable[[int, bytes], bool] = never,
    ) -> tuple[list[tuple[int, bytes, bool]], int]:
        """Look at about ``count`` tombstones; return (those to drop now as (shard, key, whether early), how many were
        looked at). ``confirmed`` takes shard and key."""
        if not self._left:
            if self.next_ms is None or now_ms < self.next_ms:
                return [], 0
            self._left = [shard for shard, look_ms in enumerate(self._looks_ms) if look_ms <= now_ms]
            self._left.reverse()
        dropped: list[tuple[int, bytes, bool]] = []
        looked = 0
        while self._left and looked < count:
            shard = self._left.pop()
            entries = tombstones.tables[shard].entries
            looked += len(entries)
            dropped += self.examine(shard, entries, now_ms, held, confirmed)
        if self._left:
            self.next_ms = now_ms
        else:
            earliest_ms = min(self._looks_ms)
            self.next_ms = None if earliest_ms == _NEVER else max(earliest_ms, now_ms + self.interval_ms)
        return dropped, looked

    def examine(
        self,
        shard: int,
        entries: Mapping[bytes, bytes],
        now_ms: int,
        held: tuple[BitMap, ...],
        confirmed: Callable[[int, bytes], bool] = never,
    ) -> list[tuple[int, bytes, bool]]:
        """Return what is to be dropped of one shard, and plan when to look at the rest."""
        is_held = any(shard in partitions for partitions in held)
        now_s, retry_ms = now_ms // 1000, now_ms + self.retry_ms
        next_look_ms = next_departure_s = _NEVER
        dropped: list[tuple[int, bytes, bool]] = []
        for key, record in entries.items():
            departure_s = deleted_s(record) + self.grace_s
            look_ms = min(departure_s * 1000, deleted_ms(record) + self.grace_min_ms)
            if look_ms <= now_ms:
                is_late = departure_s <= now_s
                if not is_held and (is_late or confirmed(shard, key)):
                    dropped.append((shard, key, not is_late))
                    continue
                look_ms = retry_ms if is_late else min(retry_ms, departure_s * 1000)
            next_look_ms = min(next_look_ms, look_ms)
            next_departure_s = min(next_departure_s, departure_s)
        self._looks_ms[shard], self._departures_s[shard] = next_look_ms, next_departure_s
        return dropped
