"""The node as the repair cores see it: time, owners, peers, questions and answers.

What: ``NodeRepairPort`` is ``repair.ports.RepairPort`` over the coordinator's shared state. A question becomes a
pending request like any other, on the bulk link, so that it never delays acknowledgements.

Invariant: a waiter hears exactly one of ``answered`` and ``failed``, once, never inside ``ask``. A question that was
refused because the member tables differ counts as failed; the tables have been merged by then.

Why an adapter: the repair cores know neither the coordinator nor each other (ranks, DESIGN section 2).
"""

from collections.abc import Callable
from random import Random

import attrs

from dynacache.coordination.shared import Shared
from dynacache.coordination.timeline import timeout_class_ms
from dynacache.events import ConnectionId, Message
from dynacache.placement.placement import Placement
from dynacache.repair.ports import Waiter
from dynacache.types import NodeId
from dynacache.wire.messages import PAGE

__all__ = ["BUSY_PENDING_COUNT", "NodeRepairPort"]

BUSY_PENDING_COUNT = 2_000
"""Requests in flight at which a node counts as fully busy with clients."""


@attrs.define(eq=False)
class _Question:
    """One question under way."""

    port: "NodeRepairPort"
    node_id: NodeId
    connection: ConnectionId
    waiter: Waiter
    held: Message = ()

    def replied(self, connection: ConnectionId, message: Message) -> bool:
        """Hand the answer on; a page that was made by a node which knows of more invalidations once we know them too.

        What was filled from a source then stands for all that the source knew: a copy is never complete and ignorant.
        """
        catalogue = self.port.shared.catalogue_port
        if message[0] == PAGE and len(message) > 6 and catalogue.is_behind(self.node_id, message[6]):
            self.held = message
            catalogue.wait(self.node_id, message[6], self)
        else:
            self.waiter.answered(message)
        return True

    def caught_up(self, reached: bool) -> None:
        """Hand the page on."""
        if reached:
            self.waiter.answered(self.held)
        else:
            self.waiter.failed()

    def lost(self, connection: ConnectionId) -> bool:
        """The link ended."""
        if connection != self.connection:
            return False
        self.waiter.failed()
        return True

    def slow(self) -> None:
        """Repair is patient."""

    def overdue(self) -> None:
        """No answer in time."""
        self.waiter.failed()

    def refused(self, connection: ConnectionId) -> bool:
        """The tables differed: the core asks again when it sees fit; ``lost`` ends this question."""
        return False


@attrs.define(eq=False)
class NodeRepairPort:
    """What the repair cores use of one node."""

    shared: Shared
    _placement: Callable[[], Placement]
    _unasked: list[Waiter] = attrs.field(init=False, factory=list)

    @property
    def node_id(self) -> NodeId:
        """This node."""
        return self.shared.node_id

    @property
    def random(self) -> Random:
        """The node's generator."""
        return self.shared.random

    @property
    def now_s(self) -> float:
        """Monotonic seconds of this turn."""
        return self.shared.now_s

    @property
    def now_ms(self) -> int:
        """The hybrid clock in milliseconds."""
        return self.shared.now_ms

    @property
    def hybrid(self) -> int:
        """The hybrid clock's timestamp."""
        return self.shared.clock.last

    @property
    def digest(self) -> int:
        """The placement digest of our table."""
        return self.shared.digest

    @property
    def placement(self) -> Placement:
        """The owners under our table."""
        return self._placement()

    @property
    def load(self) -> float:
        """Requests in flight beside ``BUSY_PENDING_COUNT``, at most 1."""
        return min(1.0, len(self.shared.pending) / BUSY_PENDING_COUNT)

    def other_requests(self) -> int:
        """Return how many requests in flight are not questions of repair."""
        return sum(type(request) is not _Question for request in self.shared.pending.values())

    def is_up(self, node_id: NodeId) -> bool:
        """Tell whether a peer can be asked now."""
        return self.shared.links.usable(node_id)

    def ask(self, node_id: NodeId, kind: int, fields: tuple[object, ...], waiter: Waiter, timeout_ms: int) -> None:
        """Ask a peer over its bulk link; see ``RepairPort.ask``."""
        shared = self.shared
        if not shared.links.usable(node_id):
            self._unasked.append(waiter)
            return
        link = shared.links.link(node_id)
        connection = link.bulk_connection or link.connection
        timeout_ms = timeout_class_ms(timeout_ms)
        request_id = shared.new_request(_Question(self, node_id, connection, waiter), timeout_ms, timeout_ms)
        shared.effects.send(connection, (kind, request_id, shared.clock.last, *fields))

    def fail_unasked(self) -> None:
        """Tell those who asked a peer that was away; called once a turn."""
        unasked, self._unasked = self._unasked, []
        for waiter in unasked:
            waiter.failed()

    def reply(self, connection: ConnectionId, message: Message) -> None:
        """Answer on the connection that a request came on."""
        if message[0] == PAGE and self.shared.catalogue.sequence:
            message = (*message, self.shared.catalogue.sequence)
        self.shared.effects.send(connection, message)

    def note(self, event: str, level: str = "info", **fields: object) -> None:
        """Emit a note."""
        self.shared.note(event, level, **fields)
