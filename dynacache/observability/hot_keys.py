"""Which keys are read most, told from a sample, in constant memory.

What: one request in ``SAMPLED_ONE_IN`` that clients send here is looked at; if it is a read, its key goes to a
Space-Saving table of ``HOT_KEYS_LIMIT`` counters, which is halved every ``HALVING_S``. A rate is a count divided by the
time it stands for, which is halved along with it.

Invariants: a request is counted at the node it was sent to and nowhere else, so the rates of all nodes add up to the
cluster's. The memory is that of the counters (with keys of at most a kilobyte). What a batch costs when nothing of it
is sampled is one subtraction and one comparison, which the caller makes itself (``countdown``).

Why every n-th request with n going up and down around the mean: counting each read would cost a tenth of answering it,
and a fixed stride would see one client's every second request and never the others. The strides come from a Weyl
sequence and not from the node's random numbers, so that looking at traffic changes no other decision. Halving every ten
seconds lets yesterday's hot key go within a minute.
"""

from collections.abc import Sequence

import attrs

from dynacache.events import Message
from dynacache.observability.space_saving import SpaceSaving
from dynacache.wire.messages import GET

__all__ = ["HALVING_S", "HOT_KEYS_LIMIT", "SAMPLED_ONE_IN", "HotKey", "HotKeys"]

HOT_KEYS_LIMIT = 256
"""Keys that have a counter."""

SAMPLED_ONE_IN = 16
"""Requests of which one is looked at, on average."""

HALVING_S = 10.0
"""Seconds after which everything counted weighs half."""

_WEYL = 0x9E3779B9
_STRIDES = 2 * SAMPLED_ONE_IN - 1
"""Strides are 1 to this, all equally often."""


@attrs.frozen
class HotKey:
    """One key; the rate is at most ``reads_per_s`` and at least that less ``error_per_s``, but for sampling."""

    key: bytes
    reads_per_s: float
    error_per_s: float


@attrs.define(eq=False)
class HotKeys:
    """The sampler. Callers subtract the length of each batch from ``countdown`` and call ``sample`` when that leaves
    nothing."""

    started_s: float
    countdown: int = 1
    sampled: int = 0
    """Requests looked at."""
    _table: SpaceSaving[bytes] = attrs.field(init=False, factory=lambda: SpaceSaving(HOT_KEYS_LIMIT))
    _weyl: int = attrs.field(init=False, default=0)
    _window_s: float = attrs.field(init=False, default=0.0)
    """What the counts of finished periods stand for, halved as they are."""

    def sample(self, messages: Sequence[Message]) -> None:
        """Look at those of a batch whose turn it is; ``countdown`` is at most 0."""
        count = len(messages)
        place = self.countdown + count - 1
        while place < count:
            message = messages[place]
            self.sampled += 1
            if message[0] == GET and len(message) > 2 and type(message[2]) is bytes:
                self._table.add(message[2])
            self._weyl = weyl = self._weyl + _WEYL & 0xFFFFFFFF
            place += 1 + (weyl * _STRIDES >> 32)
        self.countdown = place - count + 1

    def tick(self, now_s: float) -> None:
        """Halve what was counted, when it is time."""
        elapsed_s = now_s - self.started_s
        if elapsed_s >= HALVING_S:
            self._table.halve()
            self._window_s = (self._window_s + elapsed_s) / 2
            self.started_s = now_s

    def top(self, limit: int, now_s: float) -> list[HotKey]:
        """Return up to ``limit`` keys, the most read first."""
        window_s = self._window_s + now_s - self.started_s
        if window_s <= 0:
            return []
        scale = SAMPLED_ONE_IN / window_s
        return [HotKey(each.item, each.count * scale, each.error * scale) for each in self._table.top(limit)]
