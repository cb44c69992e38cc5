"""One node's own change, step by step, on a fake port."""

import attrs
import pytest
from pyroaring import BitMap

from dynacache.config.cluster import ClusterConfig
from dynacache.errors import InvalidRequest
from dynacache.placement.table import MemberState
from dynacache.repair.ring_change import HANDOVER_LIMIT_S
from dynacache.wire.messages import FENCE
from tests.placement.strategies import entry
from tests.repair.ring_world import RingWorld, world

S = MemberState
SOON = ClusterConfig(change_interval_s=10.0)


def outside(settings: ClusterConfig = SOON) -> RingWorld:
    """`node-0` without a place among three members."""
    return world(4, S.OUTSIDE, settings)


def joining() -> RingWorld:
    """`node-0` about to join, its partitions not filled yet."""
    under_test = outside()
    under_test.core.request_join()
    under_test.tick()
    under_test.warming = under_test.fake.placement.owned_by("node-0")
    return under_test


def test_nothing_happens_unasked() -> None:
    for state in (S.OUTSIDE, S.NORMAL):
        under_test = world(4, state)
        under_test.tick(1000.0)
        assert under_test.state() is state
        assert not under_test.fake.asked


def test_a_join_from_the_request_to_the_end() -> None:
    under_test = joining()
    assert under_test.state() is S.JOINING
    under_test.confirm()
    assert under_test.state() is S.JOINING, "not filled"
    under_test.warming.clear()
    under_test.tick()
    assert under_test.state() is S.SETTLING
    under_test.tick(1.0)
    assert under_test.state() is S.SETTLING, "nobody has confirmed this"
    under_test.confirm(["node-1"])
    assert under_test.state() is S.SETTLING, "one of each three owners"
    under_test.tick(1.0)
    under_test.confirm(["node-2"])
    assert under_test.state() is S.NORMAL
    assert [each.version for each in under_test.fake.table.entries.values()] == [5, 1, 1, 1]
    assert under_test.core.statistics()["changes"] == 3


def test_a_join_needs_more_than_half_of_the_voters() -> None:
    under_test = joining()
    under_test.warming.clear()
    under_test.confirm(["node-1"])
    assert under_test.state() is S.JOINING
    under_test.tick(1.0)
    under_test.confirm(["node-2"])
    assert under_test.state() is S.SETTLING


def test_what_is_not_owned_need_not_be_filled() -> None:
    under_test = joining()
    under_test.warming = BitMap(range(1024)) - under_test.fake.placement.owned_by("node-0")
    under_test.confirm()
    assert under_test.state() is S.SETTLING


def test_who_lost_its_memory_while_settling_fills_it_first() -> None:
    under_test = world(4, S.SETTLING)
    under_test.warming = BitMap(under_test.fake.placement.owned_by("node-0"))
    under_test.tick()
    under_test.confirm()
    assert under_test.state() is S.SETTLING
    under_test.warming.clear()
    under_test.tick()
    assert under_test.state() is S.NORMAL


def test_a_leave_from_the_request_to_the_end() -> None:
    under_test = world(4, S.NORMAL)
    under_test.core.request_leave()
    under_test.tick()
    assert under_test.state() is S.LEAVING
    gained = under_test.fake.placement.owned_by("node-1") - BitMap(
        p for p in range(1024) if "node-1" in under_test.fake.placement.old(p)
    )
    under_test.confirm(warming=list(gained)[:1])
    assert under_test.state() is S.LEAVING, "one partition is not filled there"
    under_test.tick(1.0)
    under_test.confirm()
    assert under_test.state() is S.RETIRING
    under_test.departing.add(5)
    under_test.tick(1.0)
    under_test.confirm()
    assert under_test.state() is S.LEFT
    under_test.tick(1.0)
    assert under_test.left == 0, "not handed over"
    under_test.departing.clear()
    for _ in range(3):
        under_test.tick(1.0)
    assert under_test.left == 1


def test_the_handing_over_has_an_end() -> None:
    under_test = world(4, S.LEFT)
    under_test.departing.add(5)
    under_test.tick()
    under_test.tick(HANDOVER_LIMIT_S)
    assert under_test.left == 1
    assert "ring.not_handed_over" in under_test.fake.notes


def test_a_gainer_that_did_not_answer_has_filled_nothing() -> None:
    under_test = world(4, S.LEAVING)
    under_test.tick()
    under_test.confirm(["node-1", "node-2"])
    assert under_test.state() is S.LEAVING
    assert "node-3" in str(under_test.core.progress()["waiting_for"])


def test_one_change_at_a_time() -> None:
    under_test = outside()
    under_test.put("x", S.JOINING)
    under_test.core.request_join()
    under_test.tick(100.0)
    assert under_test.state() is S.OUTSIDE
    assert under_test.core.progress()["waiting_for"] == "the change of x (JOINING)"
    under_test.put("x", S.NORMAL)
    under_test.tick()
    assert under_test.state() is S.JOINING


@pytest.mark.parametrize("state", [S.JOINING, S.LEAVING])
def test_the_later_of_two_goes_back_and_tries_again_after_a_rest(state: MemberState) -> None:
    under_test = world(4, state, SOON)
    under_test.fake.write_entry(attrs.evolve(entry("x", S.JOINING), generation=0, place=0))
    under_test.tick()
    assert under_test.state() is (S.OUTSIDE if state is S.JOINING else S.NORMAL)
    assert under_test.core.statistics()["steps_back"] == 1
    under_test.put("x", S.NORMAL)
    under_test.tick(9.9)
    assert under_test.state() in (S.OUTSIDE, S.NORMAL)
    under_test.tick(10.1)
    assert under_test.state() is state


def test_the_earlier_of_two_stays_but_waits_for_the_other() -> None:
    under_test = joining()
    under_test.warming.clear()
    under_test.put("x", S.JOINING)
    under_test.confirm()
    assert under_test.state() is S.JOINING
    under_test.put("x", S.OUTSIDE)
    under_test.tick()
    assert under_test.state() is S.SETTLING, "a majority had confirmed before the other began"


@pytest.mark.parametrize("state", [S.SETTLING, S.RETIRING])
def test_a_change_in_effect_makes_way_for_nobody(state: MemberState) -> None:
    under_test = world(4, state)
    under_test.fake.write_entry(under_test.fake.table.entries["node-3"].at_removal(1))
    under_test.tick()
    assert under_test.state() is state


def test_two_changes_of_one_node_are_an_interval_apart() -> None:
    under_test = joining()
    under_test.warming.clear()
    for _ in range(3):
        under_test.confirm()
        under_test.tick(1.0)
    assert under_test.state() is S.NORMAL
    under_test.core.request_leave()
    under_test.tick(5.0)
    assert under_test.state() is S.NORMAL
    assert "rest" in str(under_test.core.progress()["waiting_for"])
    under_test.tick(5.0)
    assert under_test.state() is S.LEAVING


def test_who_was_removed_hands_over_and_comes_back_in_a_new_place() -> None:
    under_test = world(4, settings=SOON)
    own = under_test.fake.table.entries["node-0"]
    under_test.fake.write_entry(own.at_removal(3))
    under_test.departing.update(range(3))
    under_test.tick()
    assert under_test.state() is S.REMOVED
    under_test.departing.clear()
    under_test.tick(1.0)
    assert under_test.state() is S.OUTSIDE
    assert under_test.fake.table.entries["node-0"].place == own.place + 1
    under_test.tick(10.0)
    assert under_test.state() is S.JOINING


def test_who_is_condemned_does_nothing_by_itself() -> None:
    under_test = world(4, S.LEAVING)
    under_test.fake.write_entry(under_test.fake.table.entries["node-0"].at_removal(1))
    under_test.tick()
    under_test.confirm()
    assert under_test.state() is S.LEAVING
    assert under_test.core.progress()["waiting_for"] == "its own removal by others"


def test_who_is_configured_to_join_does_so_unless_it_has_a_place() -> None:
    settings = ClusterConfig(join=True)
    for state, expected in ((S.OUTSIDE, S.JOINING), (S.NORMAL, S.NORMAL)):
        under_test = world(4, state, settings)
        under_test.tick()
        assert under_test.state() is expected


def test_requests_that_make_no_sense_are_refused_with_a_reason() -> None:
    with pytest.raises(InvalidRequest, match="node-0 has no place to give up"):
        outside().core.request_leave()
    with pytest.raises(InvalidRequest, match="this is the last member"):
        world(1).core.request_leave()
    with pytest.raises(InvalidRequest, match="node-0 is LEAVING"):
        world(4, S.LEAVING).core.request_join()


def test_a_leave_is_given_up_when_all_others_have_left_first() -> None:
    """Two of two members asked to leave at once; the simulator's seed 454 went on with a ring of nobody."""
    under_test = world(2)
    under_test.core.request_leave()
    other = under_test.fake.table.entries["node-1"]
    under_test.fake.write_entry(attrs.evolve(other, state=S.LEFT, version=other.version + 1))
    under_test.tick(60.0)
    assert under_test.state() is S.NORMAL
    assert under_test.core.progress()["wants"] is None


def test_requests_may_be_repeated() -> None:
    member = world(4)
    member.core.request_join()
    member.tick(100.0)
    assert member.state() is S.NORMAL
    leaving = world(4, S.LEAVING)
    leaving.core.request_leave()
    leaving.tick()
    assert leaving.state() is S.LEAVING


def test_it_answers_fences_and_is_due_sooner_while_it_changes() -> None:
    under_test = joining()
    assert list(under_test.core.handlers) == [FENCE]
    under_test.core.handlers[FENCE](3, "node-1", [FENCE, 4, 0, under_test.fake.digest])
    assert under_test.fake.replies[0][1] == 4
    assert under_test.core.next_due_s() < world(4).core.next_due_s()
    assert under_test.core.progress()["wants"] is None
    assert under_test.core.progress()["state"] == "joining"


def test_another_table_makes_it_ask_again_at_once() -> None:
    under_test = joining()
    under_test.fake.asked.clear()
    placement = under_test.fake.placement
    under_test.core.table_changed(placement, placement)
    under_test.tick()
    assert len(under_test.fake.asked) == 3
