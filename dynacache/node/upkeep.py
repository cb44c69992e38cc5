"""The cores that keep replicas whole, driven together.

What: ``Upkeep`` holds the repair cores of a node (exchange, transfer, ring change, ...), hands each the messages of its
kinds, lets it act when it is due, and tells it of new owners.

Invariant: a request of a sender whose member table differs is corrected before a core sees it; one whose clock is
beyond the allowed skew is not served, and while this node distrusts its own clock it serves fences alone, which carry
no time. The cores never run before the node's own messages of the turn were served.

Why one table of them beside the node's own names: a core is added in one line, and no place that drives, tells or
counts them can forget one.
"""

from collections.abc import Callable, Mapping

import attrs

from dynacache.coordination.shared import Shared
from dynacache.events import ConnectionId, Message
from dynacache.node.repair_port import NodeRepairPort
from dynacache.placement.placement import Placement
from dynacache.repair.ports import Core, Handler
from dynacache.types import NodeId
from dynacache.wire.messages import FENCE

__all__ = ["Upkeep"]


@attrs.define(eq=False)
class Upkeep:
    """The repair cores of one node. ``refuse_stale(connection, request_id)`` corrects a sender's member table."""

    shared: Shared
    port: NodeRepairPort
    refuse_stale: Callable[[ConnectionId, int], None]
    cores: dict[str, Core] = attrs.field(factory=dict)
    _handlers: dict[int, Handler] = attrs.field(init=False, factory=dict)

    def add(self, name: str, core: Core) -> None:
        """Drive another core from now on."""
        self.cores[name] = core
        self._handlers.update(core.handlers)

    def serve(self, connection: ConnectionId, node_id: NodeId, message: Message) -> None:
        """Serve a request of a peer: (kind, request id, clock, digest, ...). Raises what a malformed one raises."""
        shared = self.shared
        if not shared.clock_safe and message[0] != FENCE:
            return
        if not shared.clock.observe(message[2], shared.wall_ms):
            shared.counters.skewed_messages += 1
            return
        shared.now_ms = shared.clock.last >> 16
        if message[3] != shared.digest:
            self.refuse_stale(connection, message[1])
            return
        self._handlers[message[0]](connection, node_id, message)

    def tick(self) -> None:
        """Let every core act."""
        self.port.fail_unasked()
        for core in self.cores.values():
            core.tick()

    def next_due_s(self) -> float:
        """Return the earliest moment that a core asks for."""
        return min((core.next_due_s() for core in self.cores.values()), default=float("inf"))

    def table_changed(self, before: Placement, after: Placement) -> None:
        """Tell every core of other owners."""
        for core in self.cores.values():
            core.table_changed(before, after)

    def statistics(self) -> Mapping[str, object]:
        """Return the figures of every core, each name with the core's before it."""
        return {
            f"{name}_{figure}": value
            for name, core in self.cores.items()
            for figure, value in core.statistics().items()
        }
