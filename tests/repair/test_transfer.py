"""Transfers between nodes on a fake wire: pages, rates, and everything that may go wrong on the way."""

import itertools
from typing import Any

import attrs
import pytest

from dynacache.config.transfer import TransferConfig
from dynacache.errors import InvalidOption
from dynacache.placement.table import MemberState
from dynacache.repair.transfer_messages import RECORD_COST_BYTES
from dynacache.repair.warming import Ending
from dynacache.versioning import packed
from dynacache.wire.messages import PAGE
from tests.repair.transfer_world import (
    START_MS,
    World,
    assert_holds_its_share,
    endings,
    fill,
    partition_at,
    record_of,
    table_of,
)

NORMAL, JOINING, LEAVING = MemberState.NORMAL, MemberState.JOINING, MemberState.LEAVING
THREE = dict.fromkeys("abc", NORMAL)
FOUR = dict.fromkeys("abcd", NORMAL)


def test_a_thousand_empty_partitions_take_a_few_round_trips() -> None:
    world = World(table_of(THREE, partition_count=1024))
    world.restart("c")
    assert world.run_until_complete("c", 1.0) < 1.0
    assert len(world.pulls) <= 12


def test_a_source_that_dies_in_the_middle_is_replaced_by_another() -> None:
    settings = TransferConfig(source_bytes_per_s=100_000)
    world = World(table_of(FOUR, partition_count=16), settings=settings)
    keys = fill(world, 2_000, 200)
    x_table = table_of({**FOUR, "x": JOINING}, partition_count=16)
    world.table = table_of({**FOUR, "x": MemberState.OUTSIDE}, partition_count=16)
    x = world.start("x")
    world.set_table(x_table)
    world.run(0.5)
    begun = [name for name, source in x.core.sources.items() if source.begun]
    assert begun
    world.kill(begun[0])
    x.core.set_limit(1 << 30)
    for source in x.core.sources.values():
        source.bucket.rate_per_s = 1e9
    world.run_until_complete("x", 5.0)
    assert endings(world, "x").get(Ending.QUORUM)
    assert_holds_its_share(world, "x", keys)


def test_a_lost_page_is_asked_for_again_where_it_stopped() -> None:
    world = World(table_of(THREE, partition_count=16), settings=TransferConfig(page_bytes=4_096, pull_timeout_ms=500))
    keys = fill(world, 1_500, 200)
    world.restart("c")
    world.run(0.02)
    world.lose_answers = 2
    world.run_until_complete("c", 10.0)
    assert_holds_its_share(world, "c", keys)
    statistics = world.members["c"].core.statistics()
    assert statistics["pulls_failed"] == 2
    assert statistics["partitions_begun_again"] == 0
    assert sum(member.store.snapshots for member in world.members.values()) == 16


def test_a_source_that_was_restarted_makes_the_puller_begin_again() -> None:
    world = World(table_of(THREE, partition_count=16), settings=TransferConfig(page_bytes=4_096))
    keys = fill(world, 1_500, 200)
    c = world.restart("c")
    world.run(0.02)
    name = next(name for name, source in c.core.sources.items() if source.begun)
    world.members[name].core.server._open.clear()
    world.run_until_complete("c", 10.0)
    assert c.core.begun_again >= 1
    assert_holds_its_share(world, "c", keys)


def test_a_write_that_comes_during_the_transfer_is_kept() -> None:
    world = World(table_of(THREE, partition_count=16), settings=TransferConfig(page_bytes=4_096))
    keys = fill(world, 1_000, 200)
    c = world.restart("c")
    c.core.set_limit(400_000)
    late = record_of(8, START_MS + 60_000)
    for key in itertools.islice(keys, 0, None, 3):
        world.run(0.001)
        partition, held = partition_at(c, key), c.store.get(key)
        c.store.put(key, late if held is None else packed.merge(held, late))
        assert partition in c.store.warming
        c.store.put(b"new " + key, late)
    world.run_until_complete("c", 10.0)
    for key in itertools.islice(keys, 0, None, 3):
        assert c.store.get(b"new " + key) == late
        merged = c.store.get(key)
        assert merged is not None
        assert len(merged) > len(late), "both versions stand"


def test_the_rate_is_kept_and_can_be_changed() -> None:
    world = World(table_of(THREE, partition_count=16), settings=TransferConfig(page_bytes=8_192))
    fill(world, 4_000, 1_000)
    c = world.restart("c")
    c.core.set_limit(200_000)
    start_s, bytes_before = world.now_s, c.core.bytes_in
    world.run(5.0)
    counted = c.core.bytes_in - bytes_before + RECORD_COST_BYTES * sum(map(len, c.store.records))
    assert 0.9 * 5 * 200_000 < counted < 5 * 200_000 + 60_000
    progress = c.core.progress()
    assert progress["limit_bytes_per_s"] == 200_000
    assert progress["elapsed_s"] == pytest.approx(world.now_s - start_s)
    c.core.set_limit(10_000_000)
    world.run_until_complete("c", 3.0)
    with pytest.raises(InvalidOption, match="handoff limit: got 0, expected"):
        c.core.set_limit(0)


def test_each_source_has_its_own_rate() -> None:
    settings = TransferConfig(source_bytes_per_s=100_000, page_bytes=8_192)
    world = World(table_of(THREE, partition_count=16), settings=settings)
    fill(world, 4_000, 500)
    c = world.restart("c")
    world.run(5.0)
    counted = [source.bytes_in * (1 + RECORD_COST_BYTES / 563) for source in c.core.sources.values()]
    assert len(counted) == 2
    for count in counted:
        assert 0.9 * 5 * 100_000 < count < 5 * 100_000 + 60_000


@pytest.mark.parametrize("busy", ["source", "puller"])
def test_a_transfer_yields_to_clients_but_goes_on(busy: str) -> None:
    settings = TransferConfig(bytes_per_s=1_000_000, page_bytes=8_192)
    world = World(table_of(THREE, partition_count=16), settings=settings)
    fill(world, 4_000, 1_000)
    c = world.restart("c")
    for name in "ab" if busy == "source" else "c":
        world.members[name].load = 1.0
    world.run(4.0)
    counted = c.core.bytes_in * (1 + RECORD_COST_BYTES / 1_063)
    assert 0.04 * 4_000_000 < counted < 0.15 * 4_000_000
    for member in world.members.values():
        member.load = 0.0
    world.run_until_complete("c", 10.0)


def test_a_value_larger_than_a_page_travels_alone() -> None:
    world = World(table_of(THREE, partition_count=16))
    keys = fill(world, 20, 1_000_000)
    world.restart("c")
    world.run_until_complete("c", 10.0)
    assert_holds_its_share(world, "c", keys)


def _truncated(message: Any) -> Any:
    if message[0] == PAGE:
        for part in message[5]:
            if part[3]:
                part[3][-1] = part[3][-1][: -len(part[3][-1]) + 10]
    return message


def _of_another_partition(message: Any) -> Any:
    for part in message[5]:
        part[0] = (part[0] + 1) % 16
    return message


@pytest.mark.parametrize(
    "tamper",
    [
        _truncated,
        _of_another_partition,
        lambda message: message[:4],
        lambda message: [*message[:3], [b"\xff\xff", b""], *message[4:]],
        lambda message: [*message[:2], 1 << 63, *message[3:]],
        lambda message: [*message[:5], [[*part[:4], b"short"] for part in message[5]] or 5],
    ],
)
def test_a_malformed_page_changes_nothing(tamper: Any) -> None:
    world = World(table_of(THREE, partition_count=16))
    keys = fill(world, 300)
    world.restart("c")
    world.run(0.0)
    world.tamper = lambda message: tamper(message) if message[5] else message
    world.run(2.0)
    c = world.members["c"]
    assert c.core.malformed
    assert not any(c.store.records)
    assert len(c.store.warming) == 16
    world.tamper = None
    world.run_until_complete("c", 20.0)
    assert_holds_its_share(world, "c", keys)


def test_memory_without_room_for_a_delete_leaves_the_partition_warming() -> None:
    world = World(table_of(THREE, partition_count=16))
    keys = fill(world, 300)
    c = world.restart("c")
    c.store.is_full = True
    world.run(20.0)
    assert len(c.store.warming) == 16
    assert c.core.merger.did_not_fit > 1
    c.store.is_full = False
    world.run_until_complete("c", 10.0)
    assert_holds_its_share(world, "c", keys)


def test_a_partition_that_is_lost_is_warming_no_more() -> None:
    world = World(table_of({**FOUR, "x": JOINING}))
    x = world.restart("x")
    world.isolate("x")
    x.set_table(table_of({**FOUR, "x": MemberState.REMOVED}))
    assert not x.store.warming
    world.run(1.0)
    assert x.core.next_due_s() == float("inf")


def test_as_many_sources_at_once_as_allowed() -> None:
    settings = TransferConfig(sources_limit=2)
    world = World(table_of(dict.fromkeys("abcdefgh", NORMAL)), settings=settings)
    fill(world, 3_000, 300)
    c = world.restart("c")
    most = 0
    for _ in range(200):
        world.run(0.0015)
        most = max(
            most, sum(source.asked is not None and bool(source.asked.named) for source in c.core.sources.values())
        )
    assert most == 2
    world.run_until_complete("c", 10.0)


def test_a_node_with_nothing_to_do_asks_nobody() -> None:
    world = World(table_of(THREE))
    world.run(5.0)
    assert not world.pulls
    assert world.members["a"].core.next_due_s() == float("inf")
    assert attrs.asdict(world.settings) == attrs.asdict(TransferConfig())


def test_a_copy_that_is_filled_from_one_that_has_forgotten_evictions_does_not_know_either() -> None:
    world = World(table_of(THREE, partition_count=16))
    world.members["a"].store.note_forgotten(5)
    fill(world, 100, 20)
    world.restart("c")
    world.run_until_complete("c", 2.0)
    store = world.members["c"].store
    assert store.has_forgotten(5)
    assert not store.has_forgotten(6)
