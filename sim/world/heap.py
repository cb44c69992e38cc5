"""The event heap: virtual time, and what happens when.

What: ``Heap.at`` and ``after`` put a call on the heap; ``run`` makes calls in the order of their time until a moment or
until told to stop. ``now_s`` is the only clock of a run.

Invariant: time never goes back. Calls of the same moment are made in the order in which they were put on the heap, so
the order never depends on what the functions are.

Why plain tuples: the comparison of (time, number) is decided in C, and a run makes some thousand calls for each virtual
second of a busy cluster.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

import attrs

__all__ = ["START_S", "Heap"]

START_S = 100.0
"""The virtual second at which a run begins; away from 0, because real clocks are."""


@attrs.define(eq=False, repr=False)
class Heap:
    """Pending calls by time."""

    now_s: float = START_S
    calls: int = 0
    """Calls made so far."""
    halted: bool = False
    """Set to end ``run`` after the present call."""
    _items: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = attrs.field(factory=list)
    _number: int = 0

    def at(self, at_s: float, function: Callable[..., object], *arguments: Any) -> None:
        """Call ``function(*arguments)`` at a moment; at once, but later than all present calls, if that has passed."""
        self._number = number = self._number + 1
        heappush(self._items, (max(self.now_s, at_s), number, function, arguments))

    def after(self, delay_s: float, function: Callable[..., object], *arguments: Any) -> None:
        """Call ``function(*arguments)`` this many seconds from now."""
        self._number = number = self._number + 1
        heappush(self._items, (self.now_s + delay_s, number, function, arguments))

    def run(self, until_s: float) -> None:
        """Make every call up to and including a moment; stop early when ``halted`` is set."""
        items = self._items
        calls = 0
        while items and not self.halted and items[0][0] <= until_s:
            at_s, _, function, arguments = heappop(items)
            self.now_s = at_s
            function(*arguments)
            calls += 1
        self.calls += calls
        if not self.halted and until_s > self.now_s:
            self.now_s = until_s
