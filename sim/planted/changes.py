"""Planted bugs in changes of the ring: members that join, leave, are removed and come back.

What: each leaves out one rule of ``dynacache.placement`` or of ``repair.ring_change`` and its transfers.

Invariant: as in ``bug``. Rules whose breach shows only in rarer schedules are left out one at a time in the model
(``sim.ring``), which is faster by far and shares no code with the product.
"""

from collections.abc import Callable
from typing import Any

from pyroaring import BitMap

from dynacache.repair import transfer
from dynacache.repair.ring_change import RingChange

from ..run import Scenario
from .bug import Bug, Patch, Script

__all__ = ["BUGS"]

_QUICK: dict[str, Any] = {
    "exchange_interval_s": 1.0,
    "confirm_s": 0.2,
    "young_ms": 500,
    "change_interval_s": 0.5,
    "join_undo_after_s": 5.0,
    "drain_limit_s": 60.0,
}


def _nothing_gained(original: Callable[..., Any]) -> Callable[..., BitMap]:
    return lambda *_: BitMap()


def _false(original: Callable[..., Any]) -> Callable[..., bool]:
    return lambda *_: False


def _one_joins() -> Scenario:
    """A node takes over partitions of which there is one copy, and is read."""
    script = Script.of(joiners=1, replication_factor=1, **_QUICK)
    script.fault(2.0, "join", node="j1")
    for number in range(24):
        script.set(0.5 + number / 50, level=3, key=b"k%d" % number)
        for step in range(4):
            script.get(2.2 + number / 50 + step / 2, level=3, key=b"k%d" % number)
    return script.scenario(8.0)


def _two_join() -> Scenario:
    """Two nodes join at the same moment."""
    script = Script.of(joiners=2, **_QUICK)
    script.set(0.5)
    for name in ("j1", "j2"):
        script.fault(2.0, "join", node=name)
    return script.scenario(6.0)


BUGS = (
    Bug(
        "what is gained counts as filled", "I9",
        "a node that gains partitions takes itself for complete at once",
        (Patch(transfer, "gained", _nothing_gained),), _one_joins,
    ),
    Bug(
        "nobody makes way", "I9",
        "two members that join at once both wait for the other to be done",
        (Patch(RingChange, "_makes_way", _false),), _two_join,
    ),
)  # fmt: skip
"""Bugs in changes of the ring."""
