"""Placement: a pure function of the table; three sets of owners while somebody joins or leaves."""

import attrs
import pytest
from hypothesis import given

from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberState, MemberTable
from tests.placement.strategies import cluster, entry, table_of, tables

HOLDING = [state for state in MemberState if state not in (MemberState.OUTSIDE, MemberState.LEFT, MemberState.REMOVED)]


def with_state(state: MemberState) -> Placement:
    """Five NORMAL members and `x` in `state`."""
    return Placement.from_table(cluster(5).with_entry(entry("x", state)))


def read_owners(members: list[str]) -> tuple[tuple[str, ...], ...]:
    """The owners if exactly these were the members."""
    return Placement.from_table(table_of([entry(node_id) for node_id in members])).owners_by_partition


FIVE = [f"node-{index}" for index in range(5)]


@given(tables)
def test_it_follows_from_the_table(table: MemberTable) -> None:
    table = attrs.evolve(table, partition_count=16)
    one, two = Placement.from_table(table), Placement.from_table(MemberTable.from_wire(table.to_wire()))
    assert one.digest == two.digest == table.digest
    assert one.write_sets_by_partition == two.write_sets_by_partition
    assert [one.preference(p) for p in range(16)] == [two.preference(p) for p in range(16)]


def test_at_rest_the_three_sets_are_one() -> None:
    placement = Placement.from_table(cluster(5))
    assert not placement.in_transition
    assert placement.write_owners_by_partition is placement.owners_by_partition
    for partition in range(1024):
        owners = placement.owners_by_partition[partition]
        assert placement.owners(partition) == owners
        assert placement.write_sets(partition) == (owners,)
        assert placement.write_owners(partition) == owners
        assert len(set(owners)) == 3


@pytest.mark.parametrize("state", [MemberState.OUTSIDE, MemberState.LEFT, MemberState.REMOVED])
def test_who_has_no_place_owns_nothing(state: MemberState) -> None:
    placement = with_state(state)
    assert placement.owners_by_partition == read_owners(FIVE)
    assert not placement.owned_by("x")
    assert all("x" not in placement.preference(partition) for partition in range(1024))


@pytest.mark.parametrize(
    ("state", "in_read", "in_new", "in_old"),
    [
        (MemberState.JOINING, False, True, False),
        (MemberState.SETTLING, True, True, False),
        (MemberState.NORMAL, True, True, True),
        (MemberState.LEAVING, True, False, True),
        (MemberState.RETIRING, False, False, True),
        (MemberState.REMOVING, False, False, True),
    ],
)
def test_the_sets_of_each_state(state: MemberState, in_read: bool, in_new: bool, in_old: bool) -> None:
    placement = with_state(state)
    with_x, without_x = read_owners([*FIVE, "x"]), read_owners(FIVE)
    for partition in range(1024):
        expected = [with_x if member else without_x for member in (in_read, in_new, in_old)]
        assert (placement.new(partition), placement.old(partition)) == (expected[1][partition], expected[2][partition])
        sets = placement.write_sets(partition)
        assert placement.owners(partition) == expected[0][partition] == sets[0]
        assert {frozenset(owners) for owners in sets} == {frozenset(owners[partition]) for owners in expected}
        assert len({frozenset(owners) for owners in sets}) == len(sets), "equal sets count once"
        union = placement.write_owners(partition)
        assert len(union) == len(set(union)) == (4 if len(sets) == 2 else 3)
        assert union[:3] == placement.owners(partition)
    assert placement.in_transition == (state is not MemberState.NORMAL)
    assert (placement.write_owners_by_partition is placement.owners_by_partition) == (not placement.in_transition)


def test_whose_place_a_joiner_takes() -> None:
    placement = with_state(MemberState.JOINING)
    without_x = read_owners(FIVE)
    for partition in placement.owned_by("x"):
        lost = placement.displaced(partition, "x")
        assert {*placement.new(partition), lost} == {*without_x[partition], "x"}
        assert placement.displaced(partition, "node-0") is None
    assert with_state(MemberState.NORMAL).displaced(0, "x") is None


@pytest.mark.parametrize("state", HOLDING)
def test_the_preference_holds_everyone_who_may_hold_the_data_once(state: MemberState) -> None:
    placement = with_state(state)
    for partition in range(0, 1024, 7):
        preference = placement.preference(partition)
        owners = placement.write_owners(partition)
        assert preference[: len(owners)] == owners
        assert len(set(preference)) == len(preference)
        assert set(preference) >= set(FIVE)
        if state in (MemberState.LEAVING, MemberState.RETIRING, MemberState.REMOVING):
            assert ("x" in preference) == ("x" in owners), "who leaves stands in for nobody"
        else:
            assert "x" in preference
        assert placement.preference(partition) is preference


def test_the_partitions_of_a_member() -> None:
    placement = with_state(MemberState.JOINING)
    for node_id in (*FIVE, "x"):
        owned = placement.owned_by(node_id)
        assert list(owned) == [p for p in range(1024) if node_id in placement.write_owners(p)]
        owned.clear()
        assert placement.owned_by(node_id), "the caller's copy is the caller's"


def test_balance_is_measured_by_weight() -> None:
    figures = Placement.from_table(cluster(5)).balance()
    assert sum(figures.copies_by_node.values()) == 3 * 1024
    assert 1.0 < figures.max_over_mean <= 1.15
    assert 0.0 < figures.variation < 0.15
    heavy = table_of([entry(f"n{index}", weight=1 + index % 2) for index in range(20)])
    assert Placement.from_table(heavy).balance().max_over_mean <= 1.3
    assert Placement.from_table(table_of([])).balance().max_over_mean == 1.0


def test_zone_violations_are_told() -> None:
    lopsided = [entry("a", zone="a"), *(entry(f"b{index}", zone="b") for index in range(4))]
    assert Placement.from_table(table_of(lopsided, replication_factor=4)).zone_violation
    assert not Placement.from_table(table_of(lopsided, replication_factor=3)).zone_violation


def test_an_empty_table_has_no_owners() -> None:
    placement = Placement.from_table(table_of([]))
    assert placement.owners(5) == placement.preference(5) == ()


def test_a_new_version_of_an_entry_costs_no_new_owners() -> None:
    table = cluster(20)
    before = Placement.from_table(table)
    after = Placement.from_table(table.with_entry(attrs.evolve(table.entries["node-3"], version=2, port=9)))
    assert after.digest != before.digest
    assert after.owners_by_partition is before.owners_by_partition


def with_factors(table: MemberTable, *factors: int) -> MemberTable:
    """The table with replication factors beside its own."""
    for factor in factors:
        table = table.with_factor(factor, 1)
    return table


@pytest.mark.parametrize("state", HOLDING)
def test_partitions_of_a_factor_are_placed_as_a_cluster_of_that_factor_would(state: MemberState) -> None:
    table = attrs.evolve(cluster(6), partition_count=64).with_entry(entry("x", state))
    placement = Placement.from_table(with_factors(table, 1, 5))
    assert [each.start for each in placement.partitions] == [0, 64, 320]
    assert placement.numbers_end == 384
    for factor, first in ((3, 0), (1, 64), (5, 320)):
        alone = Placement.from_table(attrs.evolve(table, replication_factor=factor))
        for partition in range(64):
            number = first + partition
            assert placement.factor_of(number) == factor
            assert placement.owners(number) == alone.owners(partition)
            assert placement.write_sets(number) == alone.write_sets(partition)
            assert placement.preference(number) == alone.preference(partition)
            assert placement.displaced(number, "x") == alone.displaced(partition, "x")
        owned = [number - first for number in placement.owned_by("x") if first <= number < first + 64]
        assert owned == list(alone.owned_by("x"))
    assert not any(placement.write_owners(number) for number in range(128, 320)), "factors that nobody uses"
    assert not placement.has(128)
    assert placement.has(383)
    assert not placement.has(384)


def test_one_that_comes_or_goes_changes_one_owner_of_each_partition_of_each_factor() -> None:
    table = with_factors(attrs.evolve(cluster(5), partition_count=16), 1, 2, 5)
    before, after = Placement.from_table(table), Placement.from_table(table.with_entry(entry("x")))
    pairs = zip(before.owners_by_partition, after.owners_by_partition, strict=True)
    assert max(len(set(old) - set(new)) for old, new in pairs) <= 1


def test_more_copies_than_members_are_as_many_as_there_are() -> None:
    placement = Placement.from_table(with_factors(attrs.evolve(cluster(3), partition_count=16), 5))
    assert all(len(placement.owners(number)) == 3 for number in placement.partitions[1])
    assert placement.factor_of(81) == 5, "quorums of the past are counted by it"
