from typing import Any

import attrs

from sim.evidence import Violation
from sim.history import OperationKind
from sim.planted.bug import Script
from sim.run import Result, Scenario
from sim.shrink import minimal, shrink

NEEDED = {3, 7}


def held(scenario: Scenario, *violations: Violation) -> Result:
    return Result(1, "violated" if violations else "held", "", violations, {}, 0.0, 0, 0)


def fake(scenario: Scenario) -> Result:
    """Violated while operations 3 and 7 and the pause are there."""
    numbers = {operation.number for operation in scenario.operations}
    broken = numbers >= NEEDED and any(fault.kind == "pause" for fault in scenario.faults)
    return held(scenario, Violation("I1", b"k0", "lost")) if broken else held(scenario)


def long_scenario() -> Scenario:
    script = Script.of()
    for step in range(40):
        script.at(1.0 + step, OperationKind.DELETE, key=b"k1" if step % 3 else b"k0")
        script.fault(1.0 + step, "reset", first="n1", second="n2")
    script.fault(5.0, "pause", node="n1", duration_s=1.0)
    given = [attrs.evolve(operation, key=b"k0") if operation.number in NEEDED else operation
             for operation in script.scenario().operations]  # fmt: skip
    return attrs.evolve(script.scenario(), operations=tuple(given))


def test_only_what_is_needed_is_left() -> None:
    shrunk = shrink(long_scenario(), run=fake)
    assert shrunk is not None
    assert {operation.number for operation in shrunk.scenario.operations} == NEEDED
    assert [fault.kind for fault in shrunk.scenario.faults] == ["pause"]
    assert shrunk.violation.invariant == "I1"
    assert shrunk.scenario.options.duration_s < long_scenario().options.duration_s


def test_another_violation_is_not_what_is_looked_for() -> None:
    def run(scenario: Scenario) -> Result:
        full = len(scenario.operations) == len(long_scenario().operations)
        return held(scenario, Violation("I1" if full else "I2", b"k0", "lost"))

    shrunk = shrink(long_scenario(), run=run)
    assert shrunk is not None
    assert len(shrunk.scenario.operations) == len(long_scenario().operations)


def test_nothing_to_shrink() -> None:
    assert shrink(long_scenario(), run=held) is None


def test_a_budget_ends_the_search() -> None:
    calls: list[Any] = []

    def run(scenario: Scenario) -> Result:
        calls.append(scenario)
        return fake(scenario)

    shrunk = shrink(long_scenario(), limit=5, run=run)
    assert shrunk is not None
    assert (shrunk.runs, len(calls)) == (5, 6)
    assert fake(shrunk.scenario).violations


def test_a_minimal_part_loses_its_point_with_any_item() -> None:
    assert minimal(range(100), lambda left: {5, 50, 99} <= set(left)) == (5, 50, 99)
    assert minimal(range(10), lambda left: True) == ()
    assert minimal((), lambda left: False) == ()
