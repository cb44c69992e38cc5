"""How many packets of one kind may leave in an interval, so that no input can make a node send without bound.

Some packets answer what others say, and some go out for every member that is about to be held dead; either may come
in floods, after a split or from a broken peer. Each such kind has a budget that is full again after an interval.
Nothing is saved up: what was not spent lapses.

Invariant: at most `limit` in any interval that begins with one. What happens to the rest is the caller's rule, and it
counts it.
"""

from __future__ import annotations

import math

import attrs

__all__ = ["Budget"]


@attrs.define
class Budget:
    """`limit` per `interval_s` seconds."""

    _limit: int
    _interval_s: float
    _left: int = 0
    _full_at_s: float = -math.inf

    def spend(self, now_s: float) -> bool:
        """Take one, if one is left."""
        if now_s >= self._full_at_s:
            self._full_at_s = now_s + self._interval_s
            self._left = self._limit
        if self._left < 1:
            return False
        self._left -= 1
        return True
