"""The sampled LRU stays close to the exact one, in full shards and in nearly empty ones."""

import lzma
import random
from collections import OrderedDict
from pathlib import Path

import mmh3
import pytest

from dynacache.storage.contributions import key_hash
from dynacache.storage.eviction import (
    DRAW_COUNT,
    POOL_COUNT,
    EvictionPolicy,
    LeastRecentlyUsed,
    NoEviction,
    tick_slots,
)
from dynacache.storage.tables import TableSet
from tests.storage.builders import key_of

TRACE = Path(__file__).parent.parent / "data" / "web07-excerpt.txt.xz"
RECORD = b"record"


class Cache:
    """The least that uses a policy: reads, insertions, and a victim for each insertion above the capacity."""

    def __init__(self, policy: EvictionPolicy, shards: int, capacity: int) -> None:
        self.policy, self.capacity = policy, capacity
        self.live = TableSet()
        self.live.extend(shards)
        self.shards = shards

    def shard_of(self, key: bytes) -> int:
        return mmh3.hash(key, 7) % self.shards

    def request(self, key: bytes) -> bool:
        """Read a key and fill it on a miss; return whether it was a hit."""
        shard = self.shard_of(key)
        if key in self.live.tables[shard].entries:
            self.policy.ticks[key_hash(key) & self.policy.mask] = self.policy.stamp
            return True
        self.live.insert(shard, key, RECORD)
        self.policy.inserted(key_hash(key))
        if self.live.count > self.capacity:
            victim = self.policy.victim(self.live, key)
            assert victim is not None
            assert victim[1] != key
            self.live.remove(*victim)
            self.policy.removed()
        return False


def lru(seed: int = 1, slots: int = 1 << 14) -> LeastRecentlyUsed:
    return LeastRecentlyUsed(random.Random(seed), slots)


def exact_hits(keys: list[bytes], capacity: int) -> int:
    order: OrderedDict[bytes, None] = OrderedDict()
    hits = 0
    for key in keys:
        if key in order:
            order.move_to_end(key)
            hits += 1
            continue
        order[key] = None
        if len(order) > capacity:
            order.popitem(last=False)
    return hits


@pytest.mark.parametrize(("shards", "capacity"), [(16, 300), (16, 1_000), (1024, 200), (1024, 1_000)])
def test_the_hit_ratio_on_a_recorded_trace_is_within_two_hundredths_of_exact_lru(shards: int, capacity: int) -> None:
    with lzma.open(TRACE, "rb") as file:
        keys = file.read().split()
    cache = Cache(lru(), shards, capacity)
    hits = sum(cache.request(key) for key in keys)
    exact = exact_hits(keys, capacity)
    first_in_first_out = fifo_hits(keys, capacity)
    assert abs(hits - exact) / len(keys) < 0.02
    assert hits > first_in_first_out, "reads count"


def fifo_hits(keys: list[bytes], capacity: int) -> int:
    order: OrderedDict[bytes, None] = OrderedDict()
    hits = 0
    for key in keys:
        if key in order:
            hits += 1
            continue
        order[key] = None
        if len(order) > capacity:
            order.popitem(last=False)
    return hits


def test_what_is_read_all_the_time_stays() -> None:
    cache = Cache(lru(), 8, 200)
    hot = [b"hot:%d" % number for number in range(20)]
    for key in hot:
        cache.request(key)
    misses = 0
    for number in range(5_000):
        cache.request(key_of(number))
        misses += not cache.request(hot[number % 20])
    assert misses < 25, "exact LRU has none; a sample may be unlucky once in two hundred times"


def test_a_full_pool_keeps_no_more_than_its_limit_and_survives_removals() -> None:
    policy = lru()
    cache = Cache(policy, 64, 500)
    draws = random.Random(3)
    for number in range(4_000):
        cache.request(key_of(number))
        if number % 3 == 0:
            key = key_of(draws.randrange(number + 1))
            if key in cache.live.tables[cache.shard_of(key)].entries:
                cache.live.remove(cache.shard_of(key), key)
                policy.removed()
        assert len(policy._pool) <= POOL_COUNT
    assert DRAW_COUNT < POOL_COUNT


def test_the_spared_key_alone_is_no_victim() -> None:
    policy = lru()
    live = TableSet()
    live.extend(4)
    assert policy.victim(live, None) is None
    live.insert(2, b"only", RECORD)
    policy.inserted(key_hash(b"only"))
    assert policy.victim(live, b"only") is None
    assert policy.victim(live, None) == (2, b"only")
    live.insert(2, b"other", RECORD)
    policy.inserted(key_hash(b"other"))
    assert policy.victim(live, b"only") == (2, b"other")


def test_victims_depend_on_the_seed_alone() -> None:
    def remaining(seed: int) -> list[list[bytes]]:
        cache = Cache(lru(seed), 32, 100)
        for number in range(1_000):
            cache.request(key_of(number * 7_919 % 400))
        return [list(table.entries) for table in cache.live.tables]

    assert remaining(5) == remaining(5)
    assert remaining(5) != remaining(6)


def test_ticks_take_a_hundredth_of_the_limit() -> None:
    assert tick_slots(1) == 1 << 10
    for limit_bytes in (1 << 20, 300 << 20, 1 << 32):
        policy = lru(slots=tick_slots(limit_bytes))
        assert policy.size_bytes() <= limit_bytes / 100


def test_ticks_wrap() -> None:
    cache = Cache(lru(), 4, 50)
    cache.policy._tick = (1 << 16) - 20  # type: ignore[attr-defined]
    hot = b"hot"
    cache.request(hot)
    for number in range(2_000):
        cache.request(key_of(number))
        assert cache.request(hot)


def test_no_eviction_names_nobody() -> None:
    live = TableSet()
    live.extend(1)
    live.insert(0, b"key", RECORD)
    policy = NoEviction()
    policy.inserted(key_hash(b"key"))
    policy.ticks[key_hash(b"key") & policy.mask] = policy.stamp
    assert policy.victim(live, None) is None
    policy.removed()
    assert policy.size_bytes() == 0
