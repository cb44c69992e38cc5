"""Losses of memory are counted write by write, and only while too few stores hold the write."""

from collections.abc import Sequence
from typing import Any

import attrs

from sim.checkers.case import Case
from sim.checkers.i01_acknowledged import check
from sim.checkers.memory_losses import MemoryLosses
from sim.evidence import Evidence, MachineEvent, TableEvent
from sim.history import StoreCause
from sim.ledger import Ledger
from tests.sim.story import KEY, Story


def exceeded(story: Story, needed: int = 2, tables: Sequence[TableEvent] = ()) -> list[list[str]]:
    """Return, for each version in order, the nodes whose losses exceeded the fault model."""
    events = story.evidence().store_events
    ledger = Ledger.of(events)
    losses = MemoryLosses.of(ledger, events, lambda _: needed, tables)
    return [[event.node_id for event in losses.exceeded_by(KEY, dot)] for dot in ledger.dots(KEY)]


def test_two_losses_without_a_copy_in_between_exceed_the_fault_model() -> None:
    story = Story()
    story.set("a", b"1", "b")
    story.restart("a")
    story.restart("b")
    assert exceeded(story) == [["a", "b"]]
    assert exceeded(story, needed=3) == [[]]


def test_the_last_owner_left_needs_to_lose_its_memory_but_once() -> None:
    """Seed 2326: two of three had left."""
    story = Story()
    story.set("a", b"1", "b")
    story.restart("a")
    lonely = TableEvent(0, 0.0, "a", 1, (("a", 1, "", 1),), (("a",), ("a",)))
    pair = TableEvent(0, 0.0, "a", 1, (("a", 1, "", 1), ("b", 1, "", 1)), (("a", "b"), ("b", "a")))
    late = TableEvent(10**9, 0.0, "a", 1, lonely.members, lonely.owners)
    assert exceeded(story, tables=[pair, lonely]) == [["a"]]
    assert exceeded(story, tables=[lonely, pair]) == [[]]
    assert exceeded(story, tables=[pair, late]) == [[]]


def test_what_a_node_with_a_wrong_clock_removes_is_lost_there() -> None:
    """Seed 904."""
    story = Story()
    story.set("a", b"1", "b")
    story.restart("a")
    story.drop("b", StoreCause.REMOVE)
    assert exceeded(story) == [[]], "for no reason"
    again = Story()
    again.set("a", b"1", "b")
    again.restart("a")
    again.drop("b", StoreCause.CLEANSE)
    assert exceeded(again) == [["a", "b"]]


def test_what_enough_stores_hold_again_is_safe_again() -> None:
    story = Story()
    story.set("a", b"1", "b")
    story.restart("a")
    story.merge("b", "c")
    story.restart("b")
    assert exceeded(story) == [[]]
    story.restart("c")
    assert exceeded(story) == [["b", "c"]]


def test_a_successor_stands_for_what_it_superseded() -> None:
    story = Story()
    story.set("a", b"1", "b")
    story.mint("a", b"2")
    story.restart("a")
    story.restart("b")
    assert exceeded(story) == [["a", "b"], []]


def test_a_hint_is_a_copy_of_the_process_that_keeps_it() -> None:
    story = Story()
    story.mint("a", b"1")
    story.keep_hint("a", "c", "b")
    story.restart("c")
    story.restart("a")
    assert exceeded(story) == [["c", "a"]]
    twice = Story()
    twice.mint("a", b"1")
    twice.keep_hint("a", "a", "b")
    twice.restart("a")
    assert exceeded(twice) == [[]], "one process, one loss"


def lost_twice(*owners: str, notes: bool = False, **told: Any) -> Evidence:
    """A write whose two stores lost their memory, on nodes that own its partition 0 by their tables; with a note."""
    story = Story()
    tables = tuple(TableEvent(0, 0.0, name, 1, (), (owners,)) for name in story.names)
    story.set("a", b"1", "b")
    story.restart("a")
    story.restart("b")
    if notes:
        story.note("a", "memory.lost", **told)
    return story.evidence(tables=tables, partitions={KEY: 0}, converged=True)


def test_a_loss_beyond_the_fault_model_must_be_told_by_somebody() -> None:
    silent = lost_twice("a", "b", "c")
    assert [violation.text.rpartition(": ")[2] for violation in check(silent)] == [
        "lost with the memories of a, b, and no node said so"
    ]
    assert check(lost_twice("a", "b", "c", notes=True, partitions=1, among_them=[0])) == []
    assert check(lost_twice("a", "b", "c", notes=True, partitions=11, among_them=[5])) == []
    assert check(lost_twice("a", "b", "c", notes=True, partitions=1, among_them=[5])) != []


def test_what_nobody_could_know_of_need_not_be_told() -> None:
    assert check(lost_twice("a", "c")) == []
    story = Story()
    story.mint("a", b"1")
    story.keep_hint("a", "c", "b")
    story.restart("c")
    story.restart("a")
    tables = tuple(TableEvent(0, 0.0, name, 1, (), (("a", "b", "c"),)) for name in story.names)
    evidence = story.evidence(tables=tables, partitions={KEY: 0}, converged=True)
    case = Case.of(evidence)
    assert [case.untold(KEY, dot) for dot in case.ledger.dots(KEY)] == [()]


def test_who_was_lost_before_a_cluster_was_founded_again_is_known_to_nobody() -> None:
    """Seed 50190: all founders were down at once."""
    silent = lost_twice("a", "b", "c")
    last = max(event.sequence for event in silent.store_events)
    for sequence, complete, known in ((last + 1, True, True), (last + 1, False, False), (0, True, False)):
        serving = MachineEvent(sequence, 9.0, "a", "serving", 2, {"complete": complete})
        assert (check(attrs.evolve(silent, machines=(serving,))) == []) is known
