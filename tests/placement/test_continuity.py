"""What is gained by a new table: nothing that was held without a break, everything else."""

from random import Random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from dynacache.placement.continuity import gained
from dynacache.placement.placement import Placement
from dynacache.placement.rendezvous import distance
from dynacache.placement.table import MemberState, MemberTable
from sim.ring import table as model
from tests.placement.strategies import cluster, entry

FOUR = cluster(4)
S = MemberState


def moved(table: MemberTable, node_id: str, state: MemberState, steps: int = 1) -> MemberTable:
    """The table after a member wrote another state."""
    known = table.entries[node_id]
    return table.with_entry(attrs.evolve(known, state=state, version=known.version + steps))


def removed(table: MemberTable, node_id: str, level: int) -> MemberTable:
    """The table after others went on with a removal."""
    return table.with_entry(table.entries[node_id].at_removal(level))


def gain(before: MemberTable, after: MemberTable, node_id: str) -> BitMap:
    """What a node gains."""
    return gained(Placement.from_table(before), Placement.from_table(after), node_id)


def displaced(table: MemberTable, node_id: str) -> BitMap:
    """The partitions of four nodes that `node_id` loses once `x` is one of them."""
    with_x = Placement.from_table(table.with_entry(entry("x")))
    return Placement.from_table(table).owned_by(node_id) - with_x.owned_by(node_id)


def test_a_join_seen_step_by_step_gains_the_joiner_its_share_once() -> None:
    outside = FOUR.with_entry(entry("x", S.OUTSIDE))
    joining = moved(outside, "x", S.JOINING)
    settling = moved(joining, "x", S.SETTLING)
    normal = moved(settling, "x", S.NORMAL)
    assert gain(outside, joining, "x") == Placement.from_table(joining).owned_by("x")
    for before, after in ((joining, settling), (settling, normal)):
        assert not gain(before, after, "x")
    for node_id in FOUR.entries:
        for before, after in ((FOUR, joining), (outside, joining), (joining, settling), (settling, normal)):
            assert not gain(before, after, node_id)


def test_a_leave_gains_the_others_its_share_once() -> None:
    leaving = moved(FOUR, "node-0", S.LEAVING)
    retiring = moved(leaving, "node-0", S.RETIRING)
    left = moved(retiring, "node-0", S.LEFT)
    for node_id in ("node-1", "node-2", "node-3"):
        expected = Placement.from_table(left).owned_by(node_id) - Placement.from_table(FOUR).owned_by(node_id)
        assert gain(FOUR, leaving, node_id) == expected
        assert not gain(leaving, retiring, node_id)
        assert not gain(retiring, left, node_id)


def test_a_removal_gains_the_others_its_share_once() -> None:
    condemned, removing, gone = (removed(FOUR, "node-0", level) for level in (1, 2, 3))
    for node_id in ("node-1", "node-2", "node-3"):
        assert not gain(FOUR, condemned, node_id)
        assert gain(condemned, removing, node_id)
        assert gain(condemned, removing, node_id) == gain(FOUR, gone, node_id)
        assert not gain(removing, gone, node_id)


def test_a_joiner_that_is_removed_while_joining_costs_nobody_anything() -> None:
    joining = FOUR.with_entry(entry("x", S.JOINING))
    removing = removed(joining, "x", 2)
    for node_id in FOUR.entries:
        assert not gain(joining, removing, node_id)
        assert not gain(removing, removed(joining, "x", 3), node_id)


def test_a_joiner_that_may_have_become_a_member_costs_the_displaced_their_share() -> None:
    settling = FOUR.with_entry(entry("x", S.SETTLING))
    assert gain(settling, removed(settling, "x", 2), "node-0") == displaced(FOUR, "node-0")


@pytest.mark.parametrize("state", [S.LEFT, S.REMOVED])
def test_who_missed_a_member_that_came_and_went_distrusts_what_it_would_have_lost(state: MemberState) -> None:
    came_and_went = entry("x", state) if state is S.LEFT else entry("x").at_removal(3)
    after = FOUR.with_entry(attrs.evolve(came_and_went, version=6))
    before = FOUR.with_entry(entry("x", S.JOINING))
    assert gain(before, after, "node-0") == gain(FOUR, after, "node-0") == displaced(FOUR, "node-0")


def test_two_changes_at_once_are_in_no_known_order() -> None:
    before = FOUR.with_entry(entry("x", S.SETTLING))
    after = removed(moved(before, "x", S.NORMAL), "node-1", 2)
    lost_meanwhile = displaced(FOUR, "node-0") & Placement.from_table(after).owned_by("node-0")
    assert lost_meanwhile
    assert lost_meanwhile <= gain(before, after, "node-0")


def test_who_became_a_member_before_we_heard_of_it_may_have_done_so_before_another_change() -> None:
    before = moved(FOUR.with_entry(entry("x", S.SETTLING)), "node-1", S.LEAVING)
    after = moved(before, "x", S.NORMAL)
    lost_meanwhile = displaced(FOUR, "node-0") & Placement.from_table(after).owned_by("node-0")
    assert lost_meanwhile
    assert lost_meanwhile <= gain(before, after, "node-0")


def test_a_copy_made_to_take_one_place_does_not_count_in_another() -> None:
    before = FOUR.with_entry(entry("x", S.JOINING))
    after = removed(before, "node-0", 3)
    again = gain(before, after, "x")
    placements = Placement.from_table(before), Placement.from_table(after)
    changed = BitMap(p for p in placements[0].owned_by("x") if placements[0].old(p) != placements[1].old(p))
    assert changed
    assert changed & placements[1].owned_by("x") <= again


def test_restarts_and_addresses_gain_nothing() -> None:
    known = FOUR.entries["node-1"]
    restarted = FOUR.with_entry(attrs.evolve(known, generation=9, port=9))
    assert not any(gain(FOUR, restarted, node_id) for node_id in FOUR.entries)


def _real(view: model.View) -> MemberTable:
    """The member table that a view of the model stands for."""
    entries = []
    for name, each in zip(model.NODES, view, strict=True):
        own = attrs.evolve(entry(name, each.written), generation=each.generation, version=each.version)
        entries.append(attrs.evolve(own, place=each.place).at_removal(each.removal))
    return MemberTable.of(bytes(16), 1024, 3, entries)


MODELLED = next(
    p for p in range(1024) if sorted(model.NODES, key=lambda name: distance(name, 1, p)) == list(model.NODES)
)


@given(st.integers(0, 2**32))
def test_it_is_the_rule_of_the_model(seed: int) -> None:
    draw = Random(seed)
    views = [model.first_view()]
    for _ in range(draw.randint(1, 8)):
        views.append(_later(draw, draw.choice(views)))
    before = draw.choice(views)
    after = model.merge(before, draw.choice(views))
    tables = [Placement.from_table(_real(view)) for view in (before, after)]
    for name in model.NODES:
        owners = [frozenset().union(*model.write_sets(view)) for view in (before, after)]
        assert [name in each for each in owners] == [name in each.write_owners(MODELLED) for each in tables]
        expected = name in owners[1] and not model.held_throughout(before, after, name)
        assert (MODELLED in gained(tables[0], tables[1], name)) == expected


def _later(draw: Random, view: model.View) -> model.View:
    """A table one step on, and a chance to merge."""
    name = draw.choice(model.NODES)
    known = view[model.NODES.index(name)]
    following = {S.OUTSIDE: [S.JOINING], S.JOINING: [S.SETTLING, S.OUTSIDE], S.SETTLING: [S.NORMAL]}
    following |= {S.NORMAL: [S.LEAVING], S.LEAVING: [S.RETIRING, S.NORMAL], S.RETIRING: [S.LEFT]}
    if known.state in (S.LEFT, S.REMOVED):
        return model.put(view, name, model.Entry(known.place + 1, 0, known.generation + 1, 1, S.OUTSIDE))
    if draw.random() < 0.3 and known.state is not S.OUTSIDE:
        return model.put(view, name, known._replace(removal=known.removal + 1))
    if draw.random() < 0.1:
        return model.put(view, name, known._replace(generation=known.generation + 1))
    state = draw.choice(following[known.written]) if known.written in following else known.written
    return model.put(view, name, known._replace(version=known.version + 1, written=state))


def factored(table: MemberTable, factor: int = 2, born_ms: int = 100) -> MemberTable:
    """The table with another replication factor."""
    return table.with_factor(factor, born_ms)


def of_factor(partitions: BitMap, factor: int = 2) -> BitMap:
    """Those of the partitions that are of a factor."""
    return partitions & BitMap(range(factor * 1024, (factor + 1) * 1024))


def test_who_was_a_member_all_the_way_gains_nothing_by_a_new_factor() -> None:
    assert not gain(FOUR, factored(FOUR), "node-1")
    joined = FOUR.with_entry(entry("x"))
    assert not gained(Placement.from_table(joined), Placement.from_table(factored(joined)), "x")


@pytest.mark.parametrize("state", [S.OUTSIDE, S.JOINING, S.SETTLING])
def test_who_was_about_to_be_one_gains_all_of_a_factor_that_comes_then(state: MemberState) -> None:
    before = FOUR.with_entry(entry("x", state))
    after = factored(moved(before, "x", S.JOINING) if state is S.OUTSIDE else before)
    owned = Placement.from_table(after).owned_by("x")
    assert of_factor(gain(before, after, "x")) == of_factor(owned)
    assert of_factor(owned)
    assert not gain(before, after, "node-1") - gain(before, attrs.evolve(after, factors=()), "node-1")


def test_who_has_begun_without_memory_since_a_factor_was_born_gains_all_of_it() -> None:
    before, after = Placement.from_table(FOUR), Placement.from_table(factored(FOUR, born_ms=100))
    assert gained(before, after, "node-1", memory_ms=101) == of_factor(after.owned_by("node-1"))
    assert not gained(before, after, "node-1", memory_ms=100)
    earlier = Placement.from_table(factored(FOUR, born_ms=50))
    assert not gained(after, earlier, "node-1", memory_ms=50)
    assert gained(after, earlier, "node-1", memory_ms=70) == of_factor(after.owned_by("node-1")), (
        "born before after all"
    )


def test_a_join_that_was_slept_through_counts_for_every_factor() -> None:
    away = factored(FOUR)
    later = removed(away.with_entry(entry("x", S.NORMAL)), "x", 3)
    lost = Placement.from_table(away).owned_by("node-1") - Placement.from_table(away.with_entry(entry("x"))).owned_by(
        "node-1"
    )
    found = gain(away, later, "node-1")
    assert of_factor(found) == of_factor(lost)
    assert of_factor(found)
    unaware = gain(FOUR, later, "node-1")
    assert of_factor(unaware) == of_factor(found), "judged as if the factor had been there before"
