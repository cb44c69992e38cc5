"""The connections of one machine: hellos, frames, deadlines; what a runtime does around a core, without sockets.

What: ``Connections`` numbers the ends of a machine's streams, drives each hello with the product's own machines, cuts
bytes into messages, and gathers what the core is to hear in its next turn: ``received`` and ``inputs``.

Invariant: the core hears ``Connected`` once the hello is done and ``Disconnected`` exactly once after that; nothing
that a stranger sends reaches it. A connection's number is never used again.

Why a second runtime beside the product's: the product's runtime waits on sockets and clocks. What is decided here is
little, and follows it step by step (runtime/transport.py).
"""

from collections.abc import Callable
from typing import Any

import attrs

from dynacache.errors import DynacacheError, ProtocolError
from dynacache.events import Blocked, Connected, Disconnected, Input, Message, Writable
from dynacache.types import NodeId, Role
from dynacache.wire.codec import frame_of_messages
from dynacache.wire.framing import FrameReader
from dynacache.wire.handshake import HELLO_LIMIT_BYTES, Acceptor, Initiator, refusal_of
from dynacache.wire.messages import FRAME_LIMIT_BYTES

from .heap import Heap
from .network import End, Network

__all__ = ["FRAME_TIMEOUT_S", "HELLO_TIMEOUT_S", "Connection", "Connections"]

HELLO_TIMEOUT_S = 5.0
FRAME_TIMEOUT_S = 30.0


@attrs.define(eq=False, repr=False)
class Connection:
    """One stream as its machine sees it; the ``state`` of its ``End``."""

    number: int
    end: End
    hello: Acceptor | Initiator | None
    outbound: bool
    expected_node_id: NodeId | None
    reader: FrameReader
    ended: Callable[[], None] | None = None
    """Called when it is over."""
    role: Role = Role.CLIENT
    node_id: NodeId | None = None
    name: str = "client"
    """What traffic is counted under: peer, bulk, client, birth."""
    frames_seen: int = -1


@attrs.define(eq=False, repr=False)
class Connections:
    """All of one machine's connections in one life of its process."""

    heap: Heap
    network: Network
    high_water_bytes: int
    closed: Callable[[], None]
    """Called when inputs were added outside an arrival, so that a turn must follow."""
    by_number: dict[int, Connection] = attrs.field(factory=dict)
    received: list[tuple[int, list[Message]]] = attrs.field(factory=list)
    inputs: list[Input] = attrs.field(factory=list)
    _last_number: int = 0

    def adopt(
        self,
        end: End,
        hello: Acceptor | Initiator,
        expected_node_id: NodeId | None = None,
        ended: Callable[[], None] | None = None,
    ) -> Connection:
        """Take over an open stream; an initiator's hello is sent at once."""
        self._last_number = number = self._last_number + 1
        outbound = isinstance(hello, Initiator)
        reader = FrameReader(HELLO_LIMIT_BYTES)
        connection = Connection(number, end, hello, outbound, expected_node_id, reader, ended)
        end.number, end.state = number, connection
        end.high_water_bytes = self.high_water_bytes
        self.by_number[number] = connection
        if isinstance(hello, Initiator):
            self.network.send(end, frame_of_messages([hello.first()]))
        self.heap.after(HELLO_TIMEOUT_S, self._check_hello, connection)
        return connection

    def arrived(self, connection: Connection, data: bytes | None) -> None:
        """Take what came on a connection."""
        if data is None:
            self.lose(connection)
            return
        try:
            messages = connection.reader.feed(data) if connection.hello is None else self._greet(connection, data)
        except DynacacheError as error:
            self.refuse(connection, error)
            return
        if messages:
            self.received.append((connection.number, messages))
        elif connection.reader.pending_bytes and connection.frames_seen != connection.reader.frames:
            connection.frames_seen = connection.reader.frames
            self.heap.after(FRAME_TIMEOUT_S, self._check_frame, connection, connection.frames_seen)

    def open_links(self) -> list[Input]:
        """Return what a core that takes over must be told of: every connection that is open."""
        return [
            Connected(each.number, each.role, each.node_id, each.outbound)
            for each in self.by_number.values()
            if each.hello is None and each.name != "birth"
        ]

    def refuse(self, connection: Connection, error: DynacacheError) -> None:
        """Tell the other end why, and close."""
        if not isinstance(connection.hello, Initiator):
            self.network.send(connection.end, frame_of_messages([refusal_of(error)]))
        self.close(connection)

    def close(self, connection: Connection) -> None:
        """Close after what was sent."""
        if self.by_number.pop(connection.number, None) is not None:
            self.network.close(connection.end)
            self._report_end(connection)

    def lose(self, connection: Connection) -> None:
        """The stream is over."""
        if self.by_number.pop(connection.number, None) is not None:
            self.network.close(connection.end)
            self._report_end(connection)

    def blocked(self, connection: Connection, blocked: bool) -> None:
        """The stream's unsent bytes passed the mark, or drained."""
        if connection.hello is None and connection.node_id is not None:
            kind: Any = Blocked if blocked else Writable
            self.inputs.append(kind(connection.number))
            self.closed()

    def _report_end(self, connection: Connection) -> None:
        if connection.hello is None and connection.name != "birth":
            self.inputs.append(Disconnected(connection.number, connection.node_id))
            self.closed()
        if connection.ended is not None:
            connection.ended()

    def _greet(self, connection: Connection, data: bytes) -> list[Message]:
        """Let the hello go on; return the messages behind it."""
        reader, hello = connection.reader, connection.hello
        assert hello is not None
        replies: list[Message] = []
        messages = reader.feed_one(data)
        while messages is not None:
            for message in messages:
                if hello.done:
                    raise ProtocolError("a frame of the hello holds one message")
                replies += hello.receive(message)
            if hello.done:
                break
            messages = reader.feed_one(b"")
        if hello.done and connection.expected_node_id not in (None, hello.peer_node_id):
            raise ProtocolError(f"expected node {connection.expected_node_id!r}, found {hello.peer_node_id!r}")
        if replies:
            self.network.send(connection.end, frame_of_messages(replies))
        if not hello.done:
            return []
        self._admit(connection, hello)
        return reader.feed(b"")

    def _admit(self, connection: Connection, hello: Acceptor | Initiator) -> None:
        connection.hello = None
        connection.role = hello.role
        connection.node_id = hello.peer_node_id if connection.outbound or hello.role is not Role.CLIENT else None
        if connection.name != "birth":
            connection.name = hello.role.name.lower()
            self.inputs.append(
                Connected(connection.number, connection.role, connection.node_id, outbound=connection.outbound)
            )
        connection.reader.limit_bytes = FRAME_LIMIT_BYTES

    def _check_hello(self, connection: Connection) -> None:
        if connection.hello is not None and connection.number in self.by_number:
            self.refuse(connection, ProtocolError(f"no hello within {HELLO_TIMEOUT_S:g} s"))

    def _check_frame(self, connection: Connection, frames: int) -> None:
        reader = connection.reader
        if connection.number in self.by_number and reader.pending_bytes and reader.frames == frames:
            self.refuse(connection, ProtocolError(f"a frame was not complete within {FRAME_TIMEOUT_S:g} s"))
