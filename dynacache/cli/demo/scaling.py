"""The other script of the demo: one more node joins under load, and leaves again.

What: `Scaling.step` looks at the clock and at the nodes and does what is due: at a third of the time it starts a node
that joins by itself, at two thirds (or as soon as it is an owner) it asks it to leave, and it notes when each is done.

Invariant: a node that was asked to leave must end by itself with exit code 0; anything else ends the demo. What takes
longer than the demo is waited for, with the load going on, but not for ever.

Why a class and not two more branches of the director: the director knows one thing that happens to nodes; this is the
other one, and either can be read alone.
"""

from collections.abc import Callable

import attrs

from dynacache.cli.local_cluster import LocalCluster
from dynacache.cli.processes import StartFailed

__all__ = ["OVERTIME_S", "Scaling"]

OVERTIME_S = 120.0
"""Seconds beyond the demo's own that joining and leaving may take."""


@attrs.define(eq=False)
class Scaling:
    """Grows the cluster by one node and shrinks it again. `events` gains the moments, in seconds of the demo."""

    cluster: LocalCluster
    say: Callable[[str], None]
    seconds: float
    events: dict[str, float]
    position: int | None = attrs.field(default=None, init=False)
    """The node that comes and goes, while it is there."""
    phase: str = attrs.field(default="all nodes up", init=False)

    @property
    def is_over(self) -> bool:
        """Whether the node has come and gone."""
        return "left_at_s" in self.events

    @property
    def is_leaving(self) -> bool:
        """Whether the node may end."""
        return "leave_asked_at_s" in self.events

    def step(self, elapsed: float) -> None:
        """Do what is due. Raises StartFailed for a node that does not do its part."""
        if self.is_over:
            return
        if elapsed > self.seconds + OVERTIME_S:
            raise StartFailed(f"{self.phase}: not over within {self.seconds + OVERTIME_S:g} s")
        if self.position is None:
            if elapsed >= self.seconds / 3:
                self._begin(elapsed)
        elif self.is_leaving:
            self._look_for_the_end(elapsed, self.position)
        elif "joined_at_s" in self.events:
            if elapsed >= self.seconds * 2 / 3:
                self._ask_to_leave(elapsed, self.position)
        else:
            self._look_for_its_place(elapsed, self.position)

    def _begin(self, elapsed: float) -> None:
        self.position = self.cluster.add()
        self.phase = "one node joins"
        self.events["started_at_s"] = round(elapsed, 3)
        self.say(f"starting {self.cluster.addresses[self.position]}, which joins")

    def _look_for_its_place(self, elapsed: float, position: int) -> None:
        if self.cluster.report(position, "change").get("state") == "normal":
            self.phase = "one node more"
            self.events["joined_at_s"] = round(elapsed, 3)
            self.say(f"{self.cluster.addresses[position]} is an owner")

    def _ask_to_leave(self, elapsed: float, position: int) -> None:
        address = self.cluster.addresses[position]
        self.cluster.order(position, "leave", node=address)
        self.phase = "one node leaves"
        self.events["leave_asked_at_s"] = round(elapsed, 3)
        self.say(f"asking {address} to leave")

    def _look_for_the_end(self, elapsed: float, position: int) -> None:
        child = self.cluster.children[position]
        if child.running:
            return
        if child.process.returncode:
            raise StartFailed(f"{child.name} left with exit code {child.process.returncode}: {child.said()}")
        self.say(f"{self.cluster.addresses[position]} has left, and its process has ended")
        self.cluster.forget(position)
        self.position, self.phase = None, "all nodes up"
        self.events["left_at_s"] = round(elapsed, 3)
