"""Suspicions shrink with independent confirmations and end on time."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.config.membership import MembershipConfig
from dynacache.membership.suspicion import SuspicionTable, timeout_s

NOTICE_S = MembershipConfig().probe_period_s


@pytest.mark.parametrize(
    ("confirmations", "needed", "expected"),
    [(0, 0, 4.0), (0, 2, 24.0), (1, 2, 24 - 20 * math.log(2) / math.log(3)), (2, 2, 4.0), (9, 2, 4.0), (3, 3, 4.0)],
)
def test_the_formula(confirmations: int, needed: int, expected: float) -> None:
    assert timeout_s(confirmations, needed, 4.0, 24.0) == pytest.approx(expected)


def table() -> SuspicionTable:
    return SuspicionTable(MembershipConfig())


@pytest.mark.parametrize(("members", "deadline_s"), [(3, 4.0), (4, 24.0), (10, 24.0), (100, 48.0)])
def test_a_lone_accusation_by_cluster_size(members: int, deadline_s: float) -> None:
    suspicions = table()
    suspicions.start("a", "x", 0.0, members)
    assert suspicions.next_deadline_s() == pytest.approx(deadline_s - NOTICE_S)
    assert suspicions.due(deadline_s - NOTICE_S) == (["a"], [])
    assert suspicions.next_deadline_s() == pytest.approx(deadline_s)


def test_two_other_accusers_bring_it_down_to_the_minimum() -> None:
    suspicions = table()
    suspicions.start("a", "x", 0.0, 5)
    assert not suspicions.confirm("a", "x")
    assert suspicions.confirm("a", "y")
    assert not suspicions.confirm("a", "y")
    assert suspicions.confirm("a", "z")
    assert not suspicions.confirm("a", "w")
    assert suspicions.due(2.99) == ([], [])
    assert suspicions.due(3.0) == (["a"], [])
    assert suspicions.due(3.99) == ([], [])
    assert suspicions.due(4.0) == ([], ["a"])
    assert suspicions.next_deadline_s() == math.inf
    assert "a" not in suspicions


def test_cancelled_and_unknown_ones_never_run_out() -> None:
    suspicions = table()
    suspicions.start("a", "x", 0.0, 5)
    suspicions.cancel("a")
    suspicions.cancel("never")
    assert not suspicions.confirm("a", "y")
    assert suspicions.due(1_000.0) == ([], [])
    assert suspicions.source_of("a", "x") is None


def test_who_has_accused() -> None:
    suspicions = table()
    suspicions.start("a", "x", 0.0, 5)
    assert suspicions.has_accused("a", "x")
    assert not suspicions.has_accused("a", "y")
    suspicions.cancel("a")
    assert not suspicions.has_accused("a", "x")


def test_our_own_word_is_preferred() -> None:
    suspicions = table()
    suspicions.start("a", "x", 0.0, 5)
    assert suspicions.source_of("a", "self") == "x"
    suspicions.confirm("a", "self")
    assert suspicions.source_of("a", "self") == "self"


@given(
    st.lists(st.tuples(st.sampled_from(["start", "confirm", "cancel"]), st.sampled_from("abc"), st.sampled_from("xyz")))
)
def test_each_running_suspicion_ends_exactly_once(steps: list[tuple[str, str, str]]) -> None:
    suspicions = table()
    running: set[str] = set()
    for now, (kind, node_id, source) in enumerate(steps):
        if kind == "start":
            suspicions.start(node_id, source, now * 0.01, 5)
            running.add(node_id)
        elif kind == "confirm":
            before = suspicions.next_deadline_s()
            suspicions.confirm(node_id, source)
            assert suspicions.next_deadline_s() <= before
        else:
            suspicions.cancel(node_id)
            running.discard(node_id)
        assert len(suspicions) == len(running)
    end_s = len(steps) * 0.01 + 24.0
    called, ended = suspicions.due(end_s)
    assert (sorted(called), ended) == (sorted(running), [])
    called, ended = suspicions.due(end_s + NOTICE_S)
    assert (called, sorted(ended)) == ([], sorted(running))


def test_nothing_ends_sooner_than_one_notice_after_its_last_call() -> None:
    suspicions = table()
    suspicions.start("a", "x", 0.0, 5)
    assert suspicions.due(23.5) == (["a"], [])
    suspicions.confirm("a", "y")
    suspicions.confirm("a", "z")
    assert suspicions.next_deadline_s() == 23.5 + NOTICE_S
    assert suspicions.due(24.49) == ([], [])
    assert suspicions.due(24.5) == ([], ["a"])


def test_a_suspicion_that_starts_anew_has_its_last_call_again() -> None:
    suspicions = table()
    suspicions.start("a", "x", 0.0, 3)
    assert suspicions.due(3.0) == (["a"], [])
    suspicions.start("a", "x", 3.5, 3)
    assert suspicions.due(6.4) == ([], [])
    assert suspicions.due(6.5) == (["a"], [])


def test_many_short_suspicions_leave_no_pile_behind() -> None:
    suspicions = table()
    for _ in range(10_000):
        suspicions.start("a", "x", 0.0, 5)
        suspicions.cancel("a")
    assert len(suspicions._heap) < 200


def test_the_remembered_deadline_is_the_computed_one() -> None:
    table = SuspicionTable(MembershipConfig())
    table.start("victim", "first", 100.0, 10)
    (suspicion,) = table._by_id.values()
    assert suspicion.due_s == suspicion.deadline_s() - NOTICE_S == table.next_deadline_s()
    assert table.confirm("victim", "second")
    assert suspicion.due_s == suspicion.deadline_s() - NOTICE_S == table.next_deadline_s()
