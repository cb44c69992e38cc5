"""Where a node listens: TCP and UDP on the same address, bound before anything else is started.

What: `bind` opens both sockets and fails with one clear sentence; `Listener` accepts what is waiting, a bounded
number a turn.

Invariant: both sockets have the same port, also when it was chosen by the kernel (port 0). When descriptors run out the
listener pauses until the next sweep instead of spinning on a connection that it cannot accept.

Why SO_REUSEADDR: a restarted node must not wait for the old connections' TIME_WAIT; it does not let two living
listeners share a port. UDP has no TIME_WAIT and there the option would let them, so it is not set.
"""

import errno
import socket
from socket import socket as Socket
from typing import Final

import attrs

from dynacache.errors import AddressInUse
from dynacache.runtime.gossip import GossipSocket

__all__ = [
    "ACCEPT_LIMIT",
    "BACKLOG",
    "FREE_PORT_TRIES",
    "GOSSIP_BUFFER_BYTES",
    "KEEPALIVE_COUNT",
    "KEEPALIVE_IDLE_S",
    "KEEPALIVE_INTERVAL_S",
    "UNACKNOWLEDGED_LIMIT_MS",
    "Listener",
    "bind",
    "prepare_stream",
]

ACCEPT_LIMIT: Final = 64
"""Connections accepted in one turn."""
BACKLOG: Final = 1024
FREE_PORT_TRIES: Final = 20
GOSSIP_BUFFER_BYTES: Final = 1024 * 1024
KEEPALIVE_IDLE_S: Final = 15
KEEPALIVE_INTERVAL_S: Final = 5
KEEPALIVE_COUNT: Final = 3
UNACKNOWLEDGED_LIMIT_MS: Final = 30_000
"""Milliseconds after which the system ends a connection whose other end takes nothing more in."""
_OUT_OF_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def prepare_stream(stream: Socket, unacknowledged_limit_ms: int = UNACKNOWLEDGED_LIMIT_MS) -> None:
    """Set what every data socket needs: no blocking, no delay of small frames, notice of a vanished other end."""
    stream.setblocking(False)
    if stream.family == socket.AF_UNIX:
        return
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEPALIVE_COUNT),
        ("TCP_USER_TIMEOUT", unacknowledged_limit_ms),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            stream.setsockopt(socket.IPPROTO_TCP, option, value)


@attrs.define(eq=False)
class Listener:
    """A listening, non-blocking TCP socket."""

    socket: Socket
    descriptor: int = attrs.field(init=False)
    paused: bool = attrs.field(default=False, init=False)
    """Descriptors ran out; do not watch the socket until the next sweep."""

    def __attrs_post_init__(self) -> None:
        """Remember the descriptor, which outlives a close."""
        self.socket.setblocking(False)
        self.descriptor = self.socket.fileno()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are really bound."""
        host, port = self.socket.getsockname()[:2]
        return str(host), int(port)

    def accept(self) -> list[Socket]:
        """Return the connections that are waiting, prepared for use."""
        accepted: list[Socket] = []
        for _ in range(ACCEPT_LIMIT):
            try:
                stream, _ = self.socket.accept()
                prepare_stream(stream)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _OUT_OF_DESCRIPTORS:
                    self.paused = True
                    break
                continue
            accepted.append(stream)
        return accepted

    def close(self) -> None:
        """Stop listening."""
        self.socket.close()


def bind(host: str, port: int) -> tuple[Listener, GossipSocket]:
    """Listen on TCP and UDP at ``host:port`` (0: any free port); raises AddressInUse."""
    tries = FREE_PORT_TRIES if port == 0 else 1
    while True:
        tries -= 1
        try:
            return _bind_once(host, port)
        except (OSError, UnicodeError) as error:
            if tries and isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
                continue
            raise AddressInUse(f"cannot listen on {host}:{port}: {_reason(error)}") from error


def _bind_once(host: str, port: int) -> tuple[Listener, GossipSocket]:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    stream = Socket(family, socket.SOCK_STREAM)
    datagrams = Socket(family, socket.SOCK_DGRAM)
    try:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stream.bind(address)
        stream.listen(BACKLOG)
        datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, GOSSIP_BUFFER_BYTES)
        datagrams.bind((address[0], stream.getsockname()[1], *address[2:]))
    except OSError:
        stream.close()
        datagrams.close()
        raise
    return Listener(stream), GossipSocket(datagrams)


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, OSError):
        if error.errno == errno.EADDRINUSE:
            return "another process is using that address"
        if error.errno == errno.EADDRNOTAVAIL:
            return "that is not an address of this machine"
        if error.strerror:
            return error.strerror
    return str(error)
