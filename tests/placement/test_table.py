"""The member table: a join-semilattice of self-written entries, strict at its borders."""

import attrs
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.errors import ClusterMismatch
from dynacache.placement.checks import WireValueError
from dynacache.placement.table import MAX_MEMBERS, MemberEntry, MemberState, MemberTable
from tests.placement.strategies import cluster, entries, entry, table_of, tables


@given(tables, tables, tables)
def test_merge_is_associative_commutative_idempotent(one: MemberTable, two: MemberTable, three: MemberTable) -> None:
    assert one.merge(two) == two.merge(one)
    assert one.merge(two).merge(three) == one.merge(two.merge(three))
    assert one.merge(one) == one
    assert one.merge(two).merge(two) == one.merge(two)


@given(tables, tables)
def test_merge_only_moves_up(one: MemberTable, two: MemberTable) -> None:
    merged = one.merge(two)
    for node_id, known in one.entries.items():
        assert known.joined(merged.entries[node_id]) == merged.entries[node_id]
    assert list(merged.entries) == sorted(one.entries.keys() | two.entries.keys())


@given(tables, tables)
def test_merge_that_teaches_nothing_returns_the_same_table(one: MemberTable, two: MemberTable) -> None:
    merged = one.merge(two)
    assert merged.merge(two) is merged
    assert one.merge(merged) is (one if merged == one else merged)


@given(entries, entries)
def test_two_entries_are_joined_part_by_part(one: MemberEntry, two: MemberEntry) -> None:
    two = attrs.evolve(two, node_id=one.node_id)
    joined = one.joined(two)
    assert joined == two.joined(one)
    assert joined.joined(one) == joined.joined(two) == joined
    if one.place == two.place:
        assert joined.removal == max(one.removal, two.removal)
        assert joined.generation == max(one.generation, two.generation)
        assert joined.version == max(one.version, two.version)
    else:
        assert joined == max(one, two, key=lambda each: each.place)


def test_a_removal_holds_for_the_place_however_often_the_process_restarts() -> None:
    removed = attrs.evolve(entry("a"), version=3).at_removal(3)
    restarted = attrs.evolve(entry("a"), generation=7, version=4)
    assert removed.joined(restarted).state is MemberState.REMOVED
    assert removed.joined(restarted).generation == 7
    returned = attrs.evolve(entry("a", MemberState.OUTSIDE), generation=2, place=removed.place + 1)
    assert removed.joined(returned) == returned


def test_a_restart_with_an_older_table_undoes_no_step() -> None:
    settling = attrs.evolve(entry("a", MemberState.SETTLING), version=3)
    normal = attrs.evolve(entry("a"), version=4)
    restarted = attrs.evolve(settling, generation=9, port=9)
    assert normal.joined(restarted) == attrs.evolve(normal, generation=9, port=9)


def test_a_removal_tells_how_far_the_member_had_come() -> None:
    joining = entry("a", MemberState.JOINING)
    settled = attrs.evolve(joining, version=2, state=MemberState.SETTLING)
    condemned, removing = joining.at_removal(1), joining.at_removal(2)
    assert (condemned.state, condemned.written, condemned.removal) == (MemberState.JOINING, MemberState.JOINING, 1)
    assert (removing.state, removing.written, removing.removal) == (MemberState.REMOVING, MemberState.JOINING, 2)
    assert condemned.joined(settled) == settled.at_removal(1)
    assert removing.joined(settled).written is MemberState.SETTLING
    assert removing.at_removal(0) == joining


@given(tables, entries)
def test_with_entry_is_a_merge(table: MemberTable, added: MemberEntry) -> None:
    assert table.with_entry(added) == table.merge(table_of([added]))


@given(tables)
def test_the_wire_keeps_a_table(table: MemberTable) -> None:
    carried = MemberTable.from_wire(msgpack.unpackb(msgpack.packb(table.to_wire())))
    assert carried == table
    assert carried.digest == table.digest
    assert carried.to_wire() == table.to_wire()


@given(tables, tables)
def test_digests_tell_tables_apart(one: MemberTable, two: MemberTable) -> None:
    assert (one.digest == two.digest) == (one == two)
    assert 0 <= one.digest < 2**64


def test_the_digest_never_changes() -> None:
    assert cluster(3).digest == 8591704204810083353


def test_entries_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        cluster(1).entries["x"] = entry("x")  # type: ignore[index]


def test_other_clusters_never_merge() -> None:
    ours = cluster(2)
    for theirs in (
        attrs.evolve(ours, cluster_id=bytes(16)),
        attrs.evolve(ours, partition_count=2048),
        attrs.evolve(ours, replication_factor=2),
    ):
        with pytest.raises(ClusterMismatch, match="ours"):
            ours.merge(theirs)


def test_a_table_has_a_limit() -> None:
    full = cluster(MAX_MEMBERS)
    with pytest.raises(WireValueError, match=r"members: got 4097, expected at most 4096"):
        full.with_entry(entry("one-more"))
    with pytest.raises(WireValueError, match="members: got"):
        MemberTable.from_wire([*full.to_wire()[:3], [entry(f"n{n}").to_wire() for n in range(MAX_MEMBERS + 1)]])


@pytest.mark.parametrize(
    ("position", "value", "named"),
    [
        (0, "", "node id"),
        (0, "x" * 65, "node id"),
        (1, -1, "generation of a"),
        (2, 2**64, "version of a"),
        (3, 9, "state of a"),
        (3, True, "state of a"),
        (4, None, "zone of a"),
        (5, 0, "weight of a"),
        (5, 65, "weight of a"),
        (6, "", "host of a"),
        (7, 0, "port of a"),
        (7, 65_536, "port of a"),
        (8, -1, "place of a"),
        (9, 4, "removal of a"),
    ],
)
def test_a_bad_field_is_named(position: int, value: object, named: str) -> None:
    wire = entry("a").to_wire()
    wire[position] = value
    with pytest.raises(WireValueError, match=f"^{named}: got "):
        MemberEntry.from_wire(wire)


def test_a_member_may_stand_once() -> None:
    wire = cluster(1).to_wire()
    with pytest.raises(WireValueError, match="node-0 is there twice"):
        MemberTable.from_wire([*wire[:3], [entry("node-0").to_wire()] * 2])


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)


@given(json_like)
def test_anything_else_is_refused(wire: object) -> None:
    with pytest.raises(WireValueError):
        MemberTable.from_wire(wire)


@given(tables, st.data())
def test_a_table_with_one_value_exchanged_is_refused_or_valid(table: MemberTable, data: st.DataObject) -> None:
    wire = msgpack.unpackb(msgpack.packb(table.to_wire()))
    target = wire
    while True:
        index = data.draw(st.integers(0, len(target) - 1)) if target else None
        if index is None or not isinstance(target[index], list) or data.draw(st.booleans()):
            break
        target = target[index]
    if index is not None:
        target[index] = data.draw(json_like)
    try:
        found = MemberTable.from_wire(wire)
    except WireValueError:
        return
    assert MemberTable.from_wire(found.to_wire()) == found


_FACTORS = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5)), max_size=5)


def _with(table: MemberTable, factors: list[tuple[int, int]]) -> MemberTable:
    for factor, born_ms in factors:
        table = table.with_factor(factor, born_ms)
    return table


@given(tables, _FACTORS, _FACTORS, _FACTORS)
def test_factors_merge_by_union_and_the_earliest_birth(
    table: MemberTable, first: list[tuple[int, int]], second: list[tuple[int, int]], third: list[tuple[int, int]]
) -> None:
    one, two, three = (_with(table, factors) for factors in (first, second, third))
    assert one.merge(two) == two.merge(one) == _with(table, [*second, *first])
    assert one.merge(two).merge(three).digest == one.merge(two.merge(three)).digest
    assert one.merge(one) is one
    assert [factor for factor, _ in one.factors] == sorted({factor for factor, _ in first} - {3})
    assert all(born_ms == min(at for each, at in first if each == factor) for factor, born_ms in one.factors)
    assert MemberTable.from_wire(msgpack.unpackb(msgpack.packb(one.to_wire()))) == one
    assert (one.digest == table.digest) == (not one.factors)


def test_a_table_without_factors_travels_as_it_always_did() -> None:
    table = cluster(3)
    assert len(table.to_wire()) == 4
    assert table.with_factor(3, 7) is table
    late = table.with_factor(5, 7)
    assert table.merge(late) is late
    assert late.merge(table) is late


@pytest.mark.parametrize(
    "factors", [[], [[0, 1]], [[10, 1]], [[3, 1]], [[5, 1], [5, 2]], [[5, 1], [2, 1]], [[5, -1]], [[5]], [["5", 1]], 5]
)
def test_malformed_factors_are_refused(factors: object) -> None:
    wire = [*cluster(3).to_wire(), factors]
    with pytest.raises(WireValueError):
        MemberTable.from_wire(wire)


def test_factors_need_a_number_of_partitions_that_they_fit() -> None:
    wire = [*cluster(3, partition_count=16_384).to_wire(), [[5, 1]]]
    with pytest.raises(WireValueError, match="expected 4096 at most"):
        MemberTable.from_wire(wire)
