"""What the repair cores need of the node around them, stated as protocols.

What: ``RepairPort`` is a core's whole view of the cluster and of time; ``Waiter`` is whoever waits for one answer;
``Core`` is what the node drives.

Invariant: packages of one rank never import each other; ``node.repair_port`` makes these of the real objects. A waiter
hears exactly one of ``answered`` and ``failed``, once, and never before ``ask`` has returned.

Why: exchange, transfer and ring change can then be tested against a port of thirty lines, and the coordinator can
change without them.
"""

from collections.abc import Mapping
from random import Random
from typing import Protocol

from dynacache.events import ConnectionId, Message
from dynacache.placement.placement import Placement
from dynacache.types import NodeId

__all__ = ["Core", "Handler", "RepairPort", "Waiter"]


class Waiter(Protocol):
    """Someone who has asked one peer one thing."""

    def answered(self, message: Message) -> None:
        """Take the answer: the whole message, kind first. Its fields are not checked yet."""
        ...

    def failed(self) -> None:
        """Take note that no answer will come: the link ended, time is over, or the member tables differed (they have
        been merged by then, so asking again later may work)."""
        ...


class RepairPort(Protocol):
    """The node as repair sees it; values are those of the present turn."""

    @property
    def node_id(self) -> NodeId:
        """This node."""
        ...

    @property
    def random(self) -> Random:
        """The node's generator."""
        ...

    @property
    def now_s(self) -> float:
        """Monotonic seconds."""
        ...

    @property
    def now_ms(self) -> int:
        """The hybrid clock in milliseconds."""
        ...

    @property
    def hybrid(self) -> int:
        """The hybrid clock's 64-bit timestamp, as it travels in messages."""
        ...

    @property
    def digest(self) -> int:
        """The placement digest of our member table, as it travels in messages."""
        ...

    @property
    def placement(self) -> Placement:
        """The owners under our member table."""
        ...

    @property
    def load(self) -> float:
        """How busy this node is with clients, from 0 (idle) to 1 (it should do nothing else)."""
        ...

    def is_up(self, node_id: NodeId) -> bool:
        """Tell whether a peer can be asked now."""
        ...

    def ask(self, node_id: NodeId, kind: int, fields: tuple[object, ...], waiter: Waiter, timeout_ms: int) -> None:
        """Send ``(kind, request_id, hybrid, *fields)`` over the peer's bulk link; a peer that is away fails at once,
        in the next turn."""
        ...

    def reply(self, connection: ConnectionId, message: Message) -> None:
        """Answer on the connection that a request came on."""
        ...

    def note(self, event: str, level: str = "info", **fields: object) -> None:
        """Emit a note for logs and traces."""
        ...


class Handler(Protocol):
    """What serves one kind of message from a peer whose member table is ours."""

    def __call__(self, connection: ConnectionId, node_id: NodeId, message: Message) -> None:
        """Serve it. IndexError, TypeError, ValueError or an error of the tree mean a malformed message."""
        ...


class Core(Protocol):
    """One of the cores that keep replicas whole."""

    @property
    def handlers(self) -> Mapping[int, Handler]:
        """The kinds of request that this core answers."""
        ...

    def tick(self) -> None:
        """Do what is due; called at least every half second, more often while ``next_due_s`` asks for it."""
        ...

    def next_due_s(self) -> float:
        """Return the monotonic second of the next thing to do, infinity for none."""
        ...

    def table_changed(self, before: Placement, after: Placement) -> None:
        """Take note of other owners."""
        ...

    def statistics(self) -> Mapping[str, object]:
        """Return counters and gauges by name."""
        ...
