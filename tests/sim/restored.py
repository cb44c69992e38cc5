"""Bugs of the past, to be switched on again: each stored regression must still be able to fail.

What: ``RESTORED`` gives, by the name of a file in `regressions/`, the behaviour of before the fix: of the product, or
of a judge that was too strict. When something newer makes an old bug harmless, its entry goes, and with it the proof.
"""

from collections.abc import Callable
from typing import Any

from dynacache.coordination.read_operation import ReadOperation
from sim.planted.bug import Bug, Patch, Script

__all__ = ["RESTORED"]


def _bug(name: str, invariant: str, owner: Any, method: str, wrap: Callable[[Any], Any]) -> Bug:
    return Bug(name, invariant, name, (Patch(owner, method, wrap),), lambda: Script.of().scenario())


_NO_FILLING = _bug("fills nobody", "I2", ReadOperation, "_repair_in_passing", lambda _: lambda self: None)

RESTORED: dict[str, Bug] = {
    "seed-21-i2.json": _NO_FILLING,
    "seed-22-i2.json": _NO_FILLING,
}
"""File to the bug that it once showed."""
