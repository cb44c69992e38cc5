"""The indexes of the member table always agree with its records."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.config.membership import MembershipConfig
from dynacache.membership.roster import Roster
from dynacache.membership.state import Member, NodeState
from tests.membership.strategies import members

OWN = Member("self", "10.0.0.1", 7000, generation=1)
SOURCE = random.Random(3)


def roster(**changes: Any) -> Roster:
    return Roster(MembershipConfig(**changes), OWN)


def member(name: str, state: NodeState = NodeState.ALIVE, incarnation: int = 0, *, stopped: bool = False) -> Member:
    return Member(name, f"host-{name}", 7000, 1, incarnation, state, stopped)


@given(st.lists(members(("self", "a", "b", "c"))))
def test_indexes_agree_with_the_records(records: list[Member]) -> None:
    table = roster()
    for now, record in enumerate(records):
        known = table.get(record.node_id)
        if known is None or record.order_key > known.order_key:
            table.put(record, float(now))
        assert table.live_count == sum(held.is_live for held in table)
        assert all(table.get(held.node_id) is held for held in table)
        others = [held for held in table if held.node_id != "self"]
        drawn = table.draw(random.Random(now), 10, float(now))
        assert {held.node_id for held in drawn} <= {held.node_id for held in others if held.state is not NodeState.LEFT}
        assert len({held.node_id for held in drawn}) == len(drawn)
        assert table.contacts_count == sum(held.state is not NodeState.LEFT for held in others)
        expected = {held.node_id for held in others if held.state is NodeState.DEAD or held.stopped}
        assert {held.node_id for held in table.down()} == expected


def test_a_smaller_record_is_a_fault_of_the_caller() -> None:
    table = roster()
    table.put(member("a", incarnation=2), 0.0)
    with pytest.raises(AssertionError):
        table.put(member("a", NodeState.DEAD, incarnation=1), 0.0)


def test_gossip_goes_to_the_recently_dead_only() -> None:
    table = roster()
    table.put(member("a", NodeState.DEAD), 0.0)
    assert [held.node_id for held in table.draw(SOURCE, 3, 30.0)] == ["a"]
    assert table.draw(SOURCE, 3, 30.1) == []
    table.put(member("a", incarnation=1), 40.0)
    assert [held.node_id for held in table.draw(SOURCE, 3, 40.0)] == ["a"]


def test_only_the_live_help() -> None:
    table = roster()
    for name, state in (
        ("a", NodeState.ALIVE),
        ("b", NodeState.SUSPECT),
        ("c", NodeState.DEAD),
        ("d", NodeState.ALIVE),
    ):
        table.put(member(name, state), 0.0)
    for _ in range(20):
        helpers = table.draw_live(SOURCE, 3, 0.0, lambda held: held.node_id != "d")
        assert {held.node_id for held in helpers} <= {"a"}


def test_the_ring_is_never_forgotten_and_others_are() -> None:
    table = roster(forget_after_s=100.0)
    table.set_ring(["a"])
    for name in ("a", "b", "c"):
        table.put(member(name, NodeState.DEAD), 0.0)
    table.put(member("c", incarnation=1), 50.0)
    assert table.forget_due(99.0) == []
    assert table.forget_due(100.0) == ["b"]
    assert table.forget_due(1_000.0) == []
    assert [held.node_id for held in table] == ["self", "a", "c"]
    assert table.at(("host-b", 7000)) is None


def test_who_died_again_is_kept_for_the_whole_time() -> None:
    table = roster(forget_after_s=100.0)
    table.put(member("a", NodeState.DEAD), 0.0)
    table.put(member("a", incarnation=1), 50.0)
    table.put(member("a", NodeState.DEAD, incarnation=1), 60.0)
    assert table.forget_due(159.0) == []
    assert table.forget_due(300.0) == ["a"]
    assert len(table) == 1


def test_addresses_follow_the_records() -> None:
    table = roster()
    table.put(member("a"), 0.0)
    moved = Member("a", "elsewhere", 7000, generation=2)
    table.put(moved, 0.0)
    assert table.at(("elsewhere", 7000)) is moved
    assert table.at(("host-a", 7000)) is None
    assert table.at(OWN.address) is OWN


def test_the_limit() -> None:
    table = roster(members_limit=2)
    full = [table.is_full]
    table.put(member("a"), 0.0)
    full.append(table.is_full)
    table.put(member("a", incarnation=1), 0.0)
    assert full == [False, True]
    with pytest.raises(AssertionError):
        table.put(member("b"), 0.0)
