"""What the store holds, with every byte counted and room made before anything is stored.

What: the state of an engine and the steps from which its calls are made: insert, replace, drop, store a tombstone,
expire, evict. ``engine.Engine`` adds the calls that others make.

Invariants: live records stand in one table a shard (a partition of a namespace), tombstones in another beside it, so
that eviction meets none; a key is in at most one. A step moves tables, wheel, ghosts, policy and counts together, so
that ``used_bytes`` is the sum of the shares. ``OutOfMemory`` is raised before a step has changed anything but what it
evicted.

Why a class of its own under the engine: the hot calls touch four structures, and each call between objects costs as
much as the dictionary does; as a base class the state is one attribute away, and the file stays readable.
"""

from collections.abc import Callable
from random import Random

import attrs
from pyroaring import BitMap

from dynacache.config.storage import StorageSettings
from dynacache.errors import InvalidOption, InvalidRequest, OutOfMemory
from dynacache.storage.accounting import object_bytes
from dynacache.storage.eviction import EvictionPolicy, LeastRecentlyUsed, NoEviction, tick_slots
from dynacache.storage.expiry import ExpiryWheel
from dynacache.storage.ghosts import Ghosts
from dynacache.storage.reaper import Reaper
from dynacache.storage.records import due_of, is_tombstone, read_times, value_bytes
from dynacache.storage.tables import TABLE_BYTES, Table, TableSet
from dynacache.versioning import packed

__all__ = ["Holdings"]

_MANY = packed.MANY
_NEVER = bytes(8)
_EXPIRY = slice(13, 21)


@attrs.define(eq=False)
class Holdings:
    """Records, tombstones, ghosts and their accounts.

    ``_live_bytes`` and ``_tombstone_bytes`` are those of keys and records, without dictionaries.
    """

    settings: StorageSettings
    partition_count: int
    random: Random
    warming: BitMap = attrs.field(init=False, factory=BitMap)
    stale: BitMap = attrs.field(init=False, factory=BitMap)
    dirty: BitMap = attrs.field(init=False, factory=BitMap)
    hits: int = attrs.field(init=False, default=0)
    misses: int = attrs.field(init=False, default=0)
    evicted: int = attrs.field(init=False, default=0)
    expired: int = attrs.field(init=False, default=0)
    reaped: int = attrs.field(init=False, default=0)
    refused: int = attrs.field(init=False, default=0)

    _live: TableSet = attrs.field(init=False, factory=TableSet)
    _tables: list[Table[bytes]] = attrs.field(init=False)
    _tombstones: TableSet = attrs.field(init=False, factory=TableSet)
    _wheel: ExpiryWheel = attrs.field(init=False)
    _ghosts: Ghosts = attrs.field(init=False)
    _policy: EvictionPolicy = attrs.field(init=False)
    _policy_read: Callable[[int, bytes], None] = attrs.field(init=False)
    _reaper: Reaper = attrs.field(init=False)
    _limit_bytes: int = attrs.field(init=False)
    _tombstone_limit_bytes: int = attrs.field(init=False)
    _used_bytes: int = attrs.field(init=False, default=0)
    _live_bytes: int = attrs.field(init=False, default=0)
    _tombstone_bytes: int = attrs.field(init=False, default=0)
    _now_ms: int = attrs.field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        settings, limit_bytes = self.settings, self.settings.limit_bytes
        self._limit_bytes = limit_bytes
        self._tombstone_limit_bytes = int(limit_bytes * settings.tombstone_share)
        self._tables = self._live.tables
        self._wheel = ExpiryWheel(self.partition_count)
        self._ghosts = Ghosts.of_share(int(limit_bytes * settings.ghost_share), self.partition_count)
        lru = settings.eviction == "lru"
        self._policy = LeastRecentlyUsed(self.random, tick_slots(limit_bytes)) if lru else NoEviction()
        self._policy_read = self._policy.read
        self._reaper = Reaper(settings.gc_grace_max_ms, self.partition_count)
        self._used_bytes = self._policy.size_bytes()
        self._extend()
        if limit_bytes < 2 * self._used_bytes:
            raise InvalidOption(
                f"storage.limit_bytes: got {limit_bytes}, expected at least {2 * self._used_bytes}"
                f" for {self.partition_count} partitions"
            )

    # Live records.

    def _insert(self, shard: int, key: bytes, record: bytes) -> None:
        objects = object_bytes(len(key)) + object_bytes(len(record))
        self._admit(record, objects + self._tables[shard].next_growth_bytes(), key)
        if self._tombstones.count and key in self._tombstones.tables[shard].entries:
            self._drop_tombstone(shard, key)
        if self._ghosts.count:
            self._used_bytes += self._ghosts.discard(shard, key)
        self._live_bytes += objects
        self._used_bytes += objects + self._live.insert(shard, key, record)
        if record[_EXPIRY] != _NEVER:
            self._used_bytes += self._wheel.add(shard, key, due_of(record))
        self._policy.inserted(shard, key)
        if self._used_bytes > self._limit_bytes:
            self._shrink(key)

    def _replace(self, shard: int, key: bytes, old: bytes, record: bytes) -> None:
        if len(record) != len(old):
            growth = object_bytes(len(record)) - object_bytes(len(old))
            self._admit(record, growth, key)
            self._live_bytes += growth
            self._used_bytes += growth
        self._tables[shard].entries[key] = record
        if old[_EXPIRY] != _NEVER or record[_EXPIRY] != _NEVER:
            self._reschedule(shard, key, due_of(old), due_of(record))
        self._policy_read(shard, key)
        if self._used_bytes > self._limit_bytes:
            self._shrink(key)

    def _reschedule(self, shard: int, key: bytes, before: int, after: int) -> None:
        """Move a key between buckets. The dictionary takes the key object given, so that wheel and store share one."""
        if before == after:
            return
        if before:
            self._used_bytes += self._wheel.remove(shard, key, before)
        if after:
            self._used_bytes += self._live.rotate(shard, key)
            self._used_bytes += self._wheel.add(shard, key, after)

    def _drop_live(self, shard: int, key: bytes, record: bytes, scheduled: bool = True) -> None:
        objects = object_bytes(len(key)) + object_bytes(len(record))
        self._live_bytes -= objects
        self._used_bytes += self._live.remove(shard, key) - objects
        if scheduled and record[_EXPIRY] != _NEVER:
            self._used_bytes += self._wheel.remove(shard, key, due_of(record))
        self._policy.removed(shard, key)

    # Tombstones.

    def _put_tombstone(self, shard: int, key: bytes, record: bytes) -> None:
        live = self._tables[shard].entries.get(key)
        table = self._tombstones.tables[shard]
        held = table.entries.get(key)
        growth = object_bytes(len(record))
        if held is None:
            growth += object_bytes(len(key)) + table.next_growth_bytes()
        else:
            growth -= object_bytes(len(held))
        taken = self._tombstone_bytes + self._tombstones.size_bytes
        if growth > 0 and taken + growth > self._tombstone_limit_bytes:
            self.refused += 1
            raise OutOfMemory(
                f"a tombstone needs {growth} bytes, {taken} of {self._tombstone_limit_bytes} for tombstones are in use"
            )
        freed = 0 if live is None else object_bytes(len(key)) + object_bytes(len(live))
        if self._used_bytes + growth - freed > self._limit_bytes:
            self._make_room(growth - freed, key)
        if live is not None:
            self._drop_live(shard, key, live)
        self._store_tombstone(shard, key, record)

    def _store_tombstone(self, shard: int, key: bytes, record: bytes) -> None:
        held = self._tombstones.tables[shard].entries.get(key)
        objects = object_bytes(len(record))
        if held is None:
            objects += object_bytes(len(key))
            self._used_bytes += self._tombstones.insert(shard, key, record)
            if self._ghosts.count:
                self._used_bytes += self._ghosts.discard(shard, key)
        else:
            objects -= object_bytes(len(held))
            self._tombstones.tables[shard].entries[key] = record
        self._tombstone_bytes += objects
        self._used_bytes += objects
        self._reaper.note(record)

    def _drop_tombstone(self, shard: int, key: bytes) -> None:
        objects = object_bytes(len(key)) + object_bytes(len(self._tombstones.tables[shard].entries[key]))
        self._tombstone_bytes -= objects
        self._used_bytes += self._tombstones.remove(shard, key) - objects

    def _reap(self, now_ms: int, budget: int) -> int:
        dropped, looked = self._reaper.sweep(self._tombstones, now_ms, budget, (self.warming, self.stale))
        for shard, key in dropped:
            self._drop_tombstone(shard, key)
        self.reaped += len(dropped)
        return looked

    # Expiry.

    def _meet_expired(self, shard: int, key: bytes, record: bytes, now_ms: int) -> bytes | None:
        """Expire a record that a call came upon; return what it leaves."""
        left = self._expire(shard, key, record, now_ms)
        if self._used_bytes > self._limit_bytes:
            self._shrink(key)
        return left

    def _expire(self, shard: int, key: bytes, record: bytes, now_ms: int, scheduled: bool = True) -> bytes | None:
        """Put what a record leaves at ``now_ms`` in its place and return it. Never refused: it takes no more room."""
        left = packed.clean(record, now_ms)
        if left is record:
            assert scheduled, "a bucket of the wheel is due only when everything in it has expired"
            return record
        self.expired += 1
        if left is None or is_tombstone(left):
            self._drop_live(shard, key, record, scheduled)
            if left is not None:
                self._store_tombstone(shard, key, left)
            return left
        growth = object_bytes(len(left)) - object_bytes(len(record))
        self._live_bytes += growth
        self._used_bytes += growth
        self._tables[shard].entries[key] = left
        self._reschedule(shard, key, due_of(record) if scheduled else 0, due_of(left))
        return left

    def _collect_expired(self, now_ms: int, budget: int) -> int:
        wheel = self._wheel
        before = wheel.size_bytes
        taken = wheel.take(now_ms, budget)
        self._used_bytes += wheel.size_bytes - before
        for shard, key in taken:
            record = self._tables[shard].entries[key]
            self._expire(shard, key, record, now_ms, scheduled=False)
        return len(taken)

    # Room.

    def _admit(self, record: bytes, growth: int, key: bytes) -> None:
        """Check the size of a record that takes ``growth`` more bytes, and make room for it."""
        largest = self.settings.largest_value_bytes
        if len(record) > largest and value_bytes(record) > largest:
            self.refused += 1
            raise InvalidRequest(f"the value has {value_bytes(record)} bytes, at most {largest} are accepted")
        if growth > 0 and self._used_bytes + growth > self._limit_bytes:
            self._make_room(growth, key)

    def _make_room(self, growth: int, spared: bytes) -> None:
        """Evict until ``growth`` more bytes fit; raise OutOfMemory, before evicting if all of it would not do."""
        limit = self._limit_bytes
        if self._used_bytes - self._live_bytes + growth <= limit:
            while self._used_bytes + growth > limit:
                if not self._evict(spared):
                    break
            else:
                return
        self.refused += 1
        raise OutOfMemory(f"{growth} more bytes needed, {self._used_bytes} of {limit} in use, nothing to evict for it")

    def _shrink(self, spared: bytes) -> None:
        """Evict down to the limit after a dictionary grew by more than was foreseen."""
        while self._used_bytes > self._limit_bytes and self._evict(spared):
            pass

    def _evict(self, spared: bytes | None) -> bool:
        """Drop the policy's victim and leave a ghost; False when nothing may go."""
        before = self._live.size_bytes
        victim = self._policy.victim(self._live, spared)
        self._used_bytes += self._live.size_bytes - before
        if victim is None:
            return False
        shard, key = victim
        record = self._tables[shard].entries[key]
        time, expire_ms = read_times(record)
        if 0 < expire_ms <= self._now_ms:
            self._expire(shard, key, record, self._now_ms)
            return True
        self._drop_live(shard, key, record)
        final_ms = 0 if record[1] == _MANY else expire_ms
        self._used_bytes += self._ghosts.add(shard, key, time, final_ms, self._now_ms)
        self.evicted += 1
        return True

    # Shape.

    def _shard(self, partition: int, namespace: int) -> int:
        """Return the index of a partition's tables, making those of a new namespace."""
        while len(self._tables) <= namespace * self.partition_count:
            self._extend()
        return namespace * self.partition_count + partition

    def _extend(self) -> None:
        before = self._live.size_bytes + self._tombstones.size_bytes
        for tables in (self._live, self._tombstones):
            tables.extend(self.partition_count)
        self._wheel.extend(self.partition_count)
        added = self._live.size_bytes + self._tombstones.size_bytes - before
        self._used_bytes += added + 2 * TABLE_BYTES * self.partition_count

    def _base_bytes(self) -> int:
        return self._policy.size_bytes() + 2 * TABLE_BYTES * len(self._tables)
