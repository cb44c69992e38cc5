"""Wall clocks: each machine has its own, wrong in its own way.

What: ``WallClock`` turns virtual seconds into the milliseconds since 1970 that its machine believes in: an offset that
may jump, and a drift in parts per million.

Invariant: a change of drift makes no jump: the reading goes on from where it is. A jump back makes the reading go
back, as a real clock's does; nothing else does.

Why apart from the heap: intervals are measured by the monotonic clock, which is right everywhere; only expiry, hybrid
clocks and the stamps of datagrams see this one.
"""

import attrs

from .heap import START_S

__all__ = ["WALL_START_MS", "WallClock"]

WALL_START_MS = 1_700_000_000_000
"""What a right clock shows at ``START_S``."""


@attrs.define(eq=False, repr=False)
class WallClock:
    """One machine's wall clock."""

    offset_ms: float = 0.0
    drift_ppm: float = 0.0
    _base_s: float = START_S
    _base_ms: float = float(WALL_START_MS)

    def now_ms(self, now_s: float) -> int:
        """Return what the clock shows."""
        return int(self._reading(now_s) + self.offset_ms)

    def set_drift(self, now_s: float, drift_ppm: float) -> None:
        """Let the clock run faster (above 0) or slower from now on."""
        self._base_ms = self._reading(now_s)
        self._base_s = now_s
        self.drift_ppm = drift_ppm

    def correct(self, now_s: float) -> None:
        """Set the clock right."""
        self.offset_ms = self.drift_ppm = 0.0
        self._base_s, self._base_ms = START_S, float(WALL_START_MS)

    def _reading(self, now_s: float) -> float:
        return self._base_ms + (now_s - self._base_s) * (1000.0 + self.drift_ppm / 1000.0)
