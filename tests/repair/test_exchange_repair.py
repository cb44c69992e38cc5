"""From leaves to records: batches, limits, and what stays for later."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from dynacache.config.storage import StorageSettings
from dynacache.repair.exchange_repair import (
    LARGE_RECORD_BYTES,
    LEAVES_LIMIT,
    MESSAGE_LIMIT_BYTES,
    SCAN_LIMIT,
    WANTED_LIMIT,
    take_batch,
)
from dynacache.wire.messages import ENTRIES, GROUP_LIMIT_KEYS, RECORDS
from tests.repair.exchange_world import World

SIZES = st.one_of(st.integers(0, 2_000), st.sampled_from([LARGE_RECORD_BYTES - 3, LARGE_RECORD_BYTES, 2 << 20]))


@given(st.lists(SIZES, max_size=40), st.integers(1_000, 2 << 20))
def test_batches_are_bounded_and_large_records_alone(sizes: list[int], limit_bytes: int) -> None:
    records = [(index, b"key", bytes(size)) for index, size in enumerate(sizes)]
    left = deque(records)
    found = []
    while left:
        found.append(take_batch(left, limit_bytes))
    assert [each for batch in found for each in batch] == records
    for batch in found:
        total = sum(3 + len(record) for _, _, record in batch)
        assert len(batch) == 1 or total <= min(limit_bytes, MESSAGE_LIMIT_BYTES)
        assert len(batch) == 1 or all(3 + len(record) <= LARGE_RECORD_BYTES for _, _, record in batch)


def test_batches_hold_a_bounded_number() -> None:
    left = deque([(1, b"k", b"")] * (GROUP_LIMIT_KEYS + 1))
    assert len(take_batch(left, MESSAGE_LIMIT_BYTES)) == GROUP_LIMIT_KEYS
    assert len(left) == 1


def test_lists_are_bounded_in_leaves_and_partitions() -> None:
    world = World(partitions=64)
    for index in range(2_000):
        world.write(b"key%d" % index, b"value", "a", reaches=())
    world.run(60)
    assert world.equal()
    lists = [message[5] for message in world.messages if message[0] == ENTRIES]
    assert len(lists) > 1
    assert all(len(parts) <= SCAN_LIMIT for parts in lists)
    assert all(sum(len(part[2]) // 2 for part in parts) <= LEAVES_LIMIT for parts in lists)


def test_what_we_lack_is_asked_for_in_bounded_messages() -> None:
    world = World(storage=StorageSettings(limit_bytes=64 << 20))
    world.run(25)
    for index in range(1_500):
        world.write(b"key%d" % index, bytes(1_000), "b", reaches=())
    world.owners["b"].exchange.ground.peers["a"].due_s = world.now_s + 1e6
    world.forget_traffic()
    world.run(30)
    assert world.equal()
    asked = [message for message in world.messages if message[0] == RECORDS]
    assert sum(len(message[5]) for message in asked) >= 1_500
    assert max(len(message[5]) for message in asked) <= WANTED_LIMIT
    assert max(world.sizes) <= MESSAGE_LIMIT_BYTES + 10_000


def test_two_sides_that_cannot_agree_do_not_go_on_for_ever() -> None:
    """One side refuses part of what the other holds, so each gives back a third version, once."""
    world = World()
    a, b = world.owners["a"], world.owners["b"]
    world.run(25)
    world.write(b"key", b"of a", "a", reaches=())
    world.run(1)
    world.write(b"key", b"of b", "b", reaches=())
    b_record = b.held(b"key")
    assert b_record is not None
    b.exchange.ground.fresh = lambda partition, key, record: b_record
    world.forget_traffic()
    world.run(30)
    assert world.kinds.count(RECORDS) < 20
    assert a.held(b"key") != b.held(b"key")


def test_a_record_that_is_refused_is_not_settled() -> None:
    world = World()
    world.run(25)
    world.write(b"key", None, "a", reaches=())
    world.owners["b"].engine.set_limit(1)
    world.run(50)
    assert world.total("refused") >= 1
    assert world.total("settled_leaves") == 0
    world.owners["b"].engine.set_limit(64 << 20)
    world.run(200)
    assert world.equal()


def test_nothing_is_listed_before_a_second_comparison() -> None:
    """A write that arrives within the second costs two comparisons of its leaf and no list."""
    world = World(delay_s=0.01)
    world.run(25)
    record = world.owners["a"].make(b"key", b"value")
    world.forget_traffic()
    while not world.kinds:
        world.run(0.1)
    world.run(0.3)
    world.owners["b"].merge(b"key", record)
    world.run(10)
    assert ENTRIES not in world.kinds
    assert RECORDS not in world.kinds
