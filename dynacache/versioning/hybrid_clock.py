"""The hybrid logical clock: physical milliseconds that never run backwards and respect causality.

What: a timestamp is one integer, ``milliseconds << 16 | counter``. A local event takes the larger of the wall clock and
the last timestamp plus one; a timestamp that arrives pulls the clock up to it.

Invariant: ``tick`` is strictly increasing between two calls of ``set_back``, and exceeds every timestamp that
``observe`` accepted before. A counter that overflows carries into the milliseconds by plain addition, so there is no
special case.

Why: expiries are evaluated on this clock, so whoever has heard from a node that saw an expiry has seen it too. A
timestamp further ahead of the wall clock than the stated skew is refused whole, because one wild clock would otherwise
drag every clock of the cluster along with it for good. Ahead of the wall clock means ahead of the highest that it has
ever shown: when all machines of a cluster are set back together, they understand each other at once, and their hybrid
clocks count on from where they were until the wall clocks have caught up. That bound does not creep, since only this
machine's own wall clock moves it.

After Kulkarni et al., "Logical Physical Clocks" (2014), with the skew bound that CockroachDB applies.
"""

import attrs

__all__ = ["COUNTER_BITS", "HybridClock", "milliseconds"]

COUNTER_BITS = 16
"""Bits of a timestamp below its milliseconds."""


def milliseconds(timestamp: int) -> int:
    """Return the physical part of a timestamp, in milliseconds since 1970."""
    return timestamp >> COUNTER_BITS


@attrs.define
class HybridClock:
    """One node's clock; the wall clock (milliseconds since 1970) is an argument of every call."""

    max_skew_ms: int = 500
    last: int = 0
    """The newest timestamp issued or observed; 0 before the first."""
    highest_wall_ms: int = 0
    """The latest that the wall clock has shown."""

    def tick(self, wall_ms: int) -> int:
        """Return a timestamp above every one issued or observed before."""
        last = self.last + 1
        if wall_ms > self.highest_wall_ms:
            self.highest_wall_ms = wall_ms
            physical = wall_ms << 16
            if physical > last:
                last = physical
        self.last = last
        return last

    def observe(self, remote: int, wall_ms: int) -> bool:
        """Take in another node's timestamp; False, and nothing taken in, if it is over ``max_skew_ms`` ahead of us."""
        if remote >> 16 > wall_ms + self.max_skew_ms and remote >> 16 > self.highest_wall_ms + self.max_skew_ms:
            return False
        if remote > self.last:
            self.last = remote
        return True

    def set_back(self, wall_ms: int) -> None:
        """Forget every timestamp beyond the wall clock: for a node whose clock had run ahead, after it has removed all
        that it dated so."""
        self.last = min(self.last, wall_ms << COUNTER_BITS)
        self.highest_wall_ms = wall_ms
