"""Messages from peers, dispatched by table.

What: each kind of ``wire.messages`` that nodes send each other has one handler. Requests of replication are checked
against the member table first; replies find the request they belong to by its id.

Invariant: a sender whose table differs gets ours before it is served, and asks again. Whatever a message holds, the
worst that happens is that its connection is closed, with a note that names the peer and the reason.

Why a table: a kind without an entry is the error, and the set of handlers is the protocol at a glance.
"""

from collections.abc import Callable

import attrs

from dynacache.coordination.gate import Gate
from dynacache.coordination.replica import Replica
from dynacache.coordination.shared import Shared
from dynacache.errors import DynacacheError, NotReady
from dynacache.events import Close, ConnectionId, Message
from dynacache.node.catalogue_sync import CatalogueSync
from dynacache.node.members import Members
from dynacache.node.quarantine import Quarantine
from dynacache.node.upkeep import Upkeep
from dynacache.types import Instant, NodeId, Role
from dynacache.wire.messages import (
    BIRTH,
    CATALOGUE,
    CATALOGUE_PAGE,
    CATALOGUE_PULL,
    CATALOGUE_TAKEN,
    CLOCK,
    CLOCKED,
    COMPARE,
    COMPARED,
    DIFFERENCES,
    ENTRIES,
    FENCE,
    FENCED,
    FORWARD,
    FORWARD_REPLY,
    MEMBERSHIP,
    PAGE,
    PULL,
    READ,
    READ_REPLY,
    RECORDS,
    STALE_TABLE,
    TABLE,
    TOUCHED,
    WRITE,
    WRITE_ACK,
)

__all__ = ["Peer", "PeerMessages"]


@attrs.define(eq=False)
class Peer:
    """One connection to or from a peer."""

    node_id: NodeId
    role: Role
    outbound: bool


_Handler = Callable[[ConnectionId, Peer, Message, Instant], None]


@attrs.define(eq=False)
class PeerMessages:
    """Serves what peers send."""

    shared: Shared
    members: Members
    replica: Replica
    gate: Gate
    upkeep: Upkeep
    quarantine: Quarantine
    catalogue: CatalogueSync
    handlers: dict[int, _Handler] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Build the table of kinds."""
        self.handlers = {
            WRITE: self._write,
            WRITE_ACK: self._reply,
            READ: self._read,
            READ_REPLY: self._reply,
            FORWARD: self._forward,
            FORWARD_REPLY: self._forward_reply,
            STALE_TABLE: self._stale_table,
            TABLE: self._table,
            MEMBERSHIP: self._membership,
            BIRTH: self._birth,
            CLOCK: self._clock,
            CLOCKED: self._clocked,
            **dict.fromkeys((FENCED, COMPARED, DIFFERENCES, PAGE, CATALOGUE_TAKEN, CATALOGUE_PAGE), self._reply),
            **dict.fromkeys((CATALOGUE, CATALOGUE_PULL), self._catalogue),
            **dict.fromkeys((FENCE, COMPARE, ENTRIES, RECORDS, PULL, TOUCHED), self._upkeep),
        }

    def serve(self, connection: ConnectionId, peer: Peer, messages: list[Message], now: Instant) -> None:
        """Take a batch from one peer; a malformed message closes its connection and ends the batch."""
        for message in messages:
            handler = self.handlers.get(message[0])
            try:
                if handler is None:
                    raise ValueError(f"message kind {message[0]!r} from a peer")
                handler(connection, peer, message, now)
            except (DynacacheError, LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
                self.shared.counters.malformed_messages += 1
                self.shared.note(
                    "message.malformed", "warning", peer=peer.node_id, kind=str(message[0]), reason=str(error)
                )
                self.shared.effects.others.append(Close(connection, "a malformed message"))
                return

    def _write(self, connection: ConnectionId, peer: Peer, message: Message, now: Instant) -> None:
        if message[3] != self.shared.digest:
            self.members.refuse_stale(connection, message[1])
        else:
            self.replica.write(connection, message)

    def _read(self, connection: ConnectionId, peer: Peer, message: Message, now: Instant) -> None:
        if message[3] != self.shared.digest:
            self.members.refuse_stale(connection, message[1])
        else:
            self.replica.read(connection, message)

    def _reply(self, connection: ConnectionId, peer: Peer, message: Message, now: Instant) -> None:
        request_id = message[1]
        request = self.shared.pending.get(request_id)
        self.shared.clock.observe(message[2], self.shared.wall_ms)
        if request is not None and request.replied(connection, message):
            self.shared.pending.pop(request_id, None)

    def _forward(self, connection: ConnectionId, peer: Peer, message: Message, now: Instant) -> None:
        _, clock, digest, hops, requests = message[:5]
        self.shared.clock.observe(clock, self.shared.wall_ms)
        if digest != self.shared.digest:
            for request in requests:
                self.members.refuse_stale(connection, request[1])
        elif (self.shared.clock.last >> 16) - (clock >> 16) > self.shared.settings.max_message_age_ms:
            self._refuse_late(connection, requests)
        else:
            self.gate.serve(-connection, requests, hops)

    def _refuse_late(self, connection: ConnectionId, requests: list[Message]) -> None:
        """A request that lay somewhere for so long was given up by its client: done now, it would undo what came
        after it."""
        for request in requests:
            self.shared.counters.old_messages += 1
            self.shared.fail(-connection, request[1], NotReady("the request came too late to be served"))

    def _forward_reply(self, connection: ConnectionId, peer: Peer, message: Message, now: Instant) -> None:
        self.shared.clock.observe(message[1], self.shared.wall_ms)
        for reply in message[2]:
            request = self.shared.pending.pop(reply[1], None)
            if request is not None:
                request.replied(connection, reply)

    def _stale_table(self, connection: ConnectionId, peer: Peer, message: Message, now: Instant) -> None:
        self.members.merge_table(message[3], connection)
        self.shared.routes.refresh()
        request = self.shared.pending.get(message[1])
        if request is not None and not request.refused(connection) and request.lost(connection):
            self.shared.pending.pop(message[1], None)

    def _table(self, connection: ConnectionId, peer: Peer, message: Message, now: Instant) -> None:
        self.members.merge_table(message[2], connection)
        self.shared.routes.refresh()

    def _membership(self, connection: ConnectionId, peer: Peer, message: Message, now: Instant) -> None:
        self.members.handle_stream(connection, peer.node_id, message[1], now)

    def _birth(self, connection: ConnectionId, peer: Peer, message: Message, now: Instant) -> None:
        self.members.answer_birth(connection, message[1], now)

    def _upkeep(self, connection: ConnectionId, peer: Peer, message: Message, now: Instant) -> None:
        self.upkeep.serve(connection, peer.node_id, message)

    def _clock(self, connection: ConnectionId, peer: Peer, message: Message, now: Instant) -> None:
        self.quarantine.asked(connection, message)

    def _clocked(self, connection: ConnectionId, peer: Peer, message: Message, now: Instant) -> None:
        self.quarantine.answered(peer.node_id, message, now)

    def _catalogue(self, connection: ConnectionId, peer: Peer, message: Message, now: Instant) -> None:
        self.catalogue.serve(connection, peer.node_id, message)
