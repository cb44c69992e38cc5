"""Room is made before anything is stored, and what is refused leaves everything as it was."""

import pytest

from dynacache.errors import InvalidOption, OutOfMemory
from dynacache.storage.engine import Engine
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from tests.storage.builders import START_MS, engine_of, key_of, tombstone, value


def snapshot(engine: Engine) -> object:
    return [engine.items(partition) for partition in range(4)], engine.usage(), engine._wheel.contents()


def fill(engine: Engine, record: bytes) -> None:
    """Put one record under a thousand keys: more than fit."""
    for number in range(1_000):
        engine.put(number % 4, key_of(number), record)


def test_a_limit_that_the_empty_store_nearly_fills_is_refused() -> None:
    with pytest.raises(InvalidOption, match=r"storage\.limit_bytes: got 100000, expected at least \d+ for 1024"):
        engine_of(1024, limit_bytes=100_000)


def test_tombstones_have_their_share_and_a_delete_beyond_it_is_refused() -> None:
    engine = engine_of(limit_bytes=100_000, tombstone_share=0.1)
    with pytest.raises(OutOfMemory, match="a tombstone needs"):
        fill(engine, tombstone())
    assert 40 < engine.statistics().tombstones < 80
    held = value()
    engine.put(0, b"held", held)
    before = snapshot(engine)
    with pytest.raises(OutOfMemory):
        engine.put(0, b"held", tombstone(old=held))
    assert snapshot(engine) == before
    again = tombstone(old=engine.peek(0, key_of(0)), now_ms=START_MS + 1)
    engine.put(0, key_of(0), again)
    assert engine.peek(0, key_of(0)) == again, "a delete that takes no more room than the one it replaces"


def test_what_expired_leaves_its_tombstone_beyond_the_share_and_deletes_wait() -> None:
    engine = engine_of(limit_bytes=100_000, tombstone_share=0.1)
    for number in range(100):
        engine.put(number % 4, key_of(number), value(300, old=value(), ttl_ms=1_000))
    engine.collect(START_MS + 2_000, 1_000)
    statistics = engine.statistics()
    assert statistics.tombstones == 100
    assert statistics.tombstone_limit_bytes < statistics.usage.tombstones_bytes
    assert statistics.usage.total_bytes == engine.recount().total_bytes <= 100_000
    with pytest.raises(OutOfMemory, match="a tombstone needs"):
        engine.put(0, b"deleted", tombstone())


def test_the_dictionary_and_the_wheel_share_one_key_object() -> None:
    engine = engine_of()
    record = value(ttl_ms=5_000)
    engine.put(0, key_of(1), record)
    engine.put(0, key_of(1), value(old=record, ttl_ms=50_000))
    engine.put(0, key_of(2), value())
    engine.put(0, key_of(2), value(ttl_ms=9_000))
    in_tables = {id(key) for key, _ in engine.items(0)}
    in_wheel = {id(key) for _, key in engine._wheel.contents()}
    assert in_tables == in_wheel
    assert len(in_wheel) == 2


def test_leaves_of_replaced_records_wait_for_a_comparison_but_not_more_than_have_room() -> None:
    engine = engine_of(4, limit_bytes=60_000)
    room = engine._pending_limit
    assert 0 < room < 20
    for number in range(20):
        engine.put(1, key_of(number), value())
    engine.take_changed()
    for _ in range(3):
        for number in range(20):
            old = engine.peek(1, key_of(number))
            engine.put(1, key_of(number), value(old=old))
            assert len(engine._pending) <= room
    assert engine.check_trees(1)
    assert not engine._pending
    assert len(engine.take_changed()) == 20


def test_the_leaf_of_a_waiting_key_is_right_when_the_record_goes() -> None:
    for step in range(4):
        engine = engine_of(4)
        first = value(ttl_ms=5_000)
        engine.put(1, b"key", first)
        engine.put(1, b"key", value(old=first, ttl_ms=5_000))
        assert engine._pending
        if step == 0:
            engine.remove(1, b"key")
        elif step == 1:
            engine.put(1, b"key", tombstone(old=first))
        elif step == 2:
            engine.collect(START_MS + 5_000)
        else:
            assert engine.evict_one()
        assert not engine._pending
        assert engine.check_trees(1)


def test_the_leaf_of_a_waiting_key_is_right_when_one_of_its_siblings_ends() -> None:
    engine = engine_of(4)
    first = value(ttl_ms=9_000, issuer=ActorIssuer(7))
    engine.put(1, b"key", first)
    engine.put(1, b"key", packed.merge(first, value(ttl_ms=1_000, issuer=ActorIssuer(8))))
    assert engine._pending
    engine.collect(START_MS + 1_000)
    assert engine.peek(1, b"key") is not None
    assert engine.check_trees(1)
