"""The judges: one module for each family of invariants (DESIGN section 11), each a function of the evidence.

What: ``CHECKERS`` names them; ``check_all`` asks every one and returns what they found, in the order of the invariants.
``undecided`` says what none of them could settle, so that a run in which a search gave up is not taken for a good one.

Invariant: a checker looks at evidence alone and is deterministic; it neither knows the cluster nor changes anything. It
accuses only where the evidence leaves no lawful explanation, so a checker that is in doubt is silent.

Why apart from the world: a judge that is tested on made-up evidence can be shown green on good and red on bad without
running a cluster, and each is also seen red by a planted bug.
"""

from collections.abc import Callable, Mapping
from typing import Final

from ..evidence import Evidence, Violation
from . import (
    i01_acknowledged,
    i02_convergence,
    i03_resurrection,
    i04_siblings,
    i06_linearizable,
    i08_membership,
    i09_placement,
    i10_limits,
    i11_repair_bytes,
    i14_dots,
    i15_accounting,
    i16_scans,
    i17_events,
)

__all__ = ["CHECKERS", "Checker", "check_all", "undecided"]

Checker = Callable[[Evidence], list[Violation]]

CHECKERS: Final[Mapping[str, Checker]] = {
    "I1": i01_acknowledged.check,
    "I2": i02_convergence.check,
    "I3": i03_resurrection.check,
    "I4": i04_siblings.check,
    "I6": i06_linearizable.check,
    "I8": i08_membership.check,
    "I9": i09_placement.check,
    "I10": i10_limits.check,
    "I11": i11_repair_bytes.check,
    "I14": i14_dots.check,
    "I15": i15_accounting.check,
    "I16": i16_scans.check,
    "I17": i17_events.check,
}
"""Invariant to its checker."""


def check_all(evidence: Evidence) -> list[Violation]:
    """Return every violation that any checker found."""
    return [violation for check in CHECKERS.values() for violation in check(evidence)]


def undecided(evidence: Evidence) -> str:
    """Return what could not be judged, in one sentence; empty if everything was."""
    keys = i06_linearizable.inconclusive(evidence)
    return f"I6: the search gave up on {len(keys)} key(s), the first is {keys[0]!r}" if keys else ""
