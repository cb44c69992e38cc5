"""A node takes leave of its clients: drained for a while, stopped, or gone for good.

What: ``Closing`` is the one way in which a node ceases to serve. *Drained* (by an operator's order, until another one)
it refuses clients and hands its hints over, and stays a replica and a member. *Stopped* (SIGTERM) it does the same,
then tells its peers and ends, within a deadline. *Leaving*, it stops by itself once its place and data are handed over.

Invariant: whoever asks in the meantime is told "not here, nothing was changed", and clients with a connection are told
before they ask, by a topology that names this node as stopping. A stop keeps the place; hints that nobody took by the
deadline end with the process, counted and told. Draining drops nothing.

Why drain at all: requests end before the process does, so a restart by hand or by a supervisor fails none of them.
"""

from collections.abc import Callable

import attrs

from dynacache.coordination.gate import Gate
from dynacache.coordination.hint_replay import HintReplay
from dynacache.coordination.shared import Shared
from dynacache.events import Stopped
from dynacache.node.members import Members
from dynacache.types import Instant

__all__ = ["Closing"]


@attrs.define(eq=False)
class Closing:
    """How one node ends. ``in_flight`` counts requests under way that are not repair's own."""

    shared: Shared
    gate: Gate
    replay: HintReplay
    members: Members
    in_flight: Callable[[], int]
    stop_timeout_s: float
    is_drained: bool = False
    is_handed_over: bool = False
    """Drained, and nothing is left to hand over or to finish."""
    _deadline_s: float | None = attrs.field(init=False, default=None)
    _announced: bool = attrs.field(init=False, default=False)

    @property
    def is_ending(self) -> bool:
        """Whether the process is about to end; replay and repair then rest."""
        return self._deadline_s is not None

    @property
    def is_busy(self) -> bool:
        """Whether ``tick`` has something to do in every turn of housekeeping."""
        return self.is_ending or (self.is_drained and not self.is_handed_over)

    def drain(self, drained: bool) -> None:
        """Serve no clients until told otherwise, or serve them again."""
        if self.is_ending or drained == self.is_drained:
            return
        self.is_drained, self.is_handed_over = drained, False
        if drained:
            self.gate.stop()
        else:
            self.gate.resume()
        self.members.tell_stopping(drained)
        self.shared.note("node.drained" if drained else "node.undrained")

    def stop(self, deadline_s: float) -> None:
        """Stop, keeping the place, by a monotonic second."""
        self._deadline_s = deadline_s
        self.gate.stop()
        self.members.tell_stopping(True)

    def leave(self) -> None:
        """The place is given up and all is handed over: stop, as if asked to."""
        self.stop(self.shared.now_s + self.stop_timeout_s)

    def tick(self, now: Instant) -> None:
        """Hand over, finish what is in flight, announce, and report the end."""
        if self._deadline_s is not None:
            self._end(now, late=now.monotonic_s >= self._deadline_s)
        elif self.is_drained:
            self.is_handed_over = self.replay.offer_all() and not self.in_flight()

    def _end(self, now: Instant, late: bool) -> None:
        if not self._announced and (late or (self.replay.hand_over() and not self.shared.pending)):
            self._announced = True
            self.replay.give_up()
            self.members.stop(now)
        if self._announced and (late or self.members.swim.is_announced):
            self.shared.effects.others.append(Stopped())
