"""The catalogue of planted bugs, and the hunt for them.

What: ``BUGS`` lists them by name. ``hunt`` runs a bug's directed scenario, and random seeds until one of them shows it.

Invariant: a bug counts as caught only when the invariant that it names is violated; whatever else is violated on the
way does not count.

Why both: the directed scenario proves the judge, the seeds prove that the draw of scenarios reaches such a place.
"""

from collections.abc import Mapping
from typing import Final

import attrs

from ..run import Result, run, run_scenario
from . import membership, replication, storage, versions
from .bug import Bug, active

__all__ = ["BUGS", "Caught", "catches", "directed", "hunt"]

BUGS: Final[Mapping[str, Bug]] = {
    bug.name: bug for bug in (*versions.BUGS, *replication.BUGS, *storage.BUGS, *membership.BUGS)
}
"""Every planted bug, by name."""


@attrs.frozen
class Caught:
    """What it took to catch one bug."""

    name: str
    invariant: str
    directed: bool
    """Whether its directed scenario showed it."""
    seeds: int
    """Random seeds tried."""
    seed: int | None
    """The first that showed it; None when none did."""

    @property
    def row(self) -> tuple[str, str, str, str]:
        """The line of a table: name, invariant, directed, seeds."""
        found = "not tried" if not self.seeds else f"none of {self.seeds}" if self.seed is None else str(self.seeds)
        return self.name, self.invariant, "caught" if self.directed else "missed", found


def directed(bug: Bug, *, planted: bool = True) -> Result:
    """Run a bug's own scenario, with the bug or without it."""
    with active(bug if planted else None):
        return run_scenario(bug.scenario(), keep=True)


def catches(bug: Bug, result: Result) -> bool:
    """Return whether the invariant that the bug names was violated."""
    return any(violation.invariant == bug.invariant for violation in result.violations)


def hunt(bug: Bug, first: int = 1, limit: int = 0) -> Caught:
    """Run the directed scenario, then up to ``limit`` random seeds until one shows the bug."""
    shown = catches(bug, directed(bug))
    with active(bug):
        for tried, seed in enumerate(range(first, first + limit), 1):
            if catches(bug, run(seed)):
                return Caught(bug.name, bug.invariant, shown, tried, seed)
    return Caught(bug.name, bug.invariant, shown, limit, None)
