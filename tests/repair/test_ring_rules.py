"""The rules of ring changes: precedence, majorities, and who must know."""

import attrs
import pytest

from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberState, MemberTable
from dynacache.repair.ring_rules import (
    blocking,
    enough_know,
    has_majority,
    removal_may_count,
    reprieved,
    sets_of,
    stalemate,
    voters,
    witnesses,
    yields_to,
)
from tests.placement.strategies import cluster, entry

S = MemberState


def having(*states: MemberState, removal: int = 0) -> MemberTable:
    """Four members and further ones, `x0`, `x1`, ..., in these states."""
    table = cluster(4)
    for index, state in enumerate(states):
        table = table.with_entry(entry(f"x{index}", state).at_removal(removal))
    return table


@pytest.mark.parametrize("state", [S.JOINING, S.SETTLING, S.LEAVING, S.RETIRING])
def test_whoever_changes_stands_in_the_way_of_others_not_of_itself(state: MemberState) -> None:
    table = having(state)
    assert [each.node_id for each in blocking(table, "node-0")] == ["x0"]
    assert blocking(table, "x0") == []


@pytest.mark.parametrize("state", [S.OUTSIDE, S.NORMAL, S.LEFT])
def test_who_stays_as_it_is_stands_in_nobodys_way(state: MemberState) -> None:
    assert blocking(having(state), "node-0") == []


def test_a_removal_stands_in_the_way_until_it_is_over() -> None:
    assert [len(blocking(having(S.NORMAL, removal=level), "node-0")) for level in (0, 1, 2, 3)] == [0, 1, 1, 0]


def test_the_lower_generation_goes_first_and_then_the_lower_id() -> None:
    table = having(S.JOINING, S.JOINING)
    first, second = table.entries["x0"], table.entries["x1"]
    assert yields_to(table, first) is None
    assert yields_to(table, second) == first
    younger = table.with_entry(attrs.evolve(first, generation=5, version=2))
    assert yields_to(younger, younger.entries["x0"]) == second
    assert yields_to(younger, second) is None


@pytest.mark.parametrize("state", [S.SETTLING, S.RETIRING])
def test_a_change_in_effect_goes_before_any_that_is_only_announced(state: MemberState) -> None:
    table = having(S.JOINING, state)
    assert yields_to(table, table.entries["x0"]) == table.entries["x1"]


def test_a_removal_goes_before_a_join_or_leave() -> None:
    table = having(S.JOINING).with_entry(cluster(4).entries["node-3"].at_removal(1))
    assert yields_to(table, table.entries["x0"]) == table.entries["node-3"]


def test_who_votes() -> None:
    assert voters(having(S.JOINING, S.SETTLING, S.LEAVING, S.RETIRING, S.OUTSIDE)) == [
        *(f"node-{index}" for index in range(4)),
        *("x1", "x2"),
    ]
    assert "x0" not in voters(having(S.NORMAL, removal=1))


@pytest.mark.parametrize(("known", "voting", "expected"), [(1, 1, True), (1, 2, False), (2, 3, True), (2, 4, False)])
def test_a_majority_is_more_than_half(known: int, voting: int, expected: bool) -> None:
    names = [f"n{index}" for index in range(voting)]
    assert has_majority({*names[:known], "stranger"}, names) == expected


def test_a_majority_for_a_removal_meets_every_majority_for_a_join() -> None:
    for size in range(2, 30):
        assert (size // 2 + 1) + ((size - 1) // 2 + 1) > size


@pytest.mark.parametrize(
    ("copies", "owners", "expected"), [(3, 3, 2), (3, 2, 2), (3, 1, 1), (5, 5, 3), (2, 2, 1), (1, 1, 1), (4, 4, 2)]
)
def test_witnesses_meet_every_write_quorum(copies: int, owners: int, expected: int) -> None:
    assert witnesses(copies, owners) == expected
    assert owners < copies or witnesses(copies, owners) + copies // 2 + 1 == copies + 1


@pytest.mark.parametrize("owners", [1, 2, 3, 4, 5])
def test_enough_know_when_the_rest_is_no_quorum(owners: int) -> None:
    names = tuple(f"n{index}" for index in range(owners))
    for count in range(owners + 1):
        rest_is_quorum = owners - count >= owners // 2 + 1
        assert enough_know([names], set(names[:count])) == (not rest_is_quorum)
    assert not enough_know([names, ("other",)], set(names))
    assert enough_know([], set())


def test_the_sets_that_must_know_are_those_of_the_partitions_that_change() -> None:
    settling = Placement.from_table(having(S.SETTLING))
    expected = {
        tuple(sorted(settling.old(partition)))
        for partition in range(1024)
        if "x0" in settling.new(partition) and "x0" not in settling.old(partition)
    }
    assert set(sets_of(settling, "x0")) == expected
    assert sets_of(Placement.from_table(cluster(4)), "node-0") == []


def test_a_removal_waits_for_other_changes_but_not_for_others_that_are_condemned() -> None:
    condemned = cluster(4).entries["node-3"].at_removal(1)
    table = cluster(4).with_entry(condemned)
    assert removal_may_count(table, condemned)
    assert not removal_may_count(table.with_entry(entry("x", S.JOINING)), condemned)
    other = cluster(4).entries["node-2"]
    assert removal_may_count(table.with_entry(other.at_removal(1)), condemned)
    assert not removal_may_count(table.with_entry(other.at_removal(2)), condemned)


def test_of_two_condemned_the_one_that_was_joining_goes_first() -> None:
    condemned, joining = cluster(4).entries["node-3"].at_removal(1), entry("x", S.JOINING).at_removal(1)
    table = cluster(4).with_entry(condemned).with_entry(joining)
    assert removal_may_count(table, joining)
    assert not removal_may_count(table, condemned)


def test_nobody_is_left_to_decide_only_where_all_who_could_vote_are_condemned() -> None:
    table = cluster(2).with_entry(entry("x", S.JOINING))
    one = table.with_entry(table.entries["node-0"].at_removal(1))
    both = one.with_entry(table.entries["node-1"].at_removal(2))
    assert stalemate(table) == ()
    assert stalemate(one) == ()
    assert stalemate(both) == tuple(both.entries.values()), "who is joining must know, too"
    assert stalemate(both.with_entry(both.entries["node-1"].at_removal(3))) != ()
    assert stalemate(MemberTable.of(table.cluster_id, 8, 3, [entry("x", S.JOINING).at_removal(1)])) == ()
    assert stalemate(MemberTable.of(table.cluster_id, 8, 3, [entry("x", S.NORMAL).at_removal(3)])) == ()


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        (((S.NORMAL, 2), (S.NORMAL, 1), (S.NORMAL, 1)), "x1"),
        (((S.LEAVING, 1), (S.NORMAL, 1)), "x1"),
        (((S.JOINING, 1), (S.LEAVING, 2), (S.JOINING, 0)), "x1"),
    ],
)
def test_who_stays_is_the_least_removed_and_wants_to_stay(
    members: tuple[tuple[MemberState, int], ...], expected: str
) -> None:
    entries = [entry(f"x{index}", state).at_removal(level) for index, (state, level) in enumerate(members)]
    assert reprieved(entries).node_id == expected
