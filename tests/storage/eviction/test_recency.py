"""``lru`` stays close to the exact one, in full shards and in nearly empty ones, and in queues of its own."""

import lzma
import random
from collections import OrderedDict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.storage.eviction.recency import DRAW_COUNT, POOL_COUNT, BucketLru, SampledLru
from tests.storage.builders import key_of
from tests.storage.eviction.stores import Store

TRACE = Path(__file__).parent.parent.parent / "data" / "web07-excerpt.txt.xz"


def exact_hits(keys: list[bytes], capacity: int, moves: bool = True) -> int:
    order: OrderedDict[bytes, None] = OrderedDict()
    hits = 0
    for key in keys:
        if key in order:
            if moves:
                order.move_to_end(key)
            hits += 1
            continue
        order[key] = None
        if len(order) > capacity:
            order.popitem(last=False)
    return hits


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("shards", "capacity"), [(16, 300), (16, 1_000), (1024, 200), (1024, 1_000)])
def test_the_hit_ratio_on_a_recorded_trace_is_within_a_point_of_exact_lru(
    whole: bool, shards: int, capacity: int
) -> None:
    with lzma.open(TRACE, "rb") as file:
        keys = file.read().split()
    store = Store("lru", shards, whole, limit_bytes=1 << 21)
    hits = sum(store.request(key, capacity) for key in keys)
    assert abs(hits - exact_hits(keys, capacity)) / len(keys) < 0.01
    assert hits > exact_hits(keys, capacity, moves=False), "reads count"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=200))
def test_in_queues_of_its_own_the_victim_is_one_whose_last_use_is_oldest(steps: list[tuple[bool, int]]) -> None:
    store = Store("lru", whole=False)
    used: dict[bytes, int] = {}
    tick = 0
    for evicts, number in steps:
        key = key_of(number)
        if evicts and used:
            victim = store.evict()
            assert victim is not None
            assert used[victim] == min(used.values())
            del used[victim]
            continue
        if store.has(key):
            store.read(key)
        else:
            tick += 1
            store.insert(key)
        used[key] = tick


def test_what_is_read_all_the_time_stays() -> None:
    for whole in (True, False):
        store = Store("lru", 8, whole)
        hot = [b"hot:%d" % number for number in range(20)]
        for key in hot:
            store.request(key, 200)
        misses = 0
        for number in range(5_000):
            store.request(key_of(number), 200)
            misses += not store.request(hot[number % 20], 200)
        assert misses < 25, "exact LRU has none; a sample may be unlucky once in two hundred times"


def test_a_full_pool_keeps_no_more_than_its_limit_and_survives_removals() -> None:
    store = Store("lru", 64)
    policy = store.policy
    assert isinstance(policy, SampledLru)
    draws = random.Random(3)
    for number in range(4_000):
        store.request(key_of(number), 500)
        key = key_of(draws.randrange(number + 1))
        if number % 3 == 0 and store.has(key):
            store.remove(key)
        assert len(policy._pool) <= POOL_COUNT
    assert DRAW_COUNT < POOL_COUNT


def test_ticks_wrap() -> None:
    for whole in (True, False):
        store = Store("lru", whole=whole)
        policy = store.policy
        assert isinstance(policy, SampledLru | BucketLru)
        policy._tick = 250
        store.request(b"hot", 50)
        for number in range(2_000):
            store.request(key_of(number), 50)
            assert store.request(b"hot", 50)
