"""How the filling of a partition ends, between transfer cores on a fake wire: every case, and what must not end it."""

import pytest

from dynacache.config.transfer import TransferConfig
from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberState
from dynacache.repair.warming import Ending
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
            partition = partition_at(member, key)
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
    world.run(130.0)
    with_a = {p for p in range(64) if {"a", "c"} <= set(c.placement.owners(p))}
    assert set(c.store.warming) == with_a, "it may be complete: an acknowledged write may be nowhere else"
    assert c.core.progress()["waiting_for"] == {"a": len(with_a)}
    assert c.noted("memory.waiting") == [{"partitions_by_node": {"a": len(with_a)}}] * 2, "once a minute"
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
    del world.members["a"].store.records[partition_at(c, deleted)][deleted]
    world.run_until_complete("c", 3.0)
    assert endings(world, "c") == {Ending.QUORUM: 64}
    assert c.store.get(deleted) is None


@pytest.mark.parametrize("is_source_stale", [True, False])
def test_who_had_no_room_for_what_only_a_stale_copy_holds_is_stale_too(is_source_stale: bool) -> None:
    world = World(table_of(dict.fromkeys("ab", NORMAL), copies=2))
    keys = fill(world, 200)
    if is_source_stale:
        world.members["a"].store.stale.update(range(64))
    b = world.restart("b")
    b.store.refused.add(keys[0])
    world.run_until_complete("b", 10.0)
    lacking = partition_at(b, keys[0])
    assert endings(world, "b") == {Ending.EVERYONE if is_source_stale else Ending.QUORUM: 64}
    assert b.store.get(keys[0]) is None
    assert list(b.store.stale) == ([lacking] if is_source_stale else [])
    assert b.core.is_complete(lacking) != is_source_stale


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


def test_after_a_start_without_memory_no_copy_counts_before_writes_under_way_have_ended() -> None:
    world = World(table_of(THREE), settle_s=6.0)
    fill(world, 100)
    c = world.restart("c")
    world.run(5.9)
    assert not c.core.bytes_in
    world.run_until_complete("c", 1.0)


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
        expected = key.startswith(young) or partition_at(x, key) not in gained
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
