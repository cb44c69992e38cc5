"""How fast repair may go: a bucket of bytes, and patience while clients are busy.

What: ``Pace`` says when the next step of an exchange may be taken, and is told of every byte that repair sends or
receives.

Invariant: over any stretch of time repair moves no more than its rate times that stretch plus one second's worth plus
one message. A node that clients keep busy takes one step each ``busy_pause_s``, never none.

Why a debt and not a refusal: a message is never cut, so that any limit admits at least one item; the next one waits.
"""

import attrs

__all__ = ["Pace"]


@attrs.define(eq=False)
class Pace:
    """One node's pace. Times are monotonic seconds."""

    bytes_per_s: int
    pause_load: float
    busy_pause_s: float
    moved_bytes: int = 0
    pauses: int = 0
    """Steps that waited for clients or for the rate."""

    _room_bytes: float = attrs.field(init=False)
    _counted_s: float = 0.0
    _stepped_s: float = float("-inf")

    def __attrs_post_init__(self) -> None:
        """Start with a full bucket."""
        self._room_bytes = float(self.bytes_per_s)

    def ready_s(self, now_s: float, load: float) -> float:
        """Return when the next step may be taken: ``now_s`` or earlier if at once."""
        self._fill(now_s)
        ready_s = now_s if self._room_bytes > 0 else now_s - self._room_bytes / self.bytes_per_s
        if load >= self.pause_load:
            ready_s = max(ready_s, self._stepped_s + self.busy_pause_s)
        self.pauses += ready_s > now_s
        return ready_s

    def room_bytes(self, now_s: float) -> int:
        """Return how many bytes may be moved now, 0 while there is a debt."""
        self._fill(now_s)
        return max(0, int(self._room_bytes))

    def stepped(self, now_s: float) -> None:
        """Take note of a step."""
        self._stepped_s = now_s

    def moved(self, size_bytes: int, now_s: float) -> None:
        """Take note of bytes sent or received."""
        self._fill(now_s)
        self.moved_bytes += size_bytes
        self._room_bytes -= size_bytes

    def _fill(self, now_s: float) -> None:
        elapsed_s = max(0.0, now_s - self._counted_s)
        self._counted_s = now_s
        self._room_bytes = min(float(self.bytes_per_s), self._room_bytes + elapsed_s * self.bytes_per_s)
