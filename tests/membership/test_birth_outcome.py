"""The place that a cluster gives to a starting process."""

import attrs
import pytest

from dynacache.errors import StartupError
from dynacache.membership.birth_outcome import Born, Failed, Joined, outcome_of
from dynacache.placement.birth_record import BirthRecord, Candidate
from dynacache.placement.checks import U64_MAX
from dynacache.placement.table import MAX_MEMBERS, MemberEntry, MemberState, MemberTable

A = Candidate("a", 5, "10.0.0.1", 7400, "east", 2)
B = Candidate("b", 5, "10.0.0.2", 7400, "west", 1)
RECORD = BirthRecord.of_candidates([A, B], 1024, 3)
TABLE = RECORD.first_table([A, B])
RESTARTED = Candidate("a", 9, "10.0.0.9", 7401, "north", 1)


def with_state(state: MemberState) -> MemberTable:
    """The table in which `a` has gone on to another state."""
    return TABLE.with_entry(attrs.evolve(TABLE.entries["a"], version=2, state=state))


def test_a_founder_is_complete() -> None:
    assert outcome_of(RECORD, TABLE, A) == Born(RECORD, TABLE, TABLE.entries["a"])


def test_a_founder_started_again_keeps_its_place_but_is_not_complete() -> None:
    outcome = outcome_of(RECORD, TABLE, RESTARTED)
    assert isinstance(outcome, Joined)
    assert not outcome.complete
    assert outcome.entry == MemberEntry("a", 9, 1, MemberState.NORMAL, "east", 2, "10.0.0.9", 7401, place=5)
    assert outcome.table.entries == {"a": outcome.entry, "b": TABLE.entries["b"]}


def test_a_clock_set_back_does_not_hide_the_new_start() -> None:
    outcome = outcome_of(RECORD, TABLE, attrs.evolve(RESTARTED, incarnation=2))
    assert isinstance(outcome, Joined)
    assert outcome.entry.generation == 6
    assert outcome.table.entries["a"] == outcome.entry


def test_a_later_node_is_outside() -> None:
    outcome = outcome_of(RECORD, TABLE, Candidate("c", 1, "10.0.0.3", 7400, "east", 3))
    assert isinstance(outcome, Joined)
    assert outcome.entry == MemberEntry("c", 1, 1, MemberState.OUTSIDE, "east", 3, "10.0.0.3", 7400)
    assert outcome.table.entries["c"] == outcome.entry


@pytest.mark.parametrize("state", [MemberState.OUTSIDE, MemberState.LEFT, MemberState.REMOVED])
@pytest.mark.parametrize("process", [A, RESTARTED])
def test_who_has_no_place_any_more_is_outside(process: Candidate, state: MemberState) -> None:
    outcome = outcome_of(RECORD, with_state(state), process)
    assert isinstance(outcome, Joined)
    assert outcome.entry.state is MemberState.OUTSIDE
    assert (outcome.entry.zone, outcome.entry.host) == (process.zone, process.host)
    assert outcome.table.entries["a"] == outcome.entry, "the new entry beats the old one"


@pytest.mark.parametrize(
    "state", [MemberState.JOINING, MemberState.SETTLING, MemberState.LEAVING, MemberState.RETIRING]
)
def test_a_transition_is_resumed_by_whoever_carries_it_on(state: MemberState) -> None:
    outcome = outcome_of(RECORD, with_state(state), RESTARTED)
    assert isinstance(outcome, Joined)
    assert outcome.entry.state is state


@pytest.mark.parametrize("level", [2, 3])
def test_who_was_removed_takes_a_new_place(level: int) -> None:
    removed = TABLE.with_entry(TABLE.entries["a"].at_removal(level))
    outcome = outcome_of(RECORD, removed, RESTARTED)
    assert isinstance(outcome, Joined)
    assert (outcome.entry.state, outcome.entry.place) == (MemberState.OUTSIDE, 6)
    assert outcome.table.entries["a"] == outcome.entry, "the old place is over"


def test_who_is_outside_or_condemned_keeps_that() -> None:
    outside = outcome_of(RECORD, with_state(MemberState.OUTSIDE), RESTARTED)
    condemned = outcome_of(RECORD, TABLE.with_entry(TABLE.entries["a"].at_removal(1)), RESTARTED)
    assert isinstance(outside, Joined)
    assert isinstance(condemned, Joined)
    assert (outside.entry.version, outside.entry.place) == (3, 5)
    assert (condemned.entry.removal, condemned.entry.state, condemned.entry.place) == (1, MemberState.NORMAL, 5)


def test_without_room_the_start_fails() -> None:
    for table in (
        MemberTable.of(
            RECORD.cluster_id, 1024, 3, (attrs.evolve(TABLE.entries["b"], node_id=f"n{n}") for n in range(MAX_MEMBERS))
        ),
        TABLE.with_entry(attrs.evolve(TABLE.entries["a"], generation=U64_MAX)),
    ):
        outcome = outcome_of(RECORD, table, RESTARTED)
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, StartupError)
        assert "the cluster has no place for a" in str(outcome.error)
