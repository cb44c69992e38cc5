"""Deadlines in time order, without a timer per request.

What: every wait is a delay chosen from few values (the timeout classes), so one queue per delay is in time order by
construction: what is appended later is due later. ``due`` pops from the fronts of those few queues.

Invariant: within one queue due times never decrease; a request id is returned once, at or after its due time. Whoever
finished early is simply not found any more when its id comes up.

Why this way: a heap costs a comparison tree per request and cancelling costs more; a queue append costs 40 ns and
cancelling costs nothing (DESIGN section 3, rule 2).
"""

from collections import deque

import attrs

__all__ = ["TIMEOUT_CLASSES_MS", "Timeline", "timeout_class_ms"]

TIMEOUT_CLASSES_MS = (
    *(1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700),
    *(1_000, 1_500, 2_000, 3_000, 5_000, 7_000, 10_000, 15_000, 20_000, 30_000, 45_000, 60_000),
)
"""Delays are rounded up to one of these, so that the number of queues is bounded."""

_ROUNDED: dict[int, int] = {}


def timeout_class_ms(timeout_ms: int) -> int:
    """Return the smallest class that is at least ``timeout_ms`` (the largest class for anything longer)."""
    known = _ROUNDED.get(timeout_ms)
    if known is None:
        known = next((each for each in TIMEOUT_CLASSES_MS if each >= timeout_ms), TIMEOUT_CLASSES_MS[-1])
        if len(_ROUNDED) < 4_096:
            _ROUNDED[timeout_ms] = known
    return known


@attrs.define
class Timeline:
    """Request ids by due time, one queue per timeout class."""

    _queues: dict[int, deque[tuple[float, int]]] = attrs.field(factory=dict)

    def add(self, now_s: float, delay_ms: int, request_id: int) -> None:
        """Remember that ``request_id`` is due ``delay_ms`` (one of the classes) after ``now_s``."""
        queue = self._queues.get(delay_ms)
        if queue is None:
            queue = self._queues[delay_ms] = deque()
        queue.append((now_s + delay_ms / 1000, request_id))

    def due(self, now_s: float) -> list[int]:
        """Remove and return every id that is due at ``now_s``."""
        found: list[int] = []
        for queue in self._queues.values():
            while queue and queue[0][0] <= now_s:
                found.append(queue.popleft()[1])
        return found

    def next_due(self) -> float:
        """Return the earliest due time, infinity when nothing is waited for."""
        return min((queue[0][0] for queue in self._queues.values() if queue), default=float("inf"))

    def __len__(self) -> int:
        """Return how many ids are waiting, finished ones included."""
        return sum(map(len, self._queues.values()))
