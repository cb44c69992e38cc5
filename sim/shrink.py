"""Shrinking: the shortest list of operations and faults that still shows a violation.

What: ``shrink`` leaves out parts of a scenario, faults first, then operations, by delta debugging: halves, then
quarters, down to single ones, over and over until nothing more can go; then it cuts what comes after the last event.

Invariant: what is returned violates the same invariant as what was given. It is never longer; with an exhausted budget
of runs it may not be the shortest.

Why leaving out is enough: every draw hangs on its own name and number (``draws``), so an operation or a fault that goes
takes nothing of the rest with it. After Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input"
(2002).
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import attrs

from .evidence import Violation
from .run import Result, Scenario, run_scenario

__all__ = ["RUN_LIMIT", "Shrunk", "minimal", "shrink"]

RUN_LIMIT = 400
"""Runs that one shrinking may take."""

_TAIL_S = 1.0

_T = TypeVar("_T")


@attrs.frozen
class Shrunk:
    """What is left of a scenario, and the run that shows the violation."""

    scenario: Scenario
    result: Result
    runs: int

    @property
    def violation(self) -> Violation:
        """The first violation of the run."""
        return self.result.violations[0]


@attrs.define
class _Search:
    """The state of one shrinking: the best so far, and what it cost."""

    scenario: Scenario
    result: Result
    invariant: str
    key: bytes | None
    limit: int
    run: Callable[[Scenario], Result]
    runs: int = 0

    def try_with(self, scenario: Scenario) -> bool:
        """Run a smaller scenario; keep it if it still shows the violation."""
        if self.runs >= self.limit:
            return False
        self.runs += 1
        result = self.run(scenario)
        if not any(each.invariant == self.invariant and each.key == self.key for each in result.violations):
            return False
        self.scenario, self.result = scenario, result
        return True


def shrink(
    scenario: Scenario, *, limit: int = RUN_LIMIT, run: Callable[[Scenario], Result] | None = None
) -> Shrunk | None:
    """Return the shortest scenario found that violates what this one does; None if it violates nothing.

    ``run`` takes the place of a run that keeps its evidence.
    """
    run = run or _run
    result = run(scenario)
    if not result.violations:
        return None
    first = result.violations[0]
    search = _Search(scenario, result, first.invariant, first.key, limit, run)
    if first.key is not None:
        same_key = tuple(operation for operation in scenario.operations if operation.key == first.key)
        search.try_with(attrs.evolve(scenario, operations=same_key))
    before = -1
    while before != _size(search.scenario) and search.runs < limit:
        before = _size(search.scenario)
        minimal(search.scenario.faults, lambda left: search.try_with(attrs.evolve(search.scenario, faults=left)))
        minimal(
            search.scenario.operations, lambda left: search.try_with(attrs.evolve(search.scenario, operations=left))
        )
    _cut(search)
    return Shrunk(search.scenario, search.result, search.runs)


def minimal(items: Sequence[_T], holds: Callable[[tuple[_T, ...]], bool]) -> tuple[_T, ...]:
    """Return a part of ``items`` that ``holds`` and from which no single one can go; ``items`` itself holds."""
    left = tuple(items)
    if left and holds(()):
        return ()
    size = len(left) // 2
    while size >= 1:
        start = 0
        while start < len(left):
            shorter = left[:start] + left[start + size :]
            if shorter and holds(shorter):
                left = shorter
            else:
                start += size
        size //= 2
    return left


def _cut(search: _Search) -> None:
    """End the safety phase soon after the last event."""
    scenario = search.scenario
    last_s = max(
        [0.0, *(operation.at_s for operation in scenario.operations)]
        + [fault.at_s + float(fault.arguments.get("duration_s", 0.0)) for fault in scenario.faults]
    )
    length_s = round(last_s + _TAIL_S, 3)
    if length_s < scenario.options.duration_s:
        options = attrs.evolve(scenario.options, duration_s=length_s)
        search.try_with(attrs.evolve(scenario, options=options))


def _size(scenario: Scenario) -> int:
    return len(scenario.operations) + len(scenario.faults)


def _run(scenario: Scenario) -> Result:
    return run_scenario(scenario, keep=True)
