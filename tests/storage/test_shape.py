"""The state of a store: its parts know every shard, and the limit must hold them twice."""

import pytest

from dynacache.errors import InvalidOption
from tests.storage.builders import START_MS, engine_of, key_of, value


def test_a_limit_that_does_not_hold_the_empty_store_twice_is_refused() -> None:
    base = engine_of(16, limit_bytes=20_500).usage().total_bytes
    assert engine_of(16, limit_bytes=2 * base).usage().total_bytes == base
    with pytest.raises(InvalidOption, match=f"got {2 * base - 1}, expected at least {2 * base} for 16 partitions"):
        engine_of(16, limit_bytes=2 * base - 1)


def test_leaves_are_paid_for_by_the_first_entry_of_a_shard() -> None:
    engine = engine_of(4)
    assert engine.usage().trees_bytes == 0
    engine.put(2, key_of(1), value())
    first = engine.usage().trees_bytes
    engine.put(2, key_of(2), value())
    assert engine.usage().trees_bytes == first > 0
    assert engine.usage() == engine.recount()


def test_partitions_of_a_further_factor_are_made_when_they_are_asked_for() -> None:
    engine = engine_of(16, limit_bytes=1_000_000)
    base = engine.usage()
    engine.put(3, key_of(1), value())
    engine.add_factor(5)
    assert engine.partitions == [range(16), range(80, 96)]
    assert engine.shard_count == 96
    assert engine.usage() == engine.recount()
    gaps = engine.usage().base_bytes - 2 * base.base_bytes
    assert gaps < base.base_bytes, "factors between cost places in lists"
    engine.put(95, key_of(2), value())
    engine.add_factor(2)
    engine.add_factor(5)
    engine.put(33, key_of(3), value())
    assert [engine.items(number)[0][0] for number in (3, 33, 95)] == [key_of(1), key_of(3), key_of(2)]
    assert engine.held()[0] == 3
    assert engine.usage() == engine.recount()
    assert all(engine.check_trees(number) for numbers in engine.partitions for number in numbers)
    assert len(engine.take_changed()) == 3
    assert {id_ >> 14 for id_ in engine.take_changed() | engine.take_changed()} == set()
    assert engine.remove(95, key_of(2))
    assert engine.usage() == engine.recount()


def test_what_is_due_of_any_factor_goes_and_is_reaped() -> None:
    engine = engine_of(16, limit_bytes=1_000_000)
    engine.add_factor(9)
    for number in (1, 9 * 16 + 1):
        engine.put(number, key_of(number), value(ttl_ms=2_000))
    engine.stale.add(9 * 16 + 1)
    engine.collect(START_MS + 10_000)
    engine.collect(START_MS + 10_000)
    assert engine.held()[0] == 0
    assert engine.usage() == engine.recount()
