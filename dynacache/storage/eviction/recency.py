"""The policy ``lru``: the entry unused for longest goes.

What: a cell holds the 8-bit tick of the last use; a tick is a sixty-fourth of the entries inserted. ``SampledLru`` is
for everybody: for a victim it draws ``DRAW_COUNT`` shards at random, adds their first entries to a pool of the
``POOL_COUNT`` oldest seen so far, and takes the oldest of the pool that has not been used since; first entries that
turn out younger than three quarters of its age go to the end of their shard, as in CLOCK. ``BucketLru`` is for a part
of the keys: a queue for each tick, where an entry that was used since it was queued moves to the queue of that use.

Invariants: those of ``policy``. An entry of a ``BucketLru`` is in one bucket, or was just named.

Why: exact LRU needs a doubly linked list, about 100 bytes an entry in Python, or moves within the dictionary, which
doubles it under reads. Ticks count insertions, not time, since only insertions make room necessary. They wrap after
256: an entry unused for so long, four times what the cache holds, has gone long ago if there was any pressure, and if
there was none it is taken for young once. First entries of shards serve for a million entries in full shards, where
they are nearly the oldest of all, and for two hundred spread over a thousand shards, where drawing a shard is drawing
an entry. For a few keys among many others they do not serve; hence the buckets, 15 bytes an entry.
"""

from bisect import bisect_left
from random import Random

import attrs

from dynacache.storage.contributions import key_hash
from dynacache.storage.eviction.lines import KeyLine
from dynacache.storage.eviction.policy import Cells, Owner
from dynacache.storage.tables import TableSet

__all__ = ["DRAW_COUNT", "POOL_COUNT", "BucketLru", "SampledLru", "any_but", "first_owned"]

DRAW_COUNT = 5
"""Shards looked at for one victim."""

POOL_COUNT = 16
"""Candidates kept from one victim to the next."""

_FOREIGN_COUNT = 256
"""Entries of others, at most, that are moved out of the way to find one's own."""

_TICKS = 256
_TICK_MASK = _TICKS - 1
_TICKS_IN_TURNOVER_LOG = 6
_STEPS = [bytes([tick]) * 256 for tick in range(_TICKS)]


def first_owned(live: TableSet, shard: int, owns: Owner | None) -> bytes | None:
    """Return the first entry of a shard that one owns, having moved those of others to the end; None if there is none
    among the first 256."""
    entries = live.tables[shard].entries
    key = next(iter(entries), None)
    if owns is None or key is None or owns(shard, key):
        return key
    for _ in range(min(_FOREIGN_COUNT, len(entries))):
        live.rotate(shard, key)
        key = next(iter(live.tables[shard].entries))
        if owns(shard, key):
            return key
    return None


def any_but(live: TableSet, spared: bytes | None, owns: Owner | None) -> tuple[int, bytes] | None:
    """Return the first entry found that is not ``spared``: the way out when every draw met that one key."""
    for shard in live.occupied:
        for key in live.tables[shard].entries:
            if key != spared and (owns is None or owns(shard, key)):
                return shard, key
    return None


@attrs.define(eq=False)
class _Ticks(Cells):
    _tick: int = attrs.field(init=False, default=0)
    _until_tick: int = attrs.field(init=False, default=1)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.steps = _STEPS[0]

    def _stamp(self, hashed: int) -> None:
        """Note an addition; every so many of them make a tick."""
        self._until_tick -= 1
        if self._until_tick <= 0:
            self._tick = (self._tick + 1) & _TICK_MASK
            self.steps = _STEPS[self._tick]
            self._until_tick = max(1, self.count >> _TICKS_IN_TURNOVER_LOG)
        self.cells[hashed & self.mask] = self._tick


@attrs.define(eq=False)
class SampledLru(_Ticks):
    """The policy ``lru`` over whole shards."""

    live: TableSet
    random: Random
    _pool: list[tuple[int, int, bytes]] = attrs.field(init=False, factory=list, repr=False)
    """(age in ticks with its sign turned, shard, key), oldest first, as they were when ``_pool_tick`` was the tick."""

    _pool_tick: int = attrs.field(init=False, default=0)

    def inserted(self, shard: int, key: bytes, hashed: int, size: int, returned: bool) -> int:
        """Note that an entry was added."""
        growth = self._added(size)
        self._stamp(hashed)
        return growth

    def removed(self, shard: int, key: bytes, hashed: int, size: int) -> int:
        """Note that an entry is gone."""
        self.count -= 1
        self.entry_bytes -= size
        return 0

    def victim(self, spared: bytes | None, owns: Owner | None) -> tuple[int, bytes] | None:
        """Return the oldest candidate; None only if there is nothing but ``spared``."""
        drawn = self._draw(owns)
        victim = self._take_oldest(spared, owns)
        if victim is None:
            return any_but(self.live, spared, owns) if self.count else None
        age, victim_shard, victim_key = victim
        tables, rotate, bar = self.live.tables, self.live.rotate, age * 0.75
        for age, shard, key in drawn:
            if age > bar and key != victim_key and key in tables[shard].entries:
                rotate(shard, key)
        return victim_shard, victim_key

    def _draw(self, owns: Owner | None) -> list[tuple[int, int, bytes]]:
        """Return the first entries of some shards, each with its age, and pool the older ones."""
        live, cells, mask, tick = self.live, self.cells, self.mask, self._tick
        pool = self._pool if tick == self._pool_tick else self._aged_pool()
        tables, occupied, draw = live.tables, live.occupied, self.random.random
        bar, count = pool[-1][0] if len(pool) >= POOL_COUNT else 0, len(occupied)
        drawn = []
        for _ in range(DRAW_COUNT if count else 0):
            shard = occupied[int(draw() * count)]
            key = next(iter(tables[shard].entries)) if owns is None else first_owned(live, shard, owns)
            if key is None:
                continue
            age = -((tick - cells[key_hash(key) & mask]) & _TICK_MASK)
            candidate = (age, shard, key)
            drawn.append(candidate)
            if age <= bar:
                place = bisect_left(pool, candidate)
                if place == len(pool) or pool[place] != candidate:
                    pool.insert(place, candidate)
        del pool[POOL_COUNT:]
        return drawn

    def _aged_pool(self) -> list[tuple[int, int, bytes]]:
        """Return the pool with the ages of today."""
        passed = (self._tick - self._pool_tick) & _TICK_MASK
        if passed:
            self._pool = [(age - passed, shard, key) for age, shard, key in self._pool if age - passed > -_TICKS]
            self._pool_tick = self._tick
        return self._pool

    def _take_oldest(self, spared: bytes | None, owns: Owner | None) -> tuple[int, int, bytes] | None:
        """Take the oldest candidate that is still there and was not used since it was drawn; drop those before it."""
        pool, cells, mask, tick = self._pool, self.cells, self.mask, self._tick
        tables = self.live.tables
        while pool:
            candidate = pool.pop(0)
            age, shard, key = candidate
            unused = (tick - cells[key_hash(key) & mask]) & _TICK_MASK == -age
            if unused and key != spared and key in tables[shard].entries and (owns is None or owns(shard, key)):
                return candidate
        return None

    def recount_bytes(self) -> int:
        """The memory of the cells."""
        return len(self.cells)


@attrs.define(eq=False)
class BucketLru(_Ticks):
    """The policy ``lru`` over a part of the keys."""

    live: TableSet
    _buckets: dict[int, KeyLine] = attrs.field(init=False, factory=dict, repr=False)
    _named: tuple[int, bytes, int] | None = attrs.field(init=False, default=None)

    def inserted(self, shard: int, key: bytes, hashed: int, size: int, returned: bool) -> int:
        """Note that an entry was added."""
        growth = self._added(size)
        self._stamp(hashed)
        return growth + self._queue(self._tick, shard, key, size)

    def removed(self, shard: int, key: bytes, hashed: int, size: int) -> int:
        """Note that an entry is gone; its place in a bucket goes when its turn comes."""
        self._taken(size)
        if self._named is not None and self._named[1] == key:
            self._named = None
        return 0

    def victim(self, spared: bytes | None, owns: Owner | None) -> tuple[int, bytes] | None:
        """Return the entry that was used longest ago, to a tick; None if there is nothing but ``spared``."""
        if self._named is not None:
            shard, key, size = self._named
            self._queue(self._tick, shard, key, size)
            self._named = None
        met_spared = False
        self.patience -= 1
        tick, cells = (self._tick + 1) & _TICK_MASK, self.cells
        for _ in range(_TICKS):
            while (line := self._buckets.get(tick)) is not None:
                shard, key, size = self._take(tick, line)
                if key not in self.live.tables[shard].entries or (owns is not None and not owns(shard, key)):
                    continue
                used = cells[key_hash(key) & self.mask]
                if key == spared:
                    self._queue(self._tick, shard, key, size)
                    if met_spared:
                        return None
                    met_spared = tick == self._tick
                elif (self._tick - used) & _TICK_MASK < (self._tick - tick) & _TICK_MASK and self.patience > 0:
                    self._queue(used, shard, key, size)
                    self.patience -= 1
                else:
                    self._named = shard, key, size
                    return shard, key
            tick = (tick + 1) & _TICK_MASK
        return None

    def _queue(self, tick: int, shard: int, key: bytes, size: int) -> int:
        line = self._buckets.get(tick)
        if line is None:
            self._buckets[tick] = line = KeyLine()
        before = line.size_bytes
        line.append(shard, key, size)
        growth = line.size_bytes - before
        self.size_bytes += growth
        return growth

    def _take(self, tick: int, line: KeyLine) -> tuple[int, bytes, int]:
        before = line.size_bytes
        item = line.pop()
        assert item is not None, "an empty bucket is dropped"
        self.size_bytes += line.size_bytes - before
        if not line.count:
            del self._buckets[tick]
        return item

    @property
    def places(self) -> int:
        """How many places in buckets there are, those of entries that are gone included."""
        return sum(line.count for line in self._buckets.values())

    def recount_bytes(self) -> int:
        """Return the memory of cells and buckets by visiting every bucket."""
        return len(self.cells) + sum(line.recount_bytes() for line in self._buckets.values())
