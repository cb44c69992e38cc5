"""A machine's outbound side: links to peers, dialled until they stand, and the questions of a birth.

What: ``Peering.connect`` keeps two links to a node (requests and bulk), dialled again with growing waits when they
break; ``ask`` carries one question of the birth machine over a short stream of its own.

Invariant: a link has at most one stream at any moment; what was asked of an address ends once, in an answer or in
nothing. After ``end`` nothing more is dialled.

Why like runtime/peer_links.py and runtime/birth.py: the waits and limits are part of what a cluster lives with.
"""

from collections.abc import Callable
from typing import Any

import attrs

from dynacache.events import Disconnected
from dynacache.membership.birth import ASK_TIMEOUT_S
from dynacache.types import NodeId, Role
from dynacache.wire.codec import frame_of_messages
from dynacache.wire.handshake import Initiator
from dynacache.wire.messages import BIRTH

from ..draws import Draws
from .connections import Connection, Connections
from .heap import Heap
from .network import Address, End, Host, Network

__all__ = ["Peering"]

_BACKOFF_FIRST_S = 0.1
_BACKOFF_LIMIT_S = 2.0
_ROLES = (Role.PEER, Role.BULK)


@attrs.define(eq=False, repr=False)
class _Link:
    node_id: NodeId
    address: Address
    role: Role
    failures: int = 0
    dropped: bool = False
    connection: Connection | None = None


@attrs.define(eq=False, repr=False)
class _Question:
    address: Address
    message: dict[str, Any]
    done: bool = False
    connection: Connection | None = None


@attrs.define(eq=False, repr=False)
class Peering:
    """The outbound streams of one process."""

    host: Host
    heap: Heap
    network: Network
    connections: Connections
    initiator: Callable[[Role], Initiator]
    answered: Callable[[Address, object | None], None]
    """Takes the reply to a question, or None when there was none."""
    draws: Draws
    ended: bool = False
    _links: dict[NodeId, list[_Link]] = attrs.field(factory=dict)
    _questions: dict[int, _Question] = attrs.field(factory=dict)

    def connect(self, node_id: NodeId, address: Address) -> None:
        """Keep links to a node; a new address replaces the old one."""
        links = self._links.get(node_id)
        if links is not None:
            if links[0].address == address:
                return
            self.disconnect(node_id)
        links = self._links[node_id] = [_Link(node_id, address, role) for role in _ROLES]
        for link in links:
            self._dial(link)

    def disconnect(self, node_id: NodeId) -> None:
        """Drop the links to a node and dial it no more."""
        for link in self._links.pop(node_id, ()):
            link.dropped = True
            if link.connection is not None:
                self.connections.close(link.connection)

    def end(self) -> None:
        """The process is over."""
        self.ended = True

    # Links

    def _dial(self, link: _Link) -> None:
        if self.ended or link.dropped:
            return
        label = link.role.name
        self.network.dial(self.host, link.address, label, lambda end: self._established(link, end))

    def _established(self, link: _Link, end: End | None) -> None:
        if self.ended or link.dropped:
            if end is not None:
                self.network.close(end)
            return
        if end is None:
            self._failed(link)
            return
        hello = self.initiator(link.role)
        link.connection = self.connections.adopt(end, hello, link.node_id, lambda: self._broke(link))

    def _broke(self, link: _Link) -> None:
        connection, link.connection = link.connection, None
        if self.ended or link.dropped or connection is None:
            return
        if connection.hello is None:
            link.failures = 0
            self._dial_later(link)
        else:
            self._failed(link)

    def _failed(self, link: _Link) -> None:
        link.failures += 1
        if link.role is Role.PEER:
            self.connections.inputs.append(Disconnected(0, link.node_id))
            self.connections.closed()
        self._dial_later(link)

    def _dial_later(self, link: _Link) -> None:
        full_s = min(_BACKOFF_LIMIT_S, _BACKOFF_FIRST_S * (1 << min(link.failures, 10)))
        stream = self.draws.stream("backoff", self.host.name, link.node_id, link.role.name, int(self.heap.now_s * 1000))
        self.heap.after(full_s * stream.uniform(0.5, 1.0), self._dial, link)

    # Questions

    def ask(self, address: Address, message: dict[str, Any]) -> None:
        """Carry one question of the birth machine."""
        question = _Question(address, message)
        self.heap.after(ASK_TIMEOUT_S * 0.9, self._finish, question, None)
        self.network.dial(self.host, address, "BIRTH", lambda end: self._asking(question, end))

    def _asking(self, question: _Question, end: End | None) -> None:
        if self.ended or question.done or end is None:
            if end is not None:
                self.network.close(end)
            self._finish(question, None)
            return
        connection = self.connections.adopt(end, self.initiator(Role.PEER), None, lambda: self._finish(question, None))
        connection.name = "birth"
        question.connection = connection
        self._questions[connection.number] = question

    def birth_progress(self, connection: Connection, messages: list[Any], greeted: bool) -> None:
        """Go on with a question: send it after the hello, take the answer."""
        question = self._questions.get(connection.number)
        if question is None:
            return
        if greeted:
            self.network.send(connection.end, frame_of_messages([[BIRTH, question.message]]))
        for message in messages:
            if message[0] == BIRTH:
                self._finish(question, message[1] if len(message) > 1 else None)
                return

    def _finish(self, question: _Question, reply: object | None) -> None:
        if question.done:
            return
        question.done = True
        connection, question.connection = question.connection, None
        if connection is not None:
            del self._questions[connection.number]
            self.connections.close(connection)
        if not self.ended:
            self.answered(question.address, reply)
