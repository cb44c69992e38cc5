"""Records form a semilattice, and the worse state wins within one life."""

import functools
import itertools
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.membership.state import PRECEDENCE, Member, NodeState
from tests.membership.strategies import members


def member(**changes: Any) -> Member:
    fields: dict[str, Any] = {"node_id": "a", "host": "10.0.0.1", "port": 7000, "generation": 5, **changes}
    return Member(**fields)


def later(first: Member, second: Member) -> Member:
    """The record that wins, of two about the same node."""
    return max(first, second, key=lambda each: each.order_key)


def test_worse_states_win_within_one_life() -> None:
    ranked = [
        member(),
        member(state=NodeState.SUSPECT),
        member(state=NodeState.DEAD),
        member(state=NodeState.LEFT, stopped=True),
        member(state=NodeState.LEFT),
    ]
    assert len(ranked) == len(PRECEDENCE)
    for better, worse in itertools.combinations(ranked, 2):
        assert later(better, worse) is worse
        assert later(worse, better) is worse


def test_a_later_life_wins_over_any_state() -> None:
    dead = member(state=NodeState.DEAD, incarnation=9)
    assert later(dead, member(incarnation=10)).state is NodeState.ALIVE
    assert later(dead, member(generation=6)).state is NodeState.ALIVE
    assert later(dead, member(generation=4, incarnation=100)) is dead


@given(
    st.lists(members(("a",)), min_size=1, max_size=6).flatmap(
        lambda held: st.tuples(st.just(held), st.permutations(held))
    )
)
def test_the_outcome_does_not_depend_on_the_order(case: tuple[list[Member], list[Member]]) -> None:
    heard, shuffled = case
    outcome = functools.reduce(later, heard)
    assert functools.reduce(later, shuffled + shuffled) == outcome
    assert all(outcome.life >= record.life for record in heard)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("node_id", ""),
        ("node_id", "x" * 65),
        ("node_id", b"bytes"),
        ("node_id", "\ud800"),
        ("host", ""),
        ("host", "h" * 256),
        ("zone", "ü" * 33),
        ("port", 65_536),
        ("port", -1),
        ("port", True),
        ("generation", 2**64),
        ("generation", 1.0),
        ("incarnation", 2**32),
        ("weight", 0),
        ("protocol_minimum", 2),
        ("protocol_maximum", 256),
        ("stopped", True),
    ],
)
def test_impossible_records_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match="protocol_maximum" if field == "protocol_minimum" else field):
        member(**{field: value})


def test_without_incarnation_tells_all_changes_but_refutations() -> None:
    member = Member("n", "10.0.0.1", 7000, generation=5)
    assert attrs.evolve(member, incarnation=9).without_incarnation == member.without_incarnation
    changes: tuple[dict[str, Any], ...] = (
        {"generation": 6},
        {"host": "10.0.0.2"},
        {"port": 1},
        {"zone": "z"},
        {"weight": 2},
    )
    for change in changes:
        assert attrs.evolve(member, **change).without_incarnation != member.without_incarnation
    assert member.in_state(NodeState.SUSPECT).without_incarnation != member.without_incarnation
