"""Leaves that are behind are told of, counted, and brought up to date before anybody compares."""

from dynacache.storage.shape import PENDING_BYTES
from tests.storage.builders import engine_of, key_of, value


def test_a_leaf_that_waits_is_made_up_for_when_someone_compares_or_the_record_goes() -> None:
    engine, other = engine_of(), engine_of()
    for number in range(20):
        first = value(10)
        second = value(10, old=first)
        engine.put(0, key_of(number), first)
        engine.put(0, key_of(number), second)
        other.put(0, key_of(number), second)
    assert len(engine._pending) == 20
    assert engine.usage().trees_bytes == engine.recount().trees_bytes
    assert engine._trees.root(0) != other.root(0)
    engine.remove(0, key_of(0))
    other.remove(0, key_of(0))
    assert len(engine._pending) == 19
    assert not engine._settle_trees(5)
    assert engine.root(0) == other.root(0)
    assert not engine._pending
    assert engine.check_trees(0)


def test_a_full_waiting_list_makes_updates_at_once() -> None:
    engine = engine_of(limit_bytes=1 << 20)
    limit = engine._pending_limit
    assert limit * PENDING_BYTES < 1 << 20
    for number in range(limit + 50):
        first = value(1)
        engine.put(0, key_of(number), first)
        engine.put(0, key_of(number), value(1, old=first))
        assert len(engine._pending) <= limit
    assert engine.check_trees(0)


def test_a_tree_that_grows_brings_the_leaves_of_its_own_shard_up_to_date_and_no_others() -> None:
    engine = engine_of()
    for number in range(800):
        first = value(1)
        engine.put(number % 2, key_of(number), first)
        if number < 400:
            engine.put(number % 2, key_of(number), value(1, old=first))
    while not engine._trees.is_growing:
        engine.collect(1, 1)
    assert len(engine._pending) == 200
    for _ in range(4):
        engine.collect(1, 10_000)
    assert (engine._trees.level(0) > 3, engine._trees.level(1) > 3) == (True, True)
    assert engine.check_trees(0)
    assert engine.check_trees(1)
