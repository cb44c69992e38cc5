"""Open the generator's connections and say hello on them, one after the other, before the clock runs.

What: `open_connections` spreads a job's connections over its targets. With a node it goes through the hello and waits
for the topology that follows it, so that from then on only answers to requests arrive; Redis needs neither.

Invariant: a connection handed out is ready and non-blocking, without Nagle's delay; on any error all are closed.

Why blocking until then: fifty connections take milliseconds, and a hello that fails should say so at once.
"""

import contextlib
import os
import socket

import attrs

from dynacache.cli.bench.job import Job
from dynacache.types import Role
from dynacache.wire.codec import Message, frame_of_messages
from dynacache.wire.framing import FrameReader
from dynacache.wire.handshake import NONCE_BYTES, Initiator
from dynacache.wire.messages import TOPOLOGY

__all__ = ["Connection", "greeted", "open_connections"]

_RECEIVE_BYTES = 65_536


@attrs.frozen(eq=False)
class Connection:
    """One open connection and the position of its server among the targets."""

    socket: socket.socket
    target: int


def open_connections(job: Job, stack: contextlib.ExitStack) -> list[Connection]:
    """Connect as the job says; the stack closes everything.

    Raises OSError where a server cannot be reached, or the error of the tree that its hello ended in.
    """
    opened = []
    for position in range(job.connections):
        target = position % len(job.targets)
        if job.dialect == "dynacache":
            connected, _ = greeted(job.targets[target], job.secret, job.timeout_s, stack)
        else:
            connected = _connect(job.targets[target], job.timeout_s, stack)
        connected.setblocking(False)
        opened.append(Connection(connected, target))
    return opened


def greeted(
    address: tuple[str, int], secret: str, timeout_s: float, stack: contextlib.ExitStack
) -> tuple[socket.socket, Message]:
    """Connect to a node and go through the hello; return the socket and the TOPOLOGY message that followed."""
    connected = _connect(address, timeout_s, stack)
    hello = Initiator(Role.CLIENT, b"", "", secret or None, os.urandom(NONCE_BYTES))
    connected.sendall(frame_of_messages([hello.first()]))
    reader = FrameReader()
    while True:
        data = connected.recv(_RECEIVE_BYTES)
        if not data:
            raise ConnectionError("the node closed the connection during the hello")
        for message in reader.feed(data):
            if hello.done:
                if message[0] == TOPOLOGY:
                    return connected, message
                continue
            answer = hello.receive(message)
            if answer:
                connected.sendall(frame_of_messages(answer))


def _connect(address: tuple[str, int], timeout_s: float, stack: contextlib.ExitStack) -> socket.socket:
    connected = socket.create_connection(address, timeout=timeout_s)
    stack.callback(connected.close)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected
