"""Keep the garbage collector from stalling the loop.

What: `calm` moves everything that the start has made out of the collector's sight and sets its thresholds; `collect`
does, now and then, the full collection that the thresholds no longer start by themselves.

Invariant: the collector stays on, so cycles are found; a full collection runs at most every `FULL_INTERVAL_S`, and less
often the longer the last one took, so that collections never take more than a fraction `FULL_SHARE` of the time.

Why: a young collection looks at every container made since the last one and kept, so its length is bounded by its
threshold: at `YOUNG_THRESHOLD` objects it takes well under a millisecond, while CPython's default of 700 would run it
several times in a large turn, for nothing, since messages and replies are freed by their reference counts. A full
collection looks at every container alive, so its length grows with the data; entries are packed into bytes that the
collector does not track (DESIGN section 4), so that is little, but it must not come in the middle of a turn because a
counter overflowed. Modules, code and configuration live for ever; frozen, they are never looked at again.
"""

import gc
from collections.abc import Callable
from typing import Final

import attrs

from dynacache.events import Note
from dynacache.runtime.entropy import monotonic_now

__all__ = [
    "FULL_INTERVAL_S",
    "FULL_NEVER",
    "FULL_SHARE",
    "MIDDLE_THRESHOLD",
    "PAUSE_NOTICE_S",
    "YOUNG_THRESHOLD",
    "CollectorCare",
    "calm",
]

YOUNG_THRESHOLD: Final = 10_000
MIDDLE_THRESHOLD: Final = 20
FULL_NEVER: Final = 1_000_000
FULL_INTERVAL_S: Final = 60.0
FULL_SHARE: Final = 1 / 2000
PAUSE_NOTICE_S: Final = 0.005


def calm() -> None:
    """Freeze what exists and let only young collections start by themselves. Call once, when the start is done."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_THRESHOLD, MIDDLE_THRESHOLD, FULL_NEVER)


@attrs.define(eq=False)
class CollectorCare:
    """Decides when a full collection is due and measures it."""

    note: Callable[[Note], None]
    pause_s_max: float = attrs.field(default=0.0, init=False)
    _due_s: float = attrs.field(factory=lambda: monotonic_now() + FULL_INTERVAL_S, init=False)

    def collect(self) -> None:
        """Collect everything if it is time; to be called every second or so."""
        began_s = monotonic_now()
        if began_s < self._due_s:
            return
        found = gc.collect()
        ended_s = monotonic_now()
        pause_s = ended_s - began_s
        self.pause_s_max = max(self.pause_s_max, pause_s)
        self._due_s = ended_s + max(FULL_INTERVAL_S, pause_s / FULL_SHARE)
        if pause_s > PAUSE_NOTICE_S:
            self.note(Note("collector.pause", {"seconds": round(pause_s, 4), "found": found}, "warning"))
