"""What a node is told and what it asks for: the whole boundary between the cores and the world.

What: inputs (a connection came or went, a datagram arrived, the loop was late) and effects (send these messages, keep a
link to that node, write this note). The hot path does not pass one object per message: received messages come as
``(connection, [message, ...])`` pairs and leave in one ``Effects`` of plain lists and dicts, filled over one turn.

Invariant: a core's only way to act is the ``Effects`` it returns; messages for one connection leave in the order of
their list. Whoever performs the effects (Trio, or the simulator) decides nothing.

Why: the simulator and the server then run exactly the same code, and one turn costs one encode and one send for each
destination however many requests it answered (DESIGN sections 2 and 3).
"""

from typing import Any

import attrs

from dynacache.types import NodeId, Role

__all__ = [
    "Address",
    "Blocked",
    "Close",
    "Connect",
    "Connected",
    "ConnectionId",
    "DatagramReceived",
    "Disconnect",
    "Disconnected",
    "Effects",
    "Halt",
    "Input",
    "LoopLag",
    "MemoryMeasured",
    "Message",
    "Note",
    "Received",
    "StopRequested",
    "Stopped",
    "TrimMemory",
    "Writable",
]

ConnectionId = int
Address = tuple[str, int]
Message = list[Any] | tuple[Any, ...]
Received = tuple[ConnectionId, list[Message]]


@attrs.frozen
class Connected:
    """A connection finished its hello. ``node_id`` is the proven peer, None for a client."""

    connection: ConnectionId
    role: Role
    node_id: NodeId | None
    outbound: bool


@attrs.frozen
class Disconnected:
    """A connection ended, or could not be made (then ``connection`` is 0 and ``node_id`` names the peer)."""

    connection: ConnectionId
    node_id: NodeId | None = None


@attrs.frozen
class Blocked:
    """A connection's unsent output passed its high-water mark; a blocked peer counts as unreachable."""

    connection: ConnectionId


@attrs.frozen
class Writable:
    """A blocked connection drained below its low-water mark."""

    connection: ConnectionId


@attrs.frozen
class DatagramReceived:
    """A membership datagram arrived."""

    payload: bytes
    address: Address


@attrs.frozen
class LoopLag:
    """The runtime's loop woke ``seconds`` later than it asked to."""

    seconds: float


@attrs.frozen
class MemoryMeasured:
    """What the operating system counts for the process, and how much of it is messages waiting to be sent."""

    resident_bytes: int
    buffer_bytes: int = 0


@attrs.frozen
class StopRequested:
    """The operator asks the node to stop without giving up its place, by ``deadline_s`` (monotonic seconds)."""

    deadline_s: float


Input = Connected | Disconnected | Blocked | Writable | DatagramReceived | LoopLag | MemoryMeasured | StopRequested


@attrs.frozen
class Connect:
    """Keep outbound links (one for requests, one for bulk) to this peer until told otherwise; reconnect for ever."""

    node_id: NodeId
    address: Address


@attrs.frozen
class Disconnect:
    """Drop the links to this peer and stop reconnecting."""

    node_id: NodeId


@attrs.frozen
class Close:
    """Close one connection once what was sent on it has left."""

    connection: ConnectionId
    reason: str


@attrs.frozen
class Note:
    """Something worth a log line or a counter; ``fields`` are plain values."""

    event: str
    fields: dict[str, Any]
    level: str = "info"


@attrs.frozen
class Stopped:
    """A requested stop is complete: nothing is in flight and peers were told."""


@attrs.frozen
class TrimMemory:
    """The allocator should give back what it holds for nothing, if it has not just done so."""


@attrs.frozen
class Halt:
    """The node must not go on (its name is taken, its table was refused); the process ends with this reason."""

    reason: str
    exit_code: int


@attrs.define
class Effects:
    """All that one turn asks for.

    ``sends``: messages per connection, encoded together as one frame. ``shared``: a message to encode once and put into
    the frame of every connection named. ``datagrams``: (payload, address). ``others``: everything rare, in order.
    """

    sends: dict[ConnectionId, list[Message]] = attrs.field(factory=dict)
    shared: list[tuple[tuple[ConnectionId, ...], Message]] = attrs.field(factory=list)
    datagrams: list[tuple[bytes, Address]] = attrs.field(factory=list)
    others: list[Connect | Disconnect | Close | Note | Stopped | TrimMemory | Halt] = attrs.field(factory=list)

    def send(self, connection: ConnectionId, message: Message) -> None:
        """Queue one message for one connection."""
        queue = self.sends.get(connection)
        if queue is None:
            self.sends[connection] = [message]
        else:
            queue.append(message)
