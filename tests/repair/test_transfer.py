"""Transfers between nodes: every case of the end of warming, and everything that may go wrong on the way."""

import itertools
from typing import Any

import attrs
import pytest

from dynacache.config.transfer import TransferConfig
from dynacache.errors import InvalidOption
from dynacache.placement.partitions import key_hash
from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberState
from dynacache.repair.warming import Ending
from dynacache.versioning import packed
from dynacache.wire.messages import PAGE
from tests.repair.transfer_world import START_MS, Member, World, record_of, table_of

NORMAL, JOINING, LEAVING = MemberState.NORMAL, MemberState.JOINING, MemberState.LEAVING
THREE = dict.fromkeys("abc", NORMAL)
FOUR = dict.fromkeys("abcd", NORMAL)


def fill(world: World, count: int, size: int = 16, names: str | None = None) -> list[bytes]:
    """Store records at the owners of each key (or those of them in ``names``)."""
    keys = [b"key %d" % number for number in range(count)]
    for key in keys:
        record = record_of(size)
        for member in world.members.values():
            partition = _partition(member, key)
            if partition in member.placement.owned_by(member.node_id) and (names is None or member.node_id in names):
                member.store.put(key, record)
    return keys


def _partition(member: Member, key: bytes) -> int:
    return key_hash(key) >> member.store.shift


def assert_holds_its_share(world: World, name: str, keys: list[bytes]) -> None:
    member = world.members[name]
    owned = member.placement.owned_by(name)
    for key in keys:
        assert (member.store.get(key) is not None) == (_partition(member, key) in owned), key


def endings(world: World, name: str) -> dict[Ending, int]:
    return {ending: count for ending, count in world.members[name].core.plan.endings.items() if count}


def test_a_node_restarted_empty_takes_two_complete_copies_and_the_second_costs_nothing() -> None:
    world = World(table_of(THREE))
    keys = fill(world, 2_000, 100)
    c = world.restart("c")
    assert len(c.store.warming) == 64
    assert not c.core.is_complete(0)
    world.run_until_complete("c", 2.0)
    assert_holds_its_share(world, "c", keys)
    assert endings(world, "c") == {Ending.QUORUM: 64}
    assert c.core.is_complete(0)
    ((note,), content) = c.noted("memory.complete"), sum(map(len, keys)) + 2_000 * len(record_of(100))
    assert note["bytes"] == content
    assert note["memory_lost"] == 0
    assert content < world.bytes_moved < 1.1 * content
    assert sorted(partition for partition, _ in c.ended) == list(range(64))
    assert {START_MS + 1_000 <= since_ms <= START_MS + 3_000 for _, since_ms in c.ended} == {True}


def test_a_joiner_takes_only_the_copy_of_the_node_that_it_displaces() -> None:
    world = World(table_of({**FOUR}))
    keys = fill(world, 2_000, 100)
    world.table = table_of({**FOUR, "x": MemberState.OUTSIDE})
    x = world.start("x")
    assert not x.store.warming
    world.set_table(table_of({**FOUR, "x": JOINING}))
    gained = x.placement.owned_by("x")
    assert x.store.warming == gained, "marked at once"
    world.run_until_complete("x", 2.0)
    assert_holds_its_share(world, "x", keys)
    assert endings(world, "x") == {Ending.DISPLACED: len(gained)}
    asked = {(target, item[0]) for name, target, message in world.pulls if name == "x" for item in message[4]}
    assert asked == {(x.placement.displaced(partition, "x"), partition) for partition in gained}


def test_a_joiner_whose_displaced_node_is_dead_takes_two_others() -> None:
    world = World(table_of({**FOUR, "x": JOINING}))
    keys = fill(world, 500)
    world.kill("x")
    world.kill("d")
    x = world.start("x", empty=True)
    of_d = [p for p in x.store.warming if x.placement.displaced(p, "x") == "d"]
    world.run_until_complete("x", 3.0)
    assert of_d
    assert endings(world, "x") == {
        Ending.QUORUM: len(of_d),
        Ending.DISPLACED: len(x.placement.owned_by("x")) - len(of_d),
    }
    assert_holds_its_share(world, "x", keys)


def test_who_gains_from_a_leaver_takes_its_copy() -> None:
    world = World(table_of({**FOUR, "x": NORMAL}))
    keys = fill(world, 500)
    world.set_table(table_of({**FOUR, "x": LEAVING}))
    for name in FOUR:
        world.run_until_complete(name, 2.0)
        assert set(endings(world, name)) == {Ending.DISPLACED}
        member = world.members[name]
        for key in keys:
            partition = _partition(member, key)
            if name in member.placement.new(partition):
                assert member.store.get(key) is not None


def test_two_of_three_restarted_empty_end_with_all_that_is_left_and_say_so() -> None:
    world = World(table_of(THREE))
    keys = fill(world, 300)
    b, c = world.restart("b"), world.restart("c")
    only_b, only_c = b"only at b", b"only at c"
    b.store.put(only_b, record_of())
    c.store.put(only_c, record_of())
    world.run(4.0)
    assert b.store.warming == c.store.warming == b.placement.owned_by("b"), "patience first"
    for name in "bc":
        world.run_until_complete(name, 10.0)
        assert_holds_its_share(world, name, [*keys, only_b, only_c])
    assert Ending.EVERYONE in {**endings(world, "b"), **endings(world, "c")}
    lost = sum(endings(world, name).get(Ending.EVERYONE, 0) for name in "bc")
    assert 64 <= lost <= 128
    noted = sum(int(str(each["partitions"])) for each in [*b.noted("memory.lost"), *c.noted("memory.lost")])
    assert noted == lost == sum(int(str(each.core.statistics()["memory_lost"])) for each in (b, c))


def test_all_three_restarted_empty_end() -> None:
    world = World(table_of(THREE))
    for name in "abc":
        world.restart(name)
    for name in "abc":
        world.run_until_complete(name, 12.0)
    assert sum(endings(world, name).get(Ending.EVERYONE, 0) for name in "abc") >= 64


def test_an_owner_that_is_away_is_waited_for_until_the_table_gives_it_up() -> None:
    world = World(table_of(FOUR))
    keys = fill(world, 300)
    world.kill("a")
    c = world.restart("c")
    world.run(120.0)
    with_a = {p for p in range(64) if {"a", "c"} <= set(c.placement.owners(p))}
    assert set(c.store.warming) == with_a, "it may be complete: an acknowledged write may be nowhere else"
    assert c.core.progress()["waiting_for"] == {"a": len(with_a)}
    for partition in with_a:
        (other,) = set(c.placement.owners(partition)) - {"a", "c"}
        assert partition in c.core.sources[other].merged, "what there is has been taken"
    world.set_table(table_of({**FOUR, "a": MemberState.REMOVED}))
    world.run_until_complete("c", 20.0)
    assert_holds_its_share(world, "c", keys)
    assert sum(endings(world, name).get(Ending.EVERYONE, 0) for name in "bcd") == len(with_a), "two copies are gone"


def test_an_owner_that_comes_back_complete_ends_the_wait_without_loss() -> None:
    world = World(table_of(THREE))
    keys = fill(world, 300)
    world.isolate("a")
    c = world.restart("c")
    world.run(30.0)
    assert len(c.store.warming) == 64
    world.cut.clear()
    world.run_until_complete("c", 2.0)
    assert endings(world, "c") == {Ending.QUORUM: 64}
    assert_holds_its_share(world, "c", keys)


@pytest.mark.parametrize(("names", "expected"), [("a", Ending.EVERYONE), ("ab", Ending.QUORUM)])
def test_clusters_of_one_and_two_have_an_end(names: str, expected: Ending) -> None:
    world = World(table_of(dict.fromkeys(names, NORMAL)))
    keys = fill(world, 100)
    world.restart(names[-1])
    world.run_until_complete(names[-1], 2.0)
    assert endings(world, names[-1]) == {expected: 64}
    if expected is Ending.QUORUM:
        assert_holds_its_share(world, names[-1], keys)


def test_two_of_two_restarted_empty_end() -> None:
    world = World(table_of(dict.fromkeys("ab", NORMAL)))
    for name in "ab":
        world.restart(name)
    for name in "ab":
        world.run_until_complete(name, 12.0)
    assert sum(endings(world, name).get(Ending.EVERYONE, 0) for name in "ab") >= 64


def test_what_is_lost_ends_only_when_the_hints_have_come() -> None:
    world = World(table_of(THREE))
    a, b, c = world.members["a"], world.restart("b"), world.restart("c")
    a.hints.update(b=1, c=5)
    world.run(30.0)
    assert len(b.store.warming) == len(c.store.warming) == 64
    a.hints.clear()
    for name in "bc":
        world.run_until_complete(name, 3.0)


def test_hints_that_never_come_are_not_waited_for_for_ever() -> None:
    world = World(table_of(THREE), settings=TransferConfig(hints_wait_s=20.0))
    world.restart("b")
    world.members["a"].hints.update(b=1, c=5)
    world.restart("c")
    world.run(20.0)
    assert len(world.members["c"].store.warming) == 64
    world.run_until_complete("c", 10.0)


def test_a_stale_copy_is_no_source_while_someone_is_complete() -> None:
    world = World(table_of(THREE))
    fill(world, 100)
    world.members["a"].store.stale.update(range(64))
    deleted = b"deleted long ago"
    world.members["a"].store.put(deleted, record_of())
    c = world.restart("c")
    world.run(60.0)
    assert len(c.store.warming) == 64
    assert c.store.get(deleted) is None
    world.members["a"].store.stale.clear()
    del world.members["a"].store.records[_partition(c, deleted)][deleted]
    world.run_until_complete("c", 3.0)
    assert endings(world, "c") == {Ending.QUORUM: 64}
    assert c.store.get(deleted) is None


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


def test_a_copy_begun_before_the_owners_changed_does_not_count() -> None:
    world = World(table_of(FOUR, partition_count=16), settings=TransferConfig(page_bytes=4_096))
    keys = fill(world, 2_000, 200)
    c = world.restart("c")
    world.run(0.03)
    before = Placement.from_table(world.table)
    world.table = table_of({**FOUR, "x": MemberState.OUTSIDE}, partition_count=16)
    world.start("x")
    world.set_table(table_of({**FOUR, "x": JOINING}, partition_count=16))
    changed = [p for p in c.store.warming if before.old(p) != c.placement.new(p)]
    assert changed
    for partition in changed:
        assert all(partition not in source.merged for source in c.core.sources.values())
        assert all(source.asked is None or partition not in source.asked.counted for source in c.core.sources.values())
    world.run_until_complete("c", 5.0)
    world.run_until_complete("x", 5.0)
    assert_holds_its_share(world, "c", keys)
    assert_holds_its_share(world, "x", keys)


def test_the_fence_only_a_source_with_the_same_table_answers() -> None:
    world = World(table_of(FOUR))
    fill(world, 300)
    world.table = table_of({**FOUR, "x": MemberState.OUTSIDE})
    x = world.start("x")
    joining = table_of({**FOUR, "x": JOINING})
    x.set_table(joining)
    world.run(5.0)
    assert x.store.warming == x.placement.owned_by("x")
    assert not x.core.bytes_in
    world.set_table(joining)
    world.run_until_complete("x", 10.0)


def test_a_write_that_comes_during_the_transfer_is_kept() -> None:
    world = World(table_of(THREE, partition_count=16), settings=TransferConfig(page_bytes=4_096))
    keys = fill(world, 1_000, 200)
    c = world.restart("c")
    c.core.set_limit(400_000)
    late = record_of(8, START_MS + 60_000)
    for key in itertools.islice(keys, 0, None, 3):
        world.run(0.001)
        partition, held = _partition(c, key), c.store.get(key)
        c.store.put(key, late if held is None else packed.merge(held, late))
        assert partition in c.store.warming
        c.store.put(b"new " + key, late)
    world.run_until_complete("c", 10.0)
    for key in itertools.islice(keys, 0, None, 3):
        assert c.store.get(b"new " + key) == late
        merged = c.store.get(key)
        assert merged is not None
        assert len(merged) > len(late), "both versions stand"


def test_after_a_start_without_memory_no_copy_counts_before_writes_under_way_have_ended() -> None:
    world = World(table_of(THREE), settle_s=6.0)
    fill(world, 100)
    c = world.restart("c")
    world.run(5.9)
    assert not c.core.bytes_in
    world.run_until_complete("c", 1.0)


def test_the_rate_is_kept_and_can_be_changed() -> None:
    world = World(table_of(THREE, partition_count=16), settings=TransferConfig(page_bytes=8_192))
    fill(world, 4_000, 1_000)
    c = world.restart("c")
    c.core.set_limit(200_000)
    start_s, bytes_before = world.now_s, c.core.bytes_in
    world.run(5.0)
    moved = c.core.bytes_in - bytes_before
    assert 0.9 * 5 * 200_000 < moved < 5 * 200_000 + 40_000
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
    taken = {name: source.bytes_in for name, source in c.core.sources.items()}
    assert set(taken) == {"a", "b"}
    for bytes_in in taken.values():
        assert bytes_in < 5 * 100_000 + 20_000
    assert sum(taken.values()) > 0.9 * 2 * 5 * 100_000


@pytest.mark.parametrize("busy", ["source", "puller"])
def test_a_transfer_yields_to_clients_but_goes_on(busy: str) -> None:
    settings = TransferConfig(bytes_per_s=1_000_000, page_bytes=8_192)
    world = World(table_of(THREE, partition_count=16), settings=settings)
    fill(world, 4_000, 1_000)
    c = world.restart("c")
    for name in "ab" if busy == "source" else "c":
        world.members[name].load = 1.0
    world.run(4.0)
    assert 0.03 * 4_000_000 < c.core.bytes_in < 0.15 * 4_000_000
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
    assert c.core.did_not_fit > 1
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


def test_what_is_left_of_an_earlier_time_as_owner_is_not_trusted() -> None:
    world = World(table_of({**FOUR, "x": MemberState.OUTSIDE}))
    x = world.members["x"]
    joining = table_of({**FOUR, "x": JOINING})
    (old, young) = (b"old", b"young")
    keys = [key + b" %d" % number for key in (old, young) for number in range(200)]
    for key in keys:
        x.store.put(key, record_of(time_ms=START_MS - (7_200_000 if key.startswith(old) else 60_000)))
    world.set_table(joining)
    gained = x.placement.owned_by("x")
    for key in keys:
        expected = key.startswith(young) or _partition(x, key) not in gained
        assert (x.store.get(key) is not None) == expected


def test_distrust_fills_again_what_there_is() -> None:
    world = World(table_of(THREE))
    keys = fill(world, 100, names="ab")
    c = world.members["c"]
    c.core.begin(c.placement.owned_by("c"), "its clock ran ahead")
    assert len(c.store.warming) == 64
    world.run_until_complete("c", 2.0)
    assert_holds_its_share(world, "c", keys)
    assert c.noted("memory.warming") == [{"partitions": 64, "reason": "its clock ran ahead"}]


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
