"""Cleaning: how fast the store is freed of what has expired, and how its limit follows resident memory.

What: ``act`` gives the engine one slice of clean-up at a time and says when the next is due; ``measured`` takes what
the operating system counts for the process, asks the governor, and moves the store's limit.

Invariants: a slice looks at no more than ``storage.collect_count`` entries, so no turn is held up for longer than some
two milliseconds by it. What is due when a second ends is gone ``DRAIN_S`` later, if the processor left to this process
can do that; it never takes slices of more than ``EXPIRY_COUNT`` entries for it. A turn that brings messages answers
them and leaves the slice to the next one, unless the slice is ``PATIENCE_S`` late. The limit is lowered by at most
``STEP_BYTES`` a slice: what stands above a limit would otherwise be evicted all at once, by the first write that needs
room.

Why the pace follows the backlog: buckets of the wheel are seconds, so a hundred thousand entries become due together.
Freed at once they would hold up every request for a fifth of a second; freed at the pace of housekeeping, a thousand
every 50 ms, they would take five. Spread over most of the second until the next bucket, in slices of a quarter of a
millisecond, requests hardly notice. The rate is that of the largest backlog since there was none, so that it does not
tail off; a slice that comes late is the larger for it.
"""

from typing import Any

import attrs

from dynacache.config.memory import MemoryConfig
from dynacache.coordination.shared import Shared
from dynacache.events import Input, MemoryMeasured, TrimMemory
from dynacache.storage.engine import Engine
from dynacache.storage.governor import Governor
from dynacache.types import Instant

__all__ = [
    "DRAIN_S",
    "EXPIRY_COUNT",
    "EXPIRY_SLICE_S",
    "PATIENCE_S",
    "SLICE_S",
    "STEP_BYTES",
    "STEP_COUNT",
    "SWEEP_SLICE_S",
    "Cleaning",
]

DRAIN_S = 0.7
"""Seconds over which what became due together is freed."""

EXPIRY_SLICE_S = 0.001
"""Seconds from one slice to the next while entries wait that have expired."""

EXPIRY_COUNT = 500
"""Entries that expire in one slice, at most. Who is behind takes more slices and no larger ones: they would be the
longer the less of a processor is left for this process, and then as late as they are long."""

PATIENCE_S = 0.002
"""How late a slice may come so that a turn with messages is not held up by it."""

SLICE_S = 0.0025
"""Seconds from one slice to the next while the limit is on its way down."""

SWEEP_SLICE_S = 0.002
"""Seconds from one slice to the next while what has been invalidated is looked for."""

STEP_BYTES = 256 * 1024
"""How far the limit is lowered between two slices, at most."""

STEP_COUNT = 100
"""Entries of the mean size by which it is lowered, and not again until they are gone: a write that comes between may
have to evict them all."""

_LEAST_COUNT = 64
_LEAST_STEP_BYTES = 16 * 1024
_TICK_S = 0.05
_IDLE_TICK_S = 0.5


@attrs.define(eq=False)
class Cleaning:
    """Clean-up and memory of one node. ``due_s`` is the monotonic second of the next slice."""

    shared: Shared
    engine: Engine
    memory: MemoryConfig
    due_s: float
    governor: Governor | None = attrs.field(init=False, default=None)
    """None where the store has a fixed size."""
    buffer_bytes: int = attrs.field(init=False, default=0)
    trims: int = attrs.field(init=False, default=0)
    at_floor: bool = attrs.field(init=False, default=False)
    _rate: float = attrs.field(init=False, default=0.0)
    """Entries a second to be freed while there is a backlog."""
    _behind: bool = attrs.field(init=False, default=False)
    """The last slice was smaller than the rate asks for."""
    _looked_s: float = attrs.field(init=False, default=0.0)
    """When the last slice was: one that comes late is the larger for it."""
    _goal_bytes: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._goal_bytes = self.engine.limit_bytes
        if self.memory.limit_bytes:
            self.governor = Governor(self.memory, self.engine.limit_bytes)

    def act(self, ticking: bool = False, busy: bool = False) -> None:
        """Do a slice of clean-up if one is due; ``ticking`` in a turn of housekeeping, which counts as one, ``busy`` in
        a turn in which somebody waits for an answer."""
        shared, engine = self.shared, self.engine
        if (shared.now_s < self.due_s and not ticking) or (busy and shared.now_s < self.due_s + PATIENCE_S):
            return
        if not shared.clock_safe:
            self.due_s = shared.now_s + _TICK_S
            return
        count = self._next_count()
        lowering = self._lower()
        engine.collect(shared.now_ms, count)
        if lowering:
            self.due_s = shared.now_s + SLICE_S
        elif self._rate:
            self.due_s = shared.now_s + (0.0 if self._behind else EXPIRY_SLICE_S)
        elif engine.is_sweeping:
            self.due_s = shared.now_s + SWEEP_SLICE_S
        else:
            self.due_s = shared.now_s + self._pause_s()

    def take(self, item: Input, now: Instant) -> None:
        """Take a measurement as a node's input."""
        assert isinstance(item, MemoryMeasured)
        self.measured(item)

    def measured(self, item: MemoryMeasured) -> None:
        """Move the store's limit to where resident memory wants it."""
        self.buffer_bytes = item.buffer_bytes
        if self.governor is None:
            return
        shared = self.shared
        verdict = self.governor.measured(item.resident_bytes, self.engine.used_bytes, shared.now_s)
        self._goal_bytes = goal_bytes = verdict.store_limit_bytes
        if goal_bytes >= self.engine.limit_bytes:
            self.engine.set_limit(goal_bytes)
        else:
            self.due_s = min(self.due_s, shared.now_s)
        if verdict.trim:
            self.trims += 1
            shared.effects.others.append(TrimMemory())
        if verdict.at_floor != self.at_floor:
            self.at_floor = verdict.at_floor
            figures: dict[str, Any] = {"resident_bytes": item.resident_bytes, "store_limit_bytes": goal_bytes}
            if self.at_floor:
                shared.note("memory.floor", level="error", **figures)
            else:
                shared.note("memory.followed", **figures)

    def statistics(self) -> dict[str, object]:
        """Return the figures of the governor; nothing where the store has a fixed size."""
        governor = self.governor
        if governor is None:
            return {}
        return {
            "memory_limit_bytes": self.memory.limit_bytes,
            "memory_resident_bytes": governor.resident_bytes,
            "memory_base_bytes": governor.base_bytes,
            "memory_buffer_bytes": self.buffer_bytes,
            "memory_store_limit_bytes": governor.store_limit_bytes,
            "memory_store_floor_bytes": governor.floor_bytes,
            "memory_at_floor": self.at_floor,
            "memory_trims": self.trims,
        }

    def _next_count(self) -> int:
        """Return how many entries the next slice looks at, and keep the rate that follows from the backlog."""
        largest, now_s = self.engine.settings.collect_count, self.shared.now_s
        backlog = self.engine.due_count(self.shared.now_ms)
        since_s = now_s - self._looked_s if self._rate else EXPIRY_SLICE_S
        self._looked_s = now_s
        if not backlog:
            self._rate, self._behind = 0.0, False
            return largest
        self._rate = max(self._rate, backlog / DRAIN_S)
        wanted, largest = int(self._rate * since_s), min(largest, EXPIRY_COUNT)
        self._behind = wanted > largest
        return min(largest, max(_LEAST_COUNT, wanted))

    def _lower(self) -> bool:
        """Lower the limit by a step towards the goal; True while it has not got there."""
        engine = self.engine
        limit_bytes = engine.limit_bytes
        if limit_bytes <= self._goal_bytes:
            return False
        if engine.used_bytes > limit_bytes:
            return True
        count, held_bytes = engine.held()
        step_bytes = max(_LEAST_STEP_BYTES, min(STEP_BYTES, STEP_COUNT * (held_bytes // max(1, count))))
        limit_bytes = max(self._goal_bytes, min(limit_bytes, engine.used_bytes) - step_bytes)
        engine.set_limit(limit_bytes)
        return limit_bytes > self._goal_bytes or engine.used_bytes > limit_bytes

    def _pause_s(self) -> float:
        """Return how long the engine has nothing to do: an idle node should cost nothing."""
        due_ms = self.engine.next_deadline_ms()
        if due_ms is None:
            return _IDLE_TICK_S
        return min(_IDLE_TICK_S, max(_TICK_S, (due_ms - self.shared.now_ms) / 1000))
