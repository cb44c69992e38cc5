"""Who goes when memory is full: a port, and two policies behind it.

What: the engine tells a policy what is read, inserted and removed, and asks it for a victim. ``LeastRecentlyUsed``
keeps one 16-bit tick for every slot of a fixed array; an entry's slot is a hash of its key. Reading an entry writes
the present tick there and moves nothing. For a victim it draws ``DRAW_COUNT`` shards at random, adds their first
entries to a pool of the ``POOL_COUNT`` oldest seen so far, and takes the oldest of the pool that has not been used
since; first entries that turn out younger than three quarters of its age go to the end of their shard, as in CLOCK.

Invariants: a policy never names a tombstone (those live elsewhere) nor the key that is being written. Victims depend
on the operations and the random numbers alone, never on addresses or on Python's randomised hashes.

Why: exact LRU needs a doubly linked list, about 100 bytes an entry in Python, or moves within the dictionary, which
doubles it under reads. Here a read costs one call and an array store, and the data 2 bytes a slot. It is near exact,
as Redis's sampled LRU with its pool is: two keys in one slot share the younger tick, and a tick spans a 1,024th of
the entries inserted. Ticks count insertions, not time, since only insertions make room necessary; they wrap after
65,536, when everything has been replaced 64 times over and an entry that old has long gone. First entries of shards
serve for a million entries in full shards, where they are nearly the oldest of all, and for two hundred spread over a
thousand shards, where drawing a shard is drawing an entry.
"""

from array import array
from bisect import bisect_left
from random import Random
from typing import Protocol

import attrs

from dynacache.storage.contributions import key_hash
from dynacache.storage.tables import TableSet

__all__ = ["DRAW_COUNT", "POOL_COUNT", "EvictionPolicy", "LeastRecentlyUsed", "NoEviction", "tick_slots"]

DRAW_COUNT = 3
"""Shards looked at for one victim."""

POOL_COUNT = 16
"""Candidates kept from one victim to the next."""

_TICK_MASK = 0xFFFF
_TICKS_IN_TURNOVER_LOG = 10
_BYTES_A_SLOT = 256
_LEAST_SLOTS = 1 << 10
_MOST_SLOTS = 1 << 26


class EvictionPolicy(Protocol):
    """What the engine asks of a policy. Shards and keys are those of ``TableSet``, a hash is the key's ``key_hash``.

    Hot calls note that an entry was read or overwritten by ``ticks[hash & mask] = stamp``.
    """

    ticks: "array[int]"
    mask: int
    stamp: int

    def inserted(self, hashed: int) -> None:
        """Note that an entry was added."""
        ...

    def removed(self, count: int = 1) -> None:
        """Note that entries are gone, for whatever reason."""
        ...

    def victim(self, live: TableSet, spared: bytes | None) -> tuple[int, bytes] | None:
        """Return (shard, key) of the entry to evict, never the key ``spared``; None when nothing may go. May reorder
        entries within shards."""
        ...

    def size_bytes(self) -> int:
        """Return the memory of the policy's own data; constant."""
        ...


def tick_slots(limit_bytes: int) -> int:
    """Return the number of ticks kept under a limit: a power of two, one for each 256 bytes."""
    wanted = max(_LEAST_SLOTS, min(_MOST_SLOTS, limit_bytes // _BYTES_A_SLOT))
    return 1 << (wanted.bit_length() - 1)


@attrs.define(eq=False)
class LeastRecentlyUsed:
    """The policy ``lru``."""

    random: Random
    slots: int
    ticks: "array[int]" = attrs.field(init=False, repr=False)
    mask: int = attrs.field(init=False)
    _tick: int = attrs.field(init=False, default=0)
    stamp: int = attrs.field(init=False, default=0)
    """The tick as it stands in a slot."""

    _until_tick: int = attrs.field(init=False, default=1)
    _count: int = attrs.field(init=False, default=0)
    _pool: list[tuple[int, int, bytes]] = attrs.field(init=False, factory=list, repr=False)
    """(tick of last use, shard, key), oldest first."""

    def __attrs_post_init__(self) -> None:
        assert self.slots & (self.slots - 1) == 0, "slots are addressed by mask"
        self.ticks = array("H", [0]) * self.slots
        self.mask = self.slots - 1

    def inserted(self, hashed: int) -> None:
        """Note that an entry was added; every so many additions make a tick."""
        self._count += 1
        self._until_tick -= 1
        if self._until_tick <= 0:
            self._tick += 1
            self.stamp = self._tick & _TICK_MASK
            self._until_tick = max(1, self._count >> _TICKS_IN_TURNOVER_LOG)
        self.ticks[hashed & self.mask] = self.stamp

    def removed(self, count: int = 1) -> None:
        """Note that entries are gone."""
        self._count -= count

    def victim(self, live: TableSet, spared: bytes | None) -> tuple[int, bytes] | None:
        """Return the oldest candidate; None only if there is nothing but ``spared``."""
        drawn = self._draw(live)
        victim = self._take_oldest(live, spared)
        if victim is None:
            return _any_but(live, spared)
        oldest, victim_shard, victim_key = victim
        for stamp, shard, key in drawn:
            if (self._tick - stamp) * 4 < (self._tick - oldest) * 3 and key != victim_key:
                live.rotate(shard, key)
        return victim_shard, victim_key

    def _draw(self, live: TableSet) -> list[tuple[int, int, bytes]]:
        """Return the first entries of some shards, each with the tick of its last use, and pool the older ones."""
        occupied, tables, pool = live.occupied, live.tables, self._pool
        shards, draw = len(occupied), self.random.random
        ticks, mask, tick = self.ticks, self.mask, self._tick
        bar = pool[-1][0] if len(pool) >= POOL_COUNT else tick
        drawn = []
        for _ in range(DRAW_COUNT if shards else 0):
            shard = occupied[int(draw() * shards)]
            key = next(iter(tables[shard].entries))
            stamp = tick - (tick - ticks[key_hash(key) & mask] & _TICK_MASK)
            candidate = (stamp, shard, key)
            drawn.append(candidate)
            if stamp <= bar:
                place = bisect_left(pool, candidate)
                if place == len(pool) or pool[place] != candidate:
                    pool.insert(place, candidate)
        del pool[POOL_COUNT:]
        return drawn

    def _take_oldest(self, live: TableSet, spared: bytes | None) -> tuple[int, int, bytes] | None:
        """Take the oldest candidate that is still there and was not used since it was drawn; drop those before it."""
        pool, ticks, mask = self._pool, self.ticks, self.mask
        while pool:
            candidate = pool.pop(0)
            stamp, shard, key = candidate
            unused = ticks[key_hash(key) & mask] == stamp & _TICK_MASK
            if unused and key != spared and key in live.tables[shard].entries:
                return candidate
        return None

    def size_bytes(self) -> int:
        """Return the memory of the ticks."""
        return self.slots * self.ticks.itemsize


def _any_but(live: TableSet, spared: bytes | None) -> tuple[int, bytes] | None:
    """Return the first entry found that is not ``spared``: the way out when every draw met that one key."""
    for shard in live.occupied:
        for key in live.tables[shard].entries:
            if key != spared:
                return shard, key
    return None


@attrs.define(eq=False)
class NoEviction:
    """The policy ``noeviction``: nothing is ever evicted, so a write that needs more room is refused."""

    ticks: "array[int]" = attrs.field(init=False, factory=lambda: array("H", [0]))
    mask: int = attrs.field(init=False, default=0)
    stamp: int = attrs.field(init=False, default=0)

    def inserted(self, hashed: int) -> None:
        """Nothing to note."""

    def removed(self, count: int = 1) -> None:
        """Nothing to note."""

    def victim(self, live: TableSet, spared: bytes | None) -> tuple[int, bytes] | None:
        """Nothing may go."""
        return None

    def size_bytes(self) -> int:
        """No data."""
        return 0
