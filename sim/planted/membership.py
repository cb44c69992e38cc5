"""Planted bugs in membership and placement.

What: each breaks one rule of ``dynacache.membership`` or ``dynacache.placement``.

Invariant: as in ``bug``. The scenarios are long and nearly empty: what they wait for is the protocol.
"""

from collections.abc import Callable
from typing import Any

import attrs

from dynacache.membership import suspicion
from dynacache.membership.evidence import Evidence
from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberTable

from ..checkers.i08_membership import DETECTION_S
from ..run import Scenario
from .bug import Bug, Patch, Script

__all__ = ["BUGS"]

_NEVER_S = 1e9


def _no_refutation(original: Callable[..., None]) -> Callable[..., None]:
    return lambda self, accusation: None


def _paused() -> Scenario:
    script = Script.of()
    script.set(0.5)
    script.fault(2.0, "pause", node="n3", duration_s=4.0)
    return script.scenario(30.0)


def _endless_suspicion(original: Callable[..., float]) -> Callable[..., float]:
    return lambda *_: _NEVER_S


def _long_dead() -> Scenario:
    script = Script.of(nodes=4)
    script.set(0.5)
    script.fault(2.0, "crash", node="n4", down_s=DETECTION_S + 10.0)
    return script.scenario(DETECTION_S + 15.0)


def _by_generation(original: Any) -> Any:
    def from_table(cls: type[Placement], table: MemberTable) -> Placement:
        placement: Placement = original.__func__(cls, table)
        if all(entry.generation < 2 for entry in table.entries.values()):
            return placement
        turned = tuple(owners[::-1] for owners in placement.owners_by_partition)
        return attrs.evolve(placement, owners_by_partition=turned)

    return classmethod(from_table)


def _placed() -> Scenario:
    script = Script.of()
    script.set(0.5)
    return script.scenario(2.0)


BUGS = (
    Bug(
        "suspicion cannot be refuted", "I8",
        "a node that hears that it is suspected does not contradict",
        (Patch(Evidence, "_refute", _no_refutation),), _paused,
    ),
    Bug(
        "suspicion never ends", "I8",
        "a member that does not answer stays suspected for ever",
        (Patch(suspicion, "timeout_s", _endless_suspicion),), _long_dead,
    ),
    Bug(
        "owners depend on when nodes started", "I9",
        "the order of owners takes the members' generations in, which a restart changes",
        (Patch(Placement, "from_table", _by_generation),), _placed,
    ),
)  # fmt: skip
"""Bugs in membership and placement."""
