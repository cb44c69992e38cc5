"""What a change would move: each share, the least that could move, balance and zones."""

import attrs
import pytest

from dynacache.errors import InvalidRequest
from dynacache.placement.placement import Placement
from dynacache.placement.plan import Change, ChangeKind, plan
from dynacache.placement.table import MemberState
from tests.placement.strategies import cluster, entry, table_of

FIVE = cluster(5)


def test_a_join_moves_its_share_to_the_joiner_and_nothing_else() -> None:
    planned = plan(FIVE, [Change(ChangeKind.JOIN, "x")])
    shares = {share.node_id: share for share in planned.shares}
    assert shares["x"].before == 0
    assert shares["x"].gained == shares["x"].after == planned.moved_copies
    assert all(share.gained == 0 for node_id, share in shares.items() if node_id != "x")
    assert sum(share.lost for share in planned.shares) == planned.moved_copies
    assert planned.all_copies == 3 * 1024
    assert planned.ideal_moved_copies == pytest.approx(3 * 1024 / 6)
    assert 0.9 < planned.moved_over_ideal < 1.1
    assert planned.moved_share == planned.moved_copies / (3 * 1024)
    assert planned.most_owners_changed == 1


@pytest.mark.parametrize("kind", [ChangeKind.LEAVE, ChangeKind.REMOVE])
def test_who_goes_loses_all_and_the_others_gain_it(kind: ChangeKind) -> None:
    planned = plan(FIVE, [Change(kind, "node-2")])
    shares = {share.node_id: share for share in planned.shares}
    held = len(Placement.from_table(FIVE).owned_by("node-2"))
    assert (shares["node-2"].before, shares["node-2"].after, shares["node-2"].lost) == (held, 0, held)
    assert planned.moved_copies == planned.ideal_moved_copies == held
    assert all(share.lost == 0 for node_id, share in shares.items() if node_id != "node-2")
    assert planned.most_owners_changed == 1


def test_with_fewer_members_than_copies_nothing_has_to_move() -> None:
    planned = plan(cluster(3), [Change(ChangeKind.LEAVE, "node-0")])
    assert (planned.moved_copies, planned.ideal_moved_copies, planned.moved_over_ideal) == (0, 0.0, 0.0)
    assert planned.all_copies == 2 * 1024


def test_several_changes_are_planned_together() -> None:
    planned = plan(cluster(3), [Change(ChangeKind.JOIN, "x"), Change(ChangeKind.JOIN, "y")])
    assert planned.ideal_moved_copies == pytest.approx(3 * 1024 * 2 / 5)
    assert 0.9 < planned.moved_over_ideal < 1.1
    assert planned.most_owners_changed == 2


def test_weight_and_zone_of_a_newcomer_count() -> None:
    heavy = plan(FIVE, [Change(ChangeKind.JOIN, "x", weight=5)])
    assert heavy.ideal_moved_copies == pytest.approx(3 * 1024 / 2)
    crowded = table_of([entry(f"b{index}", zone="b") for index in range(3)])
    apart = plan(crowded, [Change(ChangeKind.JOIN, "a", zone="a"), Change(ChangeKind.JOIN, "c", zone="c")])
    assert (apart.zone_violations_before, apart.zone_violations_after) == (0, 0)
    lopsided = table_of([entry("a", zone="a"), *(entry(f"b{index}", zone="b") for index in range(4))], 1024, 4)
    assert plan(lopsided, [Change(ChangeKind.JOIN, "a2", zone="a")]).zone_violations_after == 0
    assert plan(lopsided, []).zone_violations_before == 1024


def test_balance_is_told_before_and_after() -> None:
    planned = plan(FIVE, [Change(ChangeKind.LEAVE, "node-0")])
    assert planned.balance_before == Placement.from_table(FIVE).balance()
    assert "node-0" not in planned.balance_after.copies_by_node


def test_changes_under_way_count_as_done() -> None:
    joining = FIVE.with_entry(entry("x", MemberState.JOINING))
    leaving = joining.with_entry(attrs.evolve(joining.entries["node-0"], version=2, state=MemberState.LEAVING))
    condemned = leaving.with_entry(leaving.entries["node-1"].at_removal(1))
    planned = plan(condemned, [])
    assert planned.moved_copies == 0
    assert [share.node_id for share in planned.shares] == ["node-2", "node-3", "node-4", "x"]


def test_who_was_outside_or_gone_joins_with_its_own_zone() -> None:
    table = table_of([entry("a", zone="a"), entry("x", MemberState.OUTSIDE, zone="z"), entry("y").at_removal(3)])
    planned = plan(table, [Change(ChangeKind.JOIN, "x", zone="ignored"), Change(ChangeKind.JOIN, "y")])
    assert {share.node_id: share.after for share in planned.shares} == {"a": 1024, "x": 1024, "y": 1024}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (Change(ChangeKind.JOIN, "node-0"), "node-0 is a member already"),
        (Change(ChangeKind.JOIN, "x", weight=0), "weight: got 0, expected 1 to 64"),
        (Change(ChangeKind.LEAVE, "x"), "leave: got 'x', expected one of node-0, node-1"),
        (Change(ChangeKind.REMOVE, "x"), "remove: got 'x', expected one of node-0, node-1"),
    ],
)
def test_what_cannot_be_is_refused(change: Change, named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        plan(FIVE, [change])
