"""One connection of the synchronous client, and how one thread drives several of them at once.

What: a `BlockingLink` belongs to one thread at a time. `open` connects and says the hello, `exchange` sends what was
submitted on a set of links and reads until every call on them has ended.

Invariant: after `exchange` every call submitted has a reply or an error. A link is fit for another use only if nothing
is outstanding on it (`reusable`): one whose call ran into its deadline, or that was left by an exception, is closed, so
an answer can never be taken for that of a later request.

Why: sockets never block; one poll waits for all links of a pipeline in both directions, so that a node which answers
while it is still being written to cannot lock up with the client.
"""

import math
import os
import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs

from dynacache.client.protocol import ClientProtocol
from dynacache.client.routing import Endpoint
from dynacache.errors import ConnectionLost, DynacacheError, ProtocolError, TimedOut, UnavailableError
from dynacache.runtime.clients.closing import close_now
from dynacache.types import Role
from dynacache.wire.handshake import NONCE_BYTES, Initiator

__all__ = ["BlockingLink", "exchange"]

_RECEIVE_BYTES: Final = 256 * 1024
_WAIT_LIMIT_MS: Final = 60_000


@attrs.define(eq=False)
class BlockingLink:
    """A connection to one endpoint."""

    endpoint: Endpoint
    on_progress: Callable[["BlockingLink"], None]
    """Called when the hello is done and whenever a topology came."""
    protocol: ClientProtocol
    used_s: float = 0.0
    """When it was last given back (monotonic seconds)."""
    failure: DynacacheError | None = None
    """Why it ended; None while it is open."""
    _socket: socket.socket | None = None
    _unanswered: bool = False
    _poller: Any = None
    _backlog: bytes | memoryview = b""
    _writing: bool = False

    @classmethod
    def open(
        cls,
        endpoint: Endpoint,
        cluster_id: bytes,
        secret: str | None,
        deadline_s: float,
        on_progress: Callable[["BlockingLink"], None],
    ) -> "BlockingLink":
        """Connect and finish the hello by the deadline (monotonic seconds).

        Raises UnavailableError, or what the node refused the hello with.
        """
        initiator = Initiator(Role.CLIENT, cluster_id, "", secret, os.urandom(NONCE_BYTES))
        link = cls(endpoint, on_progress, ClientProtocol(initiator))
        try:
            left_s = max(deadline_s - time.monotonic(), 0.001)
            link._take_socket(socket.create_connection(endpoint.address, left_s))
            link.send()
            while not link.protocol.ready:
                link._wait_for_hello(deadline_s)
        except OSError as error:
            link.end(UnavailableError(f"{endpoint}: {error}"))
        except DynacacheError as error:
            link.end(error)
        except BaseException:
            link.end(UnavailableError(f"{endpoint}: interrupted"))
            raise
        if link.failure is not None:
            raise link.failure
        on_progress(link)
        return link

    @property
    def reusable(self) -> bool:
        """Whether it is open and nothing is outstanding on it."""
        return self.failure is None and not self.protocol.in_flight and not self._backlog

    def fileno(self) -> int:
        """The descriptor of its socket."""
        assert self._socket is not None
        return self._socket.fileno()

    def send(self) -> None:
        """Send what is queued as far as the socket takes it now."""
        assert self._socket is not None
        while True:
            data = self._backlog or self.protocol.data_to_send(time.monotonic())
            if not data:
                break
            try:
                sent = self._socket.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            if sent < len(data):
                self._backlog = memoryview(data)[sent:]
                break
            self._backlog = b""
        if self._writing is not bool(self._backlog):
            self._writing = bool(self._backlog)
            self._poller.modify(self._socket, self.interest)

    @property
    def interest(self) -> int:
        """What to poll for."""
        return select.POLLIN | (select.POLLOUT if self._backlog else 0)

    def wait(self, timeout_ms: int) -> list[tuple[int, int]]:
        """Poll this link alone."""
        ready: list[tuple[int, int]] = self._poller.poll(timeout_ms)
        return ready

    def receive(self) -> None:
        """Take what has arrived and give the calls their replies.

        Raises OSError, ConnectionLost at the end of the stream, and errors of the protocol.
        """
        assert self._socket is not None
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            raise self.protocol.refusal or ConnectionLost(f"{self.endpoint} closed the connection")
        answered = self.protocol.receive(data, time.monotonic())
        if answered and self.endpoint.failures:
            self.endpoint.answered()
        for call, reply in answered:
            call.reply = reply
        if self.protocol.topology is not None:
            self.on_progress(self)
        if self.protocol.refusal is not None:
            raise self.protocol.refusal

    def push(self) -> None:
        """Send what is queued as far as the socket takes it; whatever breaks the connection ends it and its calls."""
        _guarded(self, self.send)

    def take(self) -> None:
        """Take what has arrived; whatever breaks the connection ends it and its calls."""
        _guarded(self, self.receive)

    def expire(self, now_s: float) -> None:
        """End the calls whose deadline has passed."""
        for call in self.protocol.expire(now_s):
            self._unanswered = True
            call.error = TimedOut(f"no answer from {self.endpoint} within the time given")
            self.failure = self.failure or call.error

    def end(self, failure: DynacacheError) -> None:
        """Close it and tell every call that is still out."""
        self.failure = self.failure or failure
        if self._socket is not None:
            close_now(self._socket, discard=self._unanswered or self.protocol.in_flight > 0)
            self._socket = None
        unknown, unsent = self.protocol.end()
        for call in unknown:
            call.error = ConnectionLost(str(failure))
        for call in unsent:
            definite = type(failure) if isinstance(failure, ProtocolError) else UnavailableError
            call.error = definite(str(failure))

    def _take_socket(self, connected: socket.socket) -> None:
        self._socket = connected
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poller = select.poll()
        self._poller.register(connected, select.POLLIN)

    def _wait_for_hello(self, deadline_s: float) -> None:
        left_ms = math.ceil((deadline_s - time.monotonic()) * 1000)
        if left_ms <= 0 or not self.wait(left_ms):
            raise UnavailableError(f"no answer to the hello from {self.endpoint} in time")
        self.receive()
        self.send()


def exchange(links: Sequence[BlockingLink]) -> None:
    """Send what was submitted and read until every call on the links has ended; never raises for their ends."""
    active = {link.fileno(): link for link in links}
    for link in links:
        _guarded(link, link.send)
    poller = None
    if len(links) > 1:
        poller = select.poll()
    while active := {number: link for number, link in active.items() if link.protocol.in_flight}:
        deadline_s = min(link.protocol.next_deadline() for link in active.values())
        timeout_ms = min(max(math.ceil((deadline_s - time.monotonic()) * 1000), 0), _WAIT_LIMIT_MS)
        for number, event in _poll(poller, active, timeout_ms):
            link = active[number]
            if event & ~select.POLLOUT:
                _guarded(link, link.receive)
            if event & select.POLLOUT and link.failure is None:
                _guarded(link, link.send)
        now_s = time.monotonic()
        if now_s >= deadline_s:
            for link in active.values():
                link.expire(now_s)


def _poll(poller: Any, active: dict[int, BlockingLink], timeout_ms: int) -> list[tuple[int, int]]:
    if poller is None:
        (link,) = active.values()
        return link.wait(timeout_ms)
    for number, link in active.items():
        poller.register(number, link.interest)
    try:
        ready: list[tuple[int, int]] = poller.poll(timeout_ms)
    finally:
        for number in active:
            poller.unregister(number)
    return ready


def _guarded(link: BlockingLink, step: Callable[[], None]) -> None:
    """Take a step; whatever breaks the connection ends the link and its calls."""
    try:
        step()
    except OSError as error:
        link.end(ConnectionLost(f"the connection to {link.endpoint} broke: {error}"))
    except DynacacheError as error:
        link.end(error)
