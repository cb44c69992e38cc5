"""Room is made before anything is stored: what is evicted for it, what is remembered, and what is refused."""

import pytest

from dynacache.errors import InvalidRequest, OutOfMemory
from dynacache.storage.contributions import key_hash
from dynacache.storage.engine import Engine
from dynacache.storage.evicting import EVICT_COUNT
from tests.storage.builders import START_MS, engine_of, key_of, tombstone, value


def snapshot(engine: Engine) -> object:
    return [engine.items(partition) for partition in range(4)], engine.usage(), engine._wheel.contents()


def fill(engine: Engine, record: bytes) -> None:
    """Put one record under a thousand keys: more than fit."""
    for number in range(1_000):
        engine.put(number % 4, key_of(number), record)


def test_without_eviction_a_write_that_grows_is_refused_and_changes_nothing() -> None:
    engine = engine_of(limit_bytes=50_000, eviction="noeviction")
    with pytest.raises(OutOfMemory, match="more bytes needed"):
        fill(engine, value(300, ttl_ms=60_000))
    assert 50 < engine.statistics().entries < 200
    before = snapshot(engine)
    with pytest.raises(OutOfMemory):
        engine.put(0, key_of(0), value(30_000))
    assert snapshot(engine) == before
    engine.put(0, key_of(0), value(300))
    engine.put(0, key_of(4), value(10))
    assert engine.evicted == 0
    assert engine.statistics().refused == 2


def test_a_value_that_could_never_fit_evicts_nobody() -> None:
    engine = engine_of(limit_bytes=50_000)
    for number in range(50):
        engine.put(number % 4, key_of(number), value(300))
    before = snapshot(engine)
    with pytest.raises(OutOfMemory):
        engine.put(0, b"huge", value(60_000))
    assert snapshot(engine) == before


def test_a_value_over_the_largest_is_refused_whether_new_or_not() -> None:
    engine = engine_of(largest_value_bytes=1_000)
    engine.put(0, b"fits", value(1_000))
    before = snapshot(engine)
    for key in (b"new", b"fits"):
        with pytest.raises(InvalidRequest, match="the value has 1001 bytes, at most 1000 are accepted"):
            engine.put(0, key, value(1_001))
    assert snapshot(engine) == before


def test_eviction_never_touches_tombstones() -> None:
    engine = engine_of(limit_bytes=60_000)
    for number in range(20):
        engine.put(number % 4, b"dead:%d" % number, tombstone())
    for number in range(1_000):
        engine.put(number % 4, key_of(number), value(400))
    assert engine.evicted > 800
    assert engine.statistics().tombstones == 20


def test_the_limit_holds_also_when_the_wheel_or_a_dictionary_grows_by_more_than_the_entry() -> None:
    engine = engine_of(limit_bytes=30_000)
    for number in range(400):
        engine.put(number % 4, key_of(number), value(number % 200, ttl_ms=1_000 * (number % 50 + 1)))
        assert engine.usage().total_bytes <= 30_000


def test_a_delete_makes_room_by_evicting_others() -> None:
    engine = engine_of(limit_bytes=60_000)
    for number in range(1_000):
        engine.put(number % 4, key_of(number), value(10))
    for number in range(30):
        engine.put(number % 4, b"dead:%d" % number, tombstone())
        assert engine.usage().total_bytes <= 60_000
    assert engine.statistics().tombstones == 30


def test_an_expired_victim_leaves_its_tombstone_not_a_ghost() -> None:
    engine = engine_of(1, limit_bytes=40_000)
    forever = value(300)
    brief = value(300, old=forever, now_ms=START_MS + 1, ttl_ms=10)
    engine.put(0, b"brief", brief)
    engine.merge(0, b"clock", value(1, now_ms=START_MS + 100), START_MS + 100)
    for number in range(300):
        engine.put(0, key_of(number), value(300))
    held = engine.peek(0, b"brief")
    assert held is not None
    assert held[1] == 2
    assert engine.missing(0, b"brief") in (None, 0)


@pytest.mark.parametrize("policy", ["s3fifo", "lru", "lfu", "ttl", "random"])
def test_the_first_evictions_cost_no_more_than_later_ones(policy: str) -> None:
    """Most shards have no ghost yet: what the first one takes has been set aside."""
    engine = engine_of(256, limit_bytes=1 << 20, eviction=policy)
    most = 0
    for number in range(6_000):
        before = engine.evicted
        key = key_of(number)
        engine.put(key_hash(key) % 256, key, value(64))
        most = max(most, engine.evicted - before)
    assert engine.evicted > 2_000
    assert engine.statistics().ghosts > 2_000
    assert most <= 2 * EVICT_COUNT, "a block of a queue and a dictionary that grow take the room of some entries"
    assert engine.usage() == engine.recount()


def test_what_is_evicted_keeps_its_place_in_the_tree_whatever_it_is() -> None:
    engine = engine_of(4, limit_bytes=60_000)
    gone: list[int] = []
    engine.gone = lambda partition, key, change: gone.append(partition)
    engine.collect(START_MS, 1)
    for number in range(400):
        key = b"\x00\x02ab" + key_of(number) if number % 3 else key_of(number)
        old = value(20) if number % 5 == 0 else None
        engine.put(number % 4, key, value(100, old=old, ttl_ms=90_000 * (number % 2)))
        if number % 7 == 0:
            engine.put(number % 4, key, value(90, old=engine.peek(number % 4, key)))
    assert engine.evicted > 100
    assert len(gone) == engine.evicted
    assert engine.usage() == engine.recount()
    assert all(engine.check_trees(partition) for partition in range(4))
    held = sum(len(engine.items(partition)) for partition in range(4))
    assert engine.statistics().ghosts + held == 400
    tenant = engine.census.tenant(b"\x00\x02ab")
    assert tenant.entries == sum(key[:1] == b"\0" for partition in range(4) for key, _ in engine.items(partition))
