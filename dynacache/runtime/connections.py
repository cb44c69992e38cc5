"""What the runtime knows about one TCP connection, and how its hello goes on.

What: the socket, the reader of frames, the unsent output, and the moments that its deadlines are counted from. The loop
owns the connections and moves bytes; nothing here waits, sends or receives.

Invariant: `output_bytes` is the sum of the lengths in `output`; a connection is watched for writability exactly while
that is above 0. Before the hello is done a frame may hold at most `HELLO_LIMIT_BYTES`, and nothing reaches the node.

Why numbers: a connection is named by a number that is never used again, while the kernel reuses descriptors at once. An
effect for a connection that has ended in the meantime therefore meets nobody instead of somebody else.
"""

import socket
from collections import deque
from collections.abc import Callable

import attrs

from dynacache.config import NetworkConfig
from dynacache.errors import DynacacheError, ProtocolError
from dynacache.events import ConnectionId, Message
from dynacache.runtime.poller import READABLE
from dynacache.types import NodeId, Role
from dynacache.wire.framing import FrameReader
from dynacache.wire.handshake import HELLO_LIMIT_BYTES, Acceptor, Initiator
from dynacache.wire.messages import FRAME_LIMIT_BYTES

__all__ = ["LINGER_S", "Connection", "advance_hello", "overdue"]

LINGER_S = 2.0
"""Seconds a closed connection may take to send what is left and to hear that the other end is done."""


def _ignore(_: DynacacheError | None) -> None:
    """A connection that nobody waits for."""


@attrs.define(eq=False)
class Connection:
    """One connection, from accept or connect to close."""

    number: ConnectionId
    socket: socket.socket
    descriptor: int
    hello: Acceptor | Initiator | None
    """The hello in progress; None once it is done."""
    opened_s: float
    expected_node_id: NodeId | None = None
    """Who must answer, for an outbound connection to a known peer."""
    ended: Callable[[DynacacheError | None], None] = _ignore
    """Called once when the connection is gone, with the reason if the other end or we refused."""

    open: bool = attrs.field(default=False, init=False)
    """The hello is done and the connection is not closing: its messages go to the core."""
    role: Role = attrs.field(default=Role.CLIENT, init=False)
    outbound: bool = attrs.field(init=False)
    node_id: NodeId | None = attrs.field(default=None, init=False)
    reader: FrameReader = attrs.field(init=False)
    receive: Callable[[int], bytes] = attrs.field(init=False)
    feed: Callable[[bytes], list[Message]] = attrs.field(init=False)
    mask: int = attrs.field(default=READABLE, init=False)
    output: deque[bytes | memoryview] = attrs.field(factory=deque, init=False)
    output_bytes: int = attrs.field(default=0, init=False)
    high_water_bytes: int = attrs.field(default=FRAME_LIMIT_BYTES, init=False)
    blocked: bool = attrs.field(default=False, init=False)
    """Output passed the high-water mark and has not drained to half of it yet."""
    heard_s: float = attrs.field(init=False)
    """When bytes last came."""
    frame_began_s: float | None = attrs.field(default=None, init=False)
    frames_seen: int = attrs.field(default=0, init=False)
    closing_s: float | None = attrs.field(default=None, init=False)
    """When the connection was told to close; what comes in after that is thrown away."""
    error: DynacacheError | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Start the deadlines and grant a stranger no more than a hello."""
        self.heard_s = self.opened_s
        self.reader = FrameReader(HELLO_LIMIT_BYTES)
        self.receive, self.feed = self.socket.recv, self.reader.feed
        self.outbound = isinstance(self.hello, Initiator)

    @property
    def is_client(self) -> bool:
        """Whether a client has finished its hello here."""
        return self.hello is None and self.role is Role.CLIENT

    def admit(self, network: NetworkConfig) -> None:
        """The hello is done: take over what it proved and lift the limits of a stranger."""
        hello = self.hello
        assert hello is not None
        assert hello.done
        self.hello = None
        self.open = True
        self.role = hello.role
        self.node_id = hello.peer_node_id if self.outbound or self.role is not Role.CLIENT else None
        self.reader.limit_bytes = FRAME_LIMIT_BYTES
        is_client = self.role is Role.CLIENT
        self.high_water_bytes = network.client_high_water_bytes if is_client else network.peer_high_water_bytes


def advance_hello(connection: Connection, data: bytes) -> list[Message]:
    """Feed bytes to the hello; return what to send.

    Bytes behind the hello's last frame stay in the reader. Raises an error of the tree when the hello fails.
    """
    hello, reader = connection.hello, connection.reader
    assert hello is not None
    replies: list[Message] = []
    messages = reader.feed_one(data)
    while messages is not None:
        for message in messages:
            if hello.done:
                raise ProtocolError("a frame of the hello holds one message")
            replies += hello.receive(message)
        if hello.done:
            _check_name(connection, hello)
            break
        messages = reader.feed_one(b"")
    return replies


def _check_name(connection: Connection, hello: Acceptor | Initiator) -> None:
    expected = connection.expected_node_id
    if expected is not None and hello.peer_node_id != expected:
        raise ProtocolError(f"expected node {expected!r} at this address, found {hello.peer_node_id!r}")


def overdue(connection: Connection, now_s: float, network: NetworkConfig) -> str | None:
    """Say which deadline a connection has missed; None while it is in time. To be asked about once a second."""
    if connection.closing_s is not None:
        return "the other end did not close in time" if now_s - connection.closing_s > LINGER_S else None
    if connection.hello is not None:
        late = now_s - connection.opened_s > network.hello_timeout_s
        return f"no hello within {network.hello_timeout_s:g} s" if late else None
    reader = connection.reader
    if not reader.pending_bytes:
        connection.frame_began_s = None
    elif connection.frame_began_s is None or connection.frames_seen != reader.frames:
        connection.frame_began_s, connection.frames_seen = now_s, reader.frames
    elif now_s - connection.frame_began_s > network.frame_timeout_s:
        return f"a frame was not complete within {network.frame_timeout_s:g} s"
    if connection.role is Role.CLIENT and now_s - connection.heard_s > network.idle_timeout_s:
        return f"silent for {network.idle_timeout_s:g} s"
    return None
