"""Removals: whom, by whom, and how far."""

import pytest

from dynacache.config.cluster import ClusterConfig
from dynacache.errors import InvalidRequest
from dynacache.placement.table import MemberState
from tests.placement.strategies import entry
from tests.repair.ring_world import RingWorld, world

S = MemberState


def with_dead(size: int = 4, name: str = "node-3", settings: ClusterConfig | None = None) -> RingWorld:
    """Members of whom one is held dead."""
    found = world(size, settings=settings)
    found.fake.down[name] = "dead"
    found.tick()
    return found


def test_a_removal_goes_step_by_step_as_enough_confirm() -> None:
    under_test = with_dead()
    under_test.core.request_remove("node-3")
    assert under_test.fake.table.entries["node-3"].removal == 1
    assert under_test.state_of("node-3") is S.NORMAL
    under_test.tick()
    assert under_test.state_of("node-3") is S.NORMAL, "one of three voters knows"
    under_test.confirm(["node-1"])
    assert under_test.state_of("node-3") is S.REMOVING
    under_test.tick(1.0)
    assert under_test.state_of("node-3") is S.REMOVING
    under_test.confirm(["node-1"])
    assert under_test.state_of("node-3") is S.REMOVING, "of node-2's and node-3's partitions with us one knows"
    under_test.tick(1.0)
    under_test.confirm(["node-2"])
    assert under_test.state_of("node-3") is S.REMOVED
    assert under_test.fake.notes == ["ring.condemned", "ring.removing", "ring.removed"]
    assert under_test.core.statistics()["removals_finished"] == 1


def test_of_two_members_the_dead_one_can_be_removed() -> None:
    under_test = with_dead(2, "node-1")
    under_test.core.request_remove("node-1")
    for _ in range(3):
        under_test.tick(1.0)
    assert under_test.state_of("node-1") is S.REMOVED


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("node-1", "node-1 is alive, only a dead or stopped member can be removed"),
        ("node-0", "node-0 is alive"),
        ("x", "x has no place to lose, it is OUTSIDE"),
        ("nobody", "got 'nobody', expected one of node-0, node-1"),
    ],
)
def test_what_cannot_be_removed_is_told(name: str, sentence: str) -> None:
    under_test = with_dead()
    under_test.fake.write_entry(entry("x", S.OUTSIDE))
    with pytest.raises(InvalidRequest, match=sentence):
        under_test.core.request_remove(name)
    assert not under_test.core.confirmations.removals


def test_the_last_member_with_a_place_is_not_removed() -> None:
    """Seed 2326: all others waited for a removal that nobody was left to agree to."""
    under_test = world(2, S.JOINING)
    under_test.fake.down["node-1"] = "dead"
    under_test.tick()
    with pytest.raises(InvalidRequest, match="node-1 is the last member with a place"):
        under_test.core.request_remove("node-1")
    assert not under_test.core.confirmations.removals


def test_to_ask_again_changes_nothing() -> None:
    under_test = with_dead()
    under_test.core.request_remove("node-3")
    table = under_test.fake.table
    under_test.core.request_remove("node-3")
    assert under_test.fake.table is table


def test_a_stopped_member_can_be_removed() -> None:
    under_test = with_dead()
    under_test.fake.down["node-3"] = "stopped"
    under_test.core.request_remove("node-3")
    assert under_test.fake.table.entries["node-3"].removal == 1


def test_nobody_is_removed_by_itself_unless_that_was_configured() -> None:
    under_test = with_dead()
    under_test.tick(1e6)
    assert under_test.fake.table.entries["node-3"].removal == 0


def test_who_stays_away_is_removed_by_the_first_live_member() -> None:
    settings = ClusterConfig(auto_remove_after_s=60.0)
    under_test = with_dead(settings=settings)
    under_test.tick(59.0)
    assert under_test.fake.table.entries["node-3"].removal == 0
    under_test.tick(1.0)
    assert under_test.fake.table.entries["node-3"].removal == 1
    later = with_dead(settings=settings)
    later.fake.node_id = "node-1"
    later.core.confirmations.own = later.fake.table.entries["node-1"]
    later.tick(61.0)
    assert later.fake.table.entries["node-3"].removal == 0, "node-0 is alive and does it"


def test_who_comes_back_in_time_is_not_removed() -> None:
    under_test = with_dead(settings=ClusterConfig(auto_remove_after_s=60.0))
    under_test.tick(50.0)
    del under_test.fake.down["node-3"]
    under_test.tick(1.0)
    under_test.fake.down["node-3"] = "dead"
    under_test.tick(20.0)
    assert under_test.fake.table.entries["node-3"].removal == 0


def test_with_half_of_the_members_away_nobody_is_removed_by_itself() -> None:
    under_test = with_dead(settings=ClusterConfig(auto_remove_after_s=60.0))
    under_test.fake.down["node-2"] = "dead"
    under_test.tick(100.0)
    under_test.tick(100.0)
    assert all(each.removal == 0 for each in under_test.fake.table.entries.values())


@pytest.mark.parametrize("state", [S.JOINING, S.SETTLING, S.LEAVING, S.RETIRING])
def test_who_goes_down_in_the_middle_of_its_change_is_removed_soon(state: MemberState) -> None:
    under_test = world(4, settings=ClusterConfig(join_undo_after_s=5.0))
    under_test.put("x", state)
    under_test.fake.down["x"] = "dead"
    under_test.tick()
    under_test.tick(4.9)
    assert under_test.fake.table.entries["x"].removal == 0
    under_test.tick(0.2)
    assert under_test.fake.table.entries["x"].removal == 1
    assert under_test.state_of("x") is state


def test_a_removal_by_itself_waits_while_another_member_changes() -> None:
    under_test = with_dead(settings=ClusterConfig(auto_remove_after_s=60.0))
    under_test.put("x", S.JOINING)
    under_test.tick(61.0)
    assert under_test.fake.table.entries["node-3"].removal == 0
    under_test.put("x", S.NORMAL)
    under_test.tick()
    assert under_test.fake.table.entries["node-3"].removal == 1


def test_a_removal_that_lies_about_is_carried_on_by_any_voter() -> None:
    under_test = with_dead()
    under_test.fake.node_id = "node-1"
    under_test.core.confirmations.own = under_test.fake.table.entries["node-1"]
    under_test.fake.write_entry(under_test.fake.table.entries["node-3"].at_removal(1))
    under_test.tick()
    under_test.confirm()
    assert under_test.state_of("node-3") is S.NORMAL, "node-0 is alive and does it"
    under_test.tick(5.0)
    under_test.tick(5.0)
    assert under_test.state_of("node-3") is S.REMOVING


def test_for_how_long_a_member_is_held_dead_is_told() -> None:
    under_test = with_dead()
    before_s = under_test.core.removals.down_for_s("node-3")
    under_test.tick(5.0)
    assert under_test.core.removals.down_for_s("node-3") == before_s + 5.0
    assert under_test.core.removals.down_for_s("node-1") == 0.0
    under_test.fake.down.clear()
    under_test.tick(1.0)
    assert under_test.core.removals.down_for_s("node-3") == 0.0


def all_condemned(*levels: int) -> RingWorld:
    """Members whose removals have come so far, all of them alive."""
    found = world(len(levels))
    for number, level in enumerate(levels):
        known = found.fake.table.entries[f"node-{number}"]
        found.fake.write_entry(known.at_removal(level))
    found.tick()
    return found


def test_where_all_are_condemned_the_least_removed_takes_its_place_back_once_all_know() -> None:
    """Two sides of a cut condemned each other; nobody was left to vote, and no change ever began again."""
    under_test = all_condemned(1, 2, 2)
    place = under_test.fake.table.entries["node-0"].place
    under_test.confirm(["node-1"])
    assert under_test.fake.table.entries["node-0"].removal == 1, "node-2 may not know, and vote"
    under_test.tick(1.0)
    under_test.confirm(["node-2"])
    own = under_test.fake.table.entries["node-0"]
    assert (own.removal, own.state, own.place) == (0, S.NORMAL, place + 1)
    assert under_test.fake.notes == ["ring.reprieved"]
    for _ in range(3):
        under_test.tick(1.0)
        under_test.confirm()
    assert [under_test.state_of(name) for name in ("node-1", "node-2")] == [S.REMOVED, S.REMOVED]


def test_who_confirmed_before_another_was_condemned_is_asked_again() -> None:
    under_test = all_condemned(1, 2, 2)
    under_test.confirm(["node-1"])
    under_test.fake.write_entry(under_test.fake.table.entries["node-1"].at_removal(3))
    under_test.tick(1.0)
    assert under_test.fake.table.entries["node-0"].removal == 1, "node-2 has not confirmed"
    under_test.confirm(["node-2"])
    assert under_test.fake.table.entries["node-0"].removal == 0


def test_it_falls_to_the_first_of_the_least_removed_alone() -> None:
    under_test = all_condemned(2, 1, 1)
    for _ in range(3):
        under_test.tick(1.0)
        under_test.confirm()
    assert [under_test.fake.table.entries[f"node-{number}"].removal for number in range(3)] == [2, 1, 1]


def test_a_member_that_is_condemned_and_has_nobody_beside_it_stays() -> None:
    under_test = all_condemned(1, 3)
    under_test.tick(1.0)
    assert under_test.fake.table.entries["node-0"].removal == 0
