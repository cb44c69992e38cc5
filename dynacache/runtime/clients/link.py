"""One connection of the asynchronous client: a socket around the sans-IO protocol.

What: `Link.run` dials, says the hello, and then reads until the connection ends. `submit` queues a call; `flush` sends
what is queued, at once and without waiting; only when the socket is full a task finishes the job.

Invariant: every call submitted ends exactly once: with a reply, at its deadline, or when the link ends, and then with a
definite error if its request was never handed to the socket, with ConnectionLost otherwise.

Why: calls may be submitted while the connection is being made, so that nobody waits for it twice; sending needs no
task hop because sockets nearly always have room; the reader holds the only task of a healthy link.
"""

import os
import socket
import time
from collections.abc import Callable
from typing import Any, Final

import anyio
import anyio.abc
import attrs

from dynacache.client.calls import Call
from dynacache.client.protocol import ClientProtocol
from dynacache.client.routing import FAILURES_BEFORE_AVOIDING, Endpoint
from dynacache.errors import ConnectionLost, DynacacheError, ProtocolError, TimedOut, UnavailableError
from dynacache.runtime.clients.closing import close_now

__all__ = ["RECEIVE_BYTES", "SILENCE_LIMIT_S", "Link", "dial"]

RECEIVE_BYTES: Final = 256 * 1024
SILENCE_LIMIT_S: Final = 10.0
"""A link that has answered nothing for this long, although calls waited for it, is replaced."""


async def dial(host: str, port: int) -> socket.socket:
    """Return a connected non-blocking socket; raises OSError when no address of the host answers."""
    failure: OSError | None = None
    for family, kind, protocol, _, address in await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.setblocking(False)
            await _connect(connection, address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failure or OSError(f"{host} has no address")


async def _connect(connection: socket.socket, address: tuple[str, int] | tuple[str, int, int, int]) -> None:
    try:
        connection.connect(address)
    except BlockingIOError:
        await anyio.wait_writable(connection)
        code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code)) from None


@attrs.define(eq=False)
class Link:
    """A connection to one endpoint, from dialling to its end; never reused afterwards."""

    endpoint: Endpoint
    protocol: ClientProtocol
    on_progress: Callable[["Link"], None]
    """Called when the hello is done and whenever a topology came."""
    connect_timeout_s: float
    closed: bool = False
    dirty: bool = False
    """Something was queued since the last flush."""
    heard_s: float = 0.0
    """When bytes last arrived (monotonic seconds)."""
    ping: Call[Any] | None = None
    """The last question for a sign of life."""
    failure: DynacacheError | None = None
    _socket: socket.socket | None = None
    _unanswered: bool = False
    _backlog: bytes | memoryview = b""
    _tasks: anyio.abc.TaskGroup | None = None
    _draining: bool = False

    def flush(self) -> None:
        """Send what is queued as far as the socket takes it now."""
        self.dirty = False
        if self._socket is None or self._backlog:
            return
        while self.protocol.has_data:
            data = self.protocol.data_to_send(time.monotonic())
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return  # the reader meets the same error and ends the link
            if sent < len(data):
                self._backlog = memoryview(data)[sent:]
                self._start_draining()
                return

    def expire(self, now_s: float) -> None:
        """End the calls whose deadline has passed, and the link with them if it has been silent for long."""
        expired = self.protocol.expire(now_s)
        self._unanswered = self._unanswered or bool(expired)
        for call in expired:
            _end_call(call, TimedOut(f"no answer from {self.endpoint} within the time given"))
        if expired and self.protocol.ready and now_s - self.protocol.heard_s > SILENCE_LIMIT_S:
            self.close()

    def close(self) -> None:
        """End the link and its calls."""
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()

    async def run(self) -> None:
        """Serve the link until it ends; never raises but for cancellation."""
        failure: DynacacheError = UnavailableError(f"the client was closed before it reached {self.endpoint}")
        try:
            async with anyio.create_task_group() as self._tasks:
                with anyio.move_on_after(self.connect_timeout_s):
                    await self._open()
                if self.protocol.ready:
                    failure = ConnectionLost(f"the client closed its connection to {self.endpoint}")
                    await self._read()
                    failure = ConnectionLost(f"{self.endpoint} closed the connection")
                else:
                    failure = UnavailableError(f"no connection to {self.endpoint} within {self.connect_timeout_s:g} s")
                self._tasks.cancel_scope.cancel()
        except* (DynacacheError, OSError) as group:
            failure = self._failure_of(_first(group))
        finally:
            self._end(failure)

    async def _open(self) -> None:
        """Dial and finish the hello."""
        self._socket = await dial(*self.endpoint.address)
        self.flush()
        while not self.protocol.ready:
            if not await self._read_once():
                raise UnavailableError(f"{self.endpoint} closed the connection during the hello")
        self.endpoint.connections += 1
        self.on_progress(self)
        self.flush()

    async def _read(self) -> None:
        while self.protocol.refusal is None:
            try:
                if not await self._read_once():
                    return
            except OSError as error:
                raise ConnectionLost(f"the connection to {self.endpoint} broke: {error}") from error
        raise self.protocol.refusal

    async def _read_once(self) -> bool:
        """Take what has arrived; False at the end of the stream."""
        assert self._socket is not None
        await anyio.wait_readable(self._socket)
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return True
        if not data:
            return False
        self.heard_s = time.monotonic()
        protocol = self.protocol
        answered = protocol.receive(data, self.heard_s)
        if answered and self.endpoint.failures:
            self.endpoint.answered()
        for call, reply in answered:
            call.reply = reply
            call.waiter.done_one()
        if protocol.has_data:
            self.flush()
        if protocol.topology is not None:
            self.on_progress(self)
        return True

    def _failure_of(self, error: BaseException) -> DynacacheError:
        return error if isinstance(error, DynacacheError) else UnavailableError(f"{self.endpoint}: {error}")

    def _start_draining(self) -> None:
        if not self._draining and self._tasks is not None:
            self._draining = True
            self._tasks.start_soon(self._drain)

    async def _drain(self) -> None:
        """Send the backlog as the socket takes it, then whatever was queued meanwhile."""
        assert self._socket is not None
        try:
            while self._backlog:
                await anyio.wait_writable(self._socket)
                try:
                    sent = self._socket.send(self._backlog)
                except (BlockingIOError, InterruptedError):
                    continue
                except OSError:
                    return
                self._backlog = self._backlog[sent:]
        finally:
            self._draining = False
        self.flush()

    def _end(self, failure: DynacacheError) -> None:
        """Close the socket, tell every call, and hold the failure against the endpoint."""
        self.closed = True
        self.failure = failure
        was_ready = self.protocol.ready
        if was_ready:
            self.endpoint.connections -= 1
        else:
            self.endpoint.failed(time.monotonic(), FAILURES_BEFORE_AVOIDING)
        if self._socket is not None:
            close_now(self._socket, discard=self._unanswered or self.protocol.in_flight > 0)
            self._socket = None
        unknown, unsent = self.protocol.end()
        for call in unknown:
            _end_call(call, ConnectionLost(str(failure)))
        for call in unsent:
            definite = type(failure) if isinstance(failure, ProtocolError) else UnavailableError
            _end_call(call, definite(str(failure)))
        self.on_progress(self)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _end_call(call: Call[Any], error: DynacacheError) -> None:
    call.error = error
    call.waiter.done_one()
