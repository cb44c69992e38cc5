"""A node in a thread of the test's own process: real loopback sockets, the real wire, a dict for a cluster.

It serves any number of connections, remembers what it was asked, and misbehaves on demand: ``behaviour`` is asked for
each request and may answer with one of the words below. Several fake nodes share a `FakeCluster`'s data and member
table, so that a client may find any key anywhere.
"""

import contextlib
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import attrs
import msgpack

from dynacache.errors import DynacacheError
from dynacache.placement.table import MemberEntry, MemberState, MemberTable
from dynacache.wire.codec import frame_of_messages
from dynacache.wire.framing import FrameReader
from dynacache.wire.handshake import Acceptor, refusal_of
from dynacache.wire.messages import (
    COMMAND,
    DELETE,
    DONE,
    ERROR,
    EVENTS,
    FLAG_METADATA,
    FLAG_NO_PAYLOAD,
    FLAG_PREVIOUS,
    FLAG_RECEIPT,
    GET,
    HAPPENED,
    INCREMENT,
    MISS,
    NUMBER,
    PING,
    PONG,
    REPORT,
    REPORTED,
    SET,
    SUBSCRIBE,
    SUBSCRIBED,
    TOPOLOGY,
    TOUCH,
    VALUE,
)

CLUSTER_ID = b"fake-cluster-id!"

ANSWER = "answer"
"""Serve the request."""
HANG_UP = "hang up"
"""Close the connection without serving it."""
SERVE_AND_HANG_UP = "serve and hang up"
"""Apply the request, then close the connection without answering."""
SILENCE = "silence"
"""Say nothing."""

Behaviour = Callable[["FakeNode", list[Any]], str | list[Any]]
"""Called with each request; returns a word above, or the fields of an ERROR reply after its id."""


def answer_all(_: "FakeNode", __: list[Any]) -> str | list[Any]:
    """Serve everything."""
    return ANSWER


@attrs.define(eq=False)
class FakeCluster:
    """Several fake nodes over one dict. Use it as a context manager."""

    count: int = 1
    secret: str | None = None
    data: dict[bytes, tuple[int, bytes, int]] = attrs.field(factory=dict)
    """Key to (payload flags, payload, version)."""
    states: dict[str, int] = attrs.field(factory=dict)
    behaviour: Behaviour = answer_all
    nodes: list["FakeNode"] = attrs.field(factory=list)
    lock: threading.Lock = attrs.field(factory=threading.Lock)
    push_topology: bool = True
    cluster_id: bytes = CLUSTER_ID
    push: list[Any] | None = None
    """A message to send before the next replies."""

    def __enter__(self) -> "FakeCluster":
        for index in range(self.count):
            self.nodes.append(FakeNode(self, f"n{index}"))
        for node in self.nodes:
            node.start()
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.stop()

    @property
    def addresses(self) -> list[str]:
        """Where the nodes listen."""
        return [node.address for node in self.nodes]

    @property
    def requests(self) -> list[list[Any]]:
        """Every request that any node received."""
        return [request for node in self.nodes for request in node.requests]

    def table(self) -> MemberTable:
        """The member table of all nodes."""
        entries = [
            MemberEntry(node.node_id, 1, 1, MemberState.NORMAL, "", 1, "127.0.0.1", node.port) for node in self.nodes
        ]
        return MemberTable.of(self.cluster_id, 64, 3, entries)

    def node(self, node_id: str) -> "FakeNode":
        """The node of this name."""
        return next(node for node in self.nodes if node.node_id == node_id)


@attrs.define(eq=False)
class FakeNode:
    """One listening socket and its connections, served by one thread."""

    cluster: FakeCluster
    node_id: str
    requests: list[list[Any]] = attrs.field(factory=list)
    accepted: int = 0
    """Connections taken so far."""
    told: list[bytes] = attrs.field(factory=list)
    """Keys of the events that it has for whoever subscribes."""
    frames: int = 0
    """Frames received so far, those of hellos included."""
    port: int = 0
    _listener: socket.socket | None = None
    _selector: selectors.BaseSelector | None = None
    _thread: threading.Thread | None = None
    _stopping: bool = False
    _waker: socket.socket | None = None

    def __attrs_post_init__(self) -> None:
        """Take a port at once, so that the member table can name it."""
        self._bind()

    def _bind(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve until `stop`."""
        if self._listener is None:
            self._bind()
        self._stopping = False
        self._waker, wakes = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, args=(wakes,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close everything, as a killed process would."""
        if self._thread is not None and self._waker is not None:
            self._stopping = True
            with contextlib.suppress(BrokenPipeError):  # it may have seen the flag and ended already
                self._waker.send(b"x")
            self._thread.join()
            self._waker.close()
            self._thread = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _serve(self, wakes: socket.socket) -> None:
        assert self._listener is not None
        selector = selectors.DefaultSelector()
        selector.register(self._listener, selectors.EVENT_READ, None)
        selector.register(wakes, selectors.EVENT_READ, None)
        connections: list[_Connection] = []
        while not self._stopping:
            for key, _ in selector.select():
                if key.fileobj is self._listener:
                    accepted, _ = self._listener.accept()
                    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.accepted += 1
                    connection = _Connection(self, accepted)
                    connections.append(connection)
                    selector.register(accepted, selectors.EVENT_READ, connection)
                elif key.data is not None and not key.data.take():
                    selector.unregister(key.fileobj)
                    key.data.socket.close()
        for connection in connections:
            connection.socket.close()
        selector.close()
        wakes.close()
        self._listener.close()
        self._listener = None


@attrs.define(eq=False)
class _Connection:
    """One client at a fake node."""

    node: FakeNode
    socket: socket.socket
    reader: FrameReader = attrs.field(factory=FrameReader)
    acceptor: Acceptor = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Prepare the hello."""
        self.acceptor = Acceptor(
            self.node.cluster.cluster_id, self.node.node_id, self.node.cluster.secret, os.urandom(32)
        )

    def take(self) -> bool:
        """Serve what arrived; False when the connection is over."""
        try:
            data = self.socket.recv(1 << 20)
            if not data:
                return False
            replies: list[Any] = []
            frames = self.reader.frames
            messages = self.reader.feed(data)
            self.node.frames += self.reader.frames - frames
            if self.acceptor.done and self.node.cluster.push is not None:
                replies.append(self.node.cluster.push)
                self.node.cluster.push = None
            for message in messages:
                verdict = self._serve(list(message)) if self.acceptor.done else self._greet(list(message))
                if verdict is None:
                    self._send(replies)
                    return False
                replies += verdict
            self._send(replies)
        except OSError:
            return False
        return True

    def _greet(self, message: list[Any]) -> list[Any]:
        try:
            replies: list[Any] = list(self.acceptor.receive(message))
            cluster = self.node.cluster
            if not replies and cluster.push_topology:
                replies.append([TOPOLOGY, 0, cluster.table().to_wire(), cluster.states])
            return replies
        except DynacacheError as error:
            self._send([refusal_of(error)])
            raise OSError("refused") from error

    def _send(self, replies: list[Any]) -> None:
        if replies:
            self.socket.setblocking(True)
            self.socket.sendall(frame_of_messages(replies))

    def _serve(self, message: list[Any]) -> list[Any] | None:
        self.node.requests.append(message)
        verdict = self.node.cluster.behaviour(self.node, message)
        if isinstance(verdict, list):
            return [[ERROR, message[1], *verdict]]
        if verdict == HANG_UP:
            return None
        if verdict == SILENCE:
            return []
        with self.node.cluster.lock:
            reply = _SERVICES[message[0]](self.node, *_padded(message))
        return None if verdict == SERVE_AND_HANG_UP else [reply]


_LENGTHS = {GET: 7, SET: 12, DELETE: 9, TOUCH: 6, INCREMENT: 8, REPORT: 4, COMMAND: 4, PING: 2, SUBSCRIBE: 4, EVENTS: 5}


def _padded(message: list[Any]) -> list[Any]:
    return [*message[1:], *[0] * (_LENGTHS[message[0]] - len(message))]


def _metadata(node: FakeNode, flags: int, version: int, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    metadata: dict[str, Any] = dict(extra or {})
    if flags & FLAG_METADATA:
        metadata |= {"c": b"v%d" % version, "t": 2_000, "b": 1_000, "e": 0}
    if flags & FLAG_RECEIPT:
        nodes = {"asked": ["n0", "n1"], "answered": [node.node_id], "stood_in": []}
        metadata["r"] = {**nodes, "level": 2, "coordinator": node.node_id, "unrepaired": False, "degraded": True}
    return metadata


def _get(node: FakeNode, rid: int, key: bytes, _: int, __: int, flags: int, ___: object) -> list[Any]:
    entry = node.cluster.data.get(key)
    if entry is None:
        return [MISS, rid, 0, _metadata(node, flags, 0)]
    payload_flags, payload, version = entry
    if flags & FLAG_NO_PAYLOAD:
        payload = b""
    return [VALUE, rid, payload_flags, payload, _metadata(node, flags, version)]


def _holds(node: FakeNode, key: bytes, condition: int, context: object) -> bool:
    entry = node.cluster.data.get(key)
    if condition == 1:
        return entry is None
    if condition == 2:
        return entry is not None
    return condition == 0 or (entry is not None and b"v%d" % entry[2] == context)


def _write(
    node: FakeNode, rid: int, key: bytes, written: tuple[int, bytes] | None, flags: int, condition: int, context: object
) -> list[Any]:
    data = node.cluster.data
    applied = _holds(node, key, condition, context)
    before = data.get(key)
    version = (before[2] if before else 0) + 1
    if applied and written is not None:
        data[key] = (*written, version)
    elif applied:
        data.pop(key, None)
    extra = {"p": list(before[:2]) if before else None} if flags & FLAG_PREVIOUS else None
    return [DONE, rid, applied, _metadata(node, flags, version if applied else version - 1, extra)]


def _set(node: FakeNode, rid: int, key: bytes, payload_flags: int, payload: bytes, *rest: Any) -> list[Any]:
    _, _, _, flags, condition, context, _ = rest
    return _write(node, rid, key, (payload_flags, payload), flags, condition, context)


def _delete(node: FakeNode, rid: int, key: bytes, _: int, __: int, *rest: Any) -> list[Any]:
    flags, condition, context, _operation_id = rest
    existed = key in node.cluster.data
    reply = _write(node, rid, key, None, flags, condition, context)
    reply[2] = reply[2] and existed
    return reply


def _subscribe(node: FakeNode, rid: int, *_: Any) -> list[Any]:
    return [SUBSCRIBED, rid, 5]


def _events(node: FakeNode, rid: int, _: int, taken: int, __: int) -> list[Any]:
    """What was not taken yet; nothing at all after a moment, where a node would wait for long."""
    if taken == len(node.told):
        time.sleep(0.01)
    laid: list[Any] = []
    for key in node.told[taken:]:
        laid += [1, key, 1_000]
    return [HAPPENED, rid, len(node.told), 0, laid]


def _touch(node: FakeNode, rid: int, key: bytes, *_: Any) -> list[Any]:
    return [DONE, rid, key in node.cluster.data]


def _increment(node: FakeNode, rid: int, key: bytes, delta: int, *_: Any) -> list[Any]:
    entry = node.cluster.data.get(key)
    number = (msgpack.unpackb(entry[1]) if entry else 0) + delta
    node.cluster.data[key] = (0, msgpack.packb(number), (entry[2] if entry else 0) + 1)
    return [NUMBER, rid, number]


def _report(node: FakeNode, rid: int, topic: str, argument: object) -> list[Any]:
    return [REPORTED, rid, {"topic": topic, "argument": argument, "node": node.node_id}]


_SERVICES: dict[int, Callable[..., list[Any]]] = {
    GET: _get,
    SET: _set,
    DELETE: _delete,
    TOUCH: _touch,
    INCREMENT: _increment,
    REPORT: _report,
    COMMAND: _report,
    PING: lambda _, rid: [PONG, rid],
    SUBSCRIBE: _subscribe,
    EVENTS: _events,
}
