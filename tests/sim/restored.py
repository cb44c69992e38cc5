"""Bugs of the past, to be switched on again: each stored regression must still be able to fail.

What: ``RESTORED`` gives, by the name of a file in `regressions/`, the behaviour of before the fix: of the product, or
of a judge that was too strict. When something newer makes an old bug harmless, its entry goes, and with it the proof.
"""

from collections.abc import Callable
from typing import Any

from dynacache.coordination.read_operation import ReadOperation
from dynacache.repair.hints import HintStore
from dynacache.versioning.kernel import EXPIRED
from sim.checkers import i02_convergence, i03_resurrection
from sim.planted.bug import Bug, Patch, Script

__all__ = ["RESTORED"]


def _bug(name: str, invariant: str, owner: Any, method: str, wrap: Callable[[Any], Any]) -> Bug:
    return Bug(name, invariant, name, (Patch(owner, method, wrap),), lambda: Script.of().scenario())


_STALE_HINTS = _bug("hints stay behind", "I3", HintStore, "refresh", lambda _: lambda self, key, record: None)
_NO_FILLING = _bug("fills nobody", "I2", ReadOperation, "_repair_in_passing", lambda _: lambda self: None)
_NOTHING_HIDES = _bug("ghosts hide nothing", "I2", i02_convergence, "_hidden", lambda _: lambda held, ghosts: False)
_TOMBSTONES = _bug(
    "tombstones are values", "I3", i03_resurrection, "_is_value", lambda _: lambda version: not version.flags & EXPIRED
)

RESTORED: dict[str, Bug] = {
    "seed-21-i2.json": _NO_FILLING,
    "seed-22-i2.json": _NO_FILLING,
    "seed-113-i3.json": _STALE_HINTS,
    "seed-561-i2.json": _NOTHING_HIDES,
    "seed-2101-i3.json": _TOMBSTONES,
}
"""File to the bug that it once showed."""
