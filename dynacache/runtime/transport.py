"""The connections of one node: opened, greeted, written to, slowed down, refused and closed; never waited for.

What: `Transport` owns the selector and the table of connections. The data loop asks it to read and to send; what the
core must hear about (a connection came, went, is full, has drained) is gathered in `inputs` until the next turn.

Invariant: nothing here waits. A socket that does not take its output keeps the rest, and alone is watched for
writability. A client above its high-water mark is not read until it has drained to half of it; an outbound peer above
its own is reported `Blocked` and still read (its acknowledgements are on the way), and dropped at `PEER_LIMIT_FACTOR`
times that. The core hears `Connected` once the hello is done and `Disconnected` exactly once after that.

Why closing lingers: a close with unread bytes in the socket sends a reset, and a reset destroys the error message that
was to explain it. So a refused connection sends what it has, ends its own direction, throws away what still comes, and
is cut when the other end is done or `LINGER_S` later. Deadlines are looked at in one sweep, not by a timer for each
connection.
"""

from collections.abc import Callable
from socket import SHUT_WR
from socket import socket as Socket
from typing import Final

import attrs

from dynacache.config import NetworkConfig
from dynacache.errors import DynacacheError, Overloaded, ProtocolError
from dynacache.events import Blocked, Connected, ConnectionId, Disconnected, Input, Message, Note, Writable
from dynacache.runtime.connections import Connection, advance_hello, overdue
from dynacache.runtime.entropy import monotonic_now
from dynacache.runtime.poller import READABLE, WRITABLE, Poller
from dynacache.types import NodeId, Role
from dynacache.wire.codec import frame_of_messages
from dynacache.wire.handshake import Acceptor, Initiator, refusal_of

__all__ = ["PEER_LIMIT_FACTOR", "PEER_RESERVE", "Transport"]

PEER_LIMIT_FACTOR: Final = 4
PEER_RESERVE: Final = 4096
"""Connections accepted beyond the limit of clients: peers, and hellos in progress."""


@attrs.define(eq=False)
class Transport:
    """Every TCP connection of one node, and the selector that they stand in."""

    network: NetworkConfig
    acceptor: Callable[[], Acceptor]
    """Makes the hello of an accepted connection, with a fresh nonce."""
    note: Callable[[Note], None]

    poller: Poller = attrs.field(factory=Poller, init=False)
    by_descriptor: dict[int, Connection] = attrs.field(factory=dict, init=False)
    by_number: dict[ConnectionId, Connection] = attrs.field(factory=dict, init=False)
    inputs: list[Input] = attrs.field(factory=list, init=False)
    """What the core has not been told yet."""
    clients: int = attrs.field(default=0, init=False)
    accepted: int = attrs.field(default=0, init=False)
    refused: int = attrs.field(default=0, init=False)
    sent_bytes: int = attrs.field(default=0, init=False)
    tight: bool = attrs.field(default=False, init=False)
    """Output waiting for clients has passed its share of memory: no client is read that has any."""
    _last_number: int = attrs.field(default=0, init=False)

    def adopt(
        self,
        socket: Socket,
        hello: Acceptor | Initiator,
        expected_node_id: NodeId | None = None,
        ended: Callable[[DynacacheError | None], None] | None = None,
    ) -> Connection:
        """Take over a connected, non-blocking socket; an initiator's hello is sent at once."""
        self._last_number += 1
        extra = {} if ended is None else {"ended": ended}
        connection = Connection(
            self._last_number, socket, socket.fileno(), hello, monotonic_now(), expected_node_id, **extra
        )
        self.by_descriptor[connection.descriptor] = connection
        self.by_number[connection.number] = connection
        self.poller.register(connection.descriptor)
        if isinstance(hello, Initiator):
            self.send(connection, frame_of_messages([hello.first()]))
        return connection

    def accept(self, socket: Socket) -> None:
        """Take an accepted connection, or cut it where there are too many."""
        self.accepted += 1
        if len(self.by_number) >= self.network.client_limit + PEER_RESERVE:
            self.refused += 1
            socket.close()
        else:
            self.adopt(socket, self.acceptor())

    def greet(self, connection: Connection, data: bytes) -> list[Message]:
        """Take bytes of a connection that is not open: its hello goes on, or what comes after a close is dropped.

        Return the messages behind the hello. Raises an error of the tree when the hello fails.
        """
        if connection.closing_s is not None:
            return []
        replies = advance_hello(connection, data)
        hello = connection.hello
        assert hello is not None
        if replies:
            self.send(connection, frame_of_messages(replies))
        if not hello.done or connection.number not in self.by_number:
            return []
        if hello.role is Role.CLIENT and not connection.outbound:
            if self.clients >= self.network.client_limit:
                raise Overloaded(f"{self.clients} clients are connected, at most {self.network.client_limit}")
            self.clients += 1
        connection.admit(self.network)
        self.inputs.append(
            Connected(connection.number, connection.role, connection.node_id, outbound=connection.outbound)
        )
        return connection.reader.feed(b"")

    def send(self, connection: Connection, data: bytes) -> None:
        """Write whole frames, at once as far as the socket takes them; the rest waits its turn."""
        size = len(data)
        rest: bytes | memoryview = data
        if connection.closing_s is not None:
            return
        if not connection.output_bytes:
            try:
                sent = connection.socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.lose(connection)
                return
            self.sent_bytes += sent
            if sent == size:
                return
            if sent:
                rest = memoryview(data)[sent:]
        connection.output.append(rest)
        connection.output_bytes += len(rest)
        self._watch(connection)

    def flush(self, connection: Connection) -> None:
        """Go on writing to a socket that has room again."""
        output = connection.output
        while output:
            piece = output[0]
            try:
                sent = connection.socket.send(piece)
            except BlockingIOError:
                break
            except OSError:
                self.lose(connection)
                return
            self.sent_bytes += sent
            connection.output_bytes -= sent
            if sent < len(piece):
                output[0] = memoryview(piece)[sent:]
                break
            output.popleft()
        self._watch(connection)
        if connection.closing_s is not None and not output:
            self._end_output(connection)

    def _watch(self, connection: Connection) -> None:
        """Draw the consequences of how much output is waiting."""
        waiting_bytes = connection.output_bytes
        is_link = connection.outbound
        high_water_bytes = 0 if self.tight and connection.is_client else connection.high_water_bytes
        if not connection.blocked and waiting_bytes > high_water_bytes:
            connection.blocked = True
            if connection.node_id is not None and connection.closing_s is None:
                self.inputs.append(Blocked(connection.number))
        elif connection.blocked and waiting_bytes <= high_water_bytes // 2:
            connection.blocked = False
            if connection.node_id is not None and connection.closing_s is None:
                self.inputs.append(Writable(connection.number))
        if is_link and waiting_bytes > PEER_LIMIT_FACTOR * connection.high_water_bytes:
            self.lose(connection)
            return
        mask = (WRITABLE if waiting_bytes else 0) | (READABLE if is_link or not connection.blocked else 0)
        if mask != connection.mask:
            connection.mask = mask
            self.poller.modify(connection.descriptor, mask)

    def limit_output(self, limit_bytes: int) -> int:
        """Return how many bytes wait to be sent to anybody. Above ``limit_bytes`` clients with output waiting are not
        read any more, until half of that is left."""
        total_bytes = sum(each.output_bytes for each in self.by_number.values())
        tight = total_bytes > limit_bytes // (2 if self.tight else 1)
        if tight != self.tight:
            self.tight = tight
            for connection in list(self.by_number.values()):
                if connection.output_bytes or connection.blocked:
                    self._watch(connection)
        return total_bytes

    def refuse(self, connection: Connection, error: DynacacheError) -> None:
        """Tell the other end why, then close."""
        self.refused += 1
        self.note(Note("connection.refused", {"error": type(error).__name__, "text": str(error)}, "warning"))
        if isinstance(connection.hello, Initiator):
            connection.error = error
            self.lose(connection)
            return
        self.send(connection, frame_of_messages([refusal_of(error)]))
        self.close(connection, error)

    def close(self, connection: Connection, error: DynacacheError | None = None) -> None:
        """Close once what was sent has left; bytes that still come are thrown away."""
        if connection.closing_s is None and connection.number in self.by_number:
            connection.closing_s = monotonic_now()
            connection.open = False
            connection.error = connection.error or error
            self._report_end(connection)
            if not connection.output_bytes:
                self._end_output(connection)

    def _end_output(self, connection: Connection) -> None:
        try:
            connection.socket.shutdown(SHUT_WR)
        except OSError:
            self.lose(connection)

    def _report_end(self, connection: Connection) -> None:
        """Tell the core, if it had been told of the connection, and whoever opened it."""
        if connection.hello is None:
            self.inputs.append(Disconnected(connection.number, connection.node_id))
            if connection.is_client:
                self.clients -= 1
        connection.ended(connection.error)

    def lose(self, connection: Connection) -> None:
        """Forget a connection and give its socket back at once."""
        if self.by_number.pop(connection.number, None) is None:
            return
        del self.by_descriptor[connection.descriptor]
        self.poller.unregister(connection.descriptor)
        connection.socket.close()
        connection.output.clear()
        connection.output_bytes = 0
        if connection.closing_s is None:
            self._report_end(connection)

    def sweep(self, now_s: float) -> None:
        """Look at every connection's deadlines; the only timer that connections have."""
        for connection in list(self.by_number.values()):
            reason = overdue(connection, now_s, self.network)
            if reason is None:
                continue
            if connection.closing_s is not None:
                self.lose(connection)
            else:
                self.refuse(connection, ProtocolError(reason))

    def close_everything(self) -> None:
        """Cut every connection and give the selector back."""
        for connection in list(self.by_number.values()):
            self.lose(connection)
        self.poller.close()
