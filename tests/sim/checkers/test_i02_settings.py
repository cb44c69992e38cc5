"""Settings on made-up evidence: what nodes hold of them when all is at rest."""

from typing import Any

import attrs

from sim.checkers.i02_settings import check
from sim.evidence import MachineEvent
from sim.history import OperationKind, OperationRecord, Outcome
from tests.sim.story import Story

NEW, OLD = (7, b"new"), (5, b"old")


def judged(*held: dict[bytes, tuple[int, bytes]], **more: Any) -> list[str]:
    """Return what is said of nodes a, b, ... that hold these settings."""
    story = Story()
    changed = story.call(OperationKind.CONFIGURE, b"", result=7, namespace=b"s1")
    evidence = story.evidence(**({"history": (changed,)} | more))
    snapshots = {
        name: attrs.evolve(evidence.snapshots[name], settings=settings)
        for name, settings in zip("abc", held, strict=True)
    }
    return [violation.text for violation in check(attrs.evolve(evidence, snapshots=snapshots))]


def test_all_hold_what_was_acknowledged_or_what_came_later() -> None:
    assert judged({b"Ns1": NEW}, {b"Ns1": NEW}, {b"Ns1": NEW}) == []
    assert judged(*[{b"Ns1": (8, b"newer")}] * 3) == []


def test_nodes_that_say_different_things_are_a_breach() -> None:
    assert judged({b"Ns1": NEW}, {b"Ns1": NEW}, {b"Ns1": OLD}) == [
        "the settings of b's1' differ: a 7, b 7, c 5",
        "operation 0 (configure, acknowledged as version 7) is undone at c",
    ]
    assert "differ: a 7, b 7, c nothing" in judged({b"Ns1": NEW}, {b"Ns1": NEW}, {})[0]


def test_that_a_namespace_was_dropped_may_be_forgotten() -> None:
    dropped = (9, b"")
    unknown = OperationRecord(0, 0, OperationKind.CONFIGURE, b"", 2, 1, 0.0, outcome=Outcome.UNKNOWN)
    assert judged({b"Ns1": dropped}, {}, {}, history=(unknown,)) == []


def test_an_acknowledged_change_that_is_nowhere_is_a_breach() -> None:
    assert judged(*[{b"Ns1": OLD}] * 3) == ["operation 0 (configure, acknowledged as version 7) is undone at a, b, c"]


def test_a_change_whose_quorum_lost_its_memory_is_excused() -> None:
    crashes = tuple(MachineEvent(9, 0.5, name, "crashed", 1) for name in "ab")
    assert judged(*[{b"Ns1": OLD}] * 3, machines=crashes) == []
    assert len(judged(*[{b"Ns1": OLD}] * 3, machines=crashes[:1])) == 1


def test_nothing_is_judged_before_all_is_at_rest() -> None:
    assert judged({b"Ns1": NEW}, {}, {}, converged=False) == []
