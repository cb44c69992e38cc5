"""A node in a thread, for the load generator: a real socket, the real hello, and answers from a dictionary.

What: `FakeNode` accepts connections, goes through the hello, pushes a topology, and hands each frame's messages to
`answer`, whose replies go back in one frame. Tests subclass it to answer wrongly, slowly, or not at all.
"""

import contextlib
import socket
import threading
from typing import Any

from dynacache.placement.table import MemberEntry, MemberState, MemberTable
from dynacache.wire.codec import Message, frame_of_messages
from dynacache.wire.framing import FrameReader
from dynacache.wire.handshake import Acceptor
from dynacache.wire.messages import DONE, GET, MISS, PROOF, SET, TOPOLOGY, VALUE

__all__ = ["FakeNode", "table_of"]

CLUSTER_ID = bytes(16)


def table_of(*ports: int) -> MemberTable:
    """A member table with one node on each port of loopback."""
    entries = {
        f"n{port}": MemberEntry(f"n{port}", 1, 1, MemberState.NORMAL, "", 1, "127.0.0.1", port) for port in ports
    }
    return MemberTable(CLUSTER_ID, 64, 3, entries)


class FakeNode:
    """Serves until its ``with`` block ends."""

    def __init__(self, secret: str = "") -> None:
        self.values: dict[bytes, tuple[int, bytes]] = {}
        self.received: list[list[Any]] = []
        self._secret = secret or None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def answer(self, message: list[Any]) -> list[list[Any]]:
        """Replies to one message."""
        if message[0] == SET:
            self.values[message[2]] = (message[3], message[4])
            return [[DONE, message[1], True]]
        assert message[0] == GET
        if message[2] not in self.values:
            return [[MISS, message[1], 0]]
        return [[VALUE, message[1], *self.values[message[2]]]]

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(accepted)
            thread = threading.Thread(target=self._serve, args=(accepted,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, accepted: socket.socket) -> None:
        hello = Acceptor(CLUSTER_ID, "fake", self._secret, bytes(range(32)))
        reader = FrameReader()
        with contextlib.suppress(OSError), accepted:
            while data := accepted.recv(65536):
                replies: list[Message] = []
                for message in reader.feed(data):
                    if not hello.done:
                        replies += hello.receive(message)
                        if message[0] == PROOF:
                            replies.append([TOPOLOGY, 0, table_of(self.port).to_wire(), {}])
                    else:
                        self.received.append(list(message))
                        replies += self.answer(list(message))
                if replies:
                    accepted.sendall(frame_of_messages(replies))

    def __enter__(self) -> "FakeNode":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(5)
