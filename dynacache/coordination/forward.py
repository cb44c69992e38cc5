"""Requests for keys this node does not hold go to a node that does.

What: a client's message is sent on unchanged but for its id; the reply comes back under that id and is handed to the
client under its own. Requests of one turn for one node travel in one ``FORWARD``.

Invariant: a request is forwarded a bounded number of times, is answered exactly once, and never both forwarded and
served here. When the link ends, reads and writes under an operation id are sent to the next choice; anything else is
answered "maybe applied". Once a try has ended that way, no later refusal is passed on as if nothing had been changed. A
request refused for a stale table was not looked at: it is sent again, whatever it asks.

Why forward: only a node that holds a partition may mint versions in it (DESIGN section 7, brief R1.4); any node may be
asked (requirement R29).
"""

from typing import Any

import attrs

from dynacache.coordination.routes import Route
from dynacache.coordination.shared import Shared
from dynacache.coordination.timeline import timeout_class_ms
from dynacache.errors import ClockUnsafe, ConnectionLost, NotEnoughReplicas, NotReady, TimedOut, error_from_code
from dynacache.events import ConnectionId, Message
from dynacache.placement.partitions import partition_of_key
from dynacache.wire.cursors import unpack_cursor
from dynacache.wire.messages import DELETE, ERROR, FORWARD, GET, SCAN, SET

__all__ = ["Forwarder"]

_OPERATION_ID_FIELD = {SET: 11, DELETE: 8}
_NOT_SERVING = (ClockUnsafe.code, NotReady.code)
"""What a node answers that serves nothing at all for a while: another owner may."""
_READS = (GET, SCAN)
_RESEND_LIMIT = 3
_GRACE_MS = 200
"""Time beyond the request's own timeout in which the serving node's answer may still arrive."""


@attrs.define(eq=False)
class _Forwarded:
    """One forwarded request in flight."""

    forwarder: "Forwarder"
    client: ConnectionId
    rid: int
    message: list[Any]
    hops: int
    timeout_ms: int
    connection: ConnectionId = 0
    tried: list[ConnectionId] = attrs.field(factory=list)
    uncertain: bool = False
    request_id: int = 0
    _resends: int = 0

    def replied(self, connection: ConnectionId, message: Message) -> bool:
        """Hand the reply to the client under its own id; a refusal is not definite if an earlier try may have been
        applied."""
        if message[0] == ERROR and self._may_ask_another(message[2]) and self.forwarder.elsewhere(self):
            return True
        reply = list(message)
        reply[1] = self.rid
        if self.uncertain and reply[0] == ERROR and error_from_code(reply[2], "").definite:
            reply[2] = ConnectionLost.code
            reply[3] = f"the write may have been applied before a connection ended; a later try was refused: {reply[3]}"
        self.forwarder.shared.effects.send(self.client, reply)
        return True

    def _may_ask_another(self, code: int) -> bool:
        return code in _NOT_SERVING or (code == NotEnoughReplicas.code and self.message[0] == SCAN)

    def lost(self, connection: ConnectionId) -> bool:
        """The link ended: try the next node where a repetition is harmless."""
        if connection != self.connection:
            return False
        self.forwarder.again(self)
        return True

    def slow(self) -> None:
        """The serving node has its own hedges."""

    def overdue(self) -> None:
        """No answer within the deadline."""
        error = TimedOut("the node that serves this key did not answer in time")
        self.forwarder.shared.counters.timeouts += 1
        self.forwarder.shared.fail(self.client, self.rid, error)

    def refused(self, connection: ConnectionId) -> bool:
        """The other node's table differs, and it looked at nothing: ask again."""
        if connection != self.connection:
            return True
        self._resends += 1
        return self._resends <= _RESEND_LIMIT and self.forwarder.repeat(self)


@attrs.define(eq=False)
class Forwarder:
    """Sends requests on, in batches."""

    shared: Shared
    _batches: dict[tuple[ConnectionId, int], list[Message]] = attrs.field(factory=dict)

    def forward(self, client: ConnectionId, message: Message, timeout_ms: int, hops: int) -> None:
        """Send a request on to a node that holds its key. Raises ``NotEnoughReplicas`` or ``NotReady``."""
        shared = self.shared
        route = self._route(message)
        if hops >= shared.settings.forward_hops:
            raise NotReady(f"forwarded {hops} times without reaching an owner; the nodes' tables are still settling")
        self._send(_Forwarded(self, client, message[1], list(message), hops, timeout_ms), route)

    def again(self, forwarded: _Forwarded) -> None:
        """Send a request to the next choice after its link ended, if that cannot apply it twice."""
        shared = self.shared
        message = forwarded.message
        field = _OPERATION_ID_FIELD.get(message[0], 0)
        repeatable = message[0] in _READS or (field and len(message) > field and message[field] is not None)
        if not repeatable:
            error = ConnectionLost("the connection to the node that serves this key ended; the write may be applied")
            shared.fail(forwarded.client, forwarded.rid, error)
            return
        forwarded.uncertain = message[0] not in _READS
        try:
            route = self._route(message)
            self._send(forwarded, route)
        except NotEnoughReplicas as error:
            unsure = ConnectionLost(
                "the connection to the node that serves this key ended, and no other can be reached"
            )
            shared.fail(forwarded.client, forwarded.rid, unsure if forwarded.uncertain else error)

    def elsewhere(self, forwarded: _Forwarded) -> bool:
        """Send a request that was refused, with nothing changed, to the next choice; False when there is none."""
        try:
            self._send(forwarded, self._route(forwarded.message))
        except NotEnoughReplicas:
            return False
        return True

    def repeat(self, forwarded: _Forwarded) -> bool:
        """Send a request that was refused unread once more, within its deadline; False when there is nobody to ask."""
        choices = self._route(forwarded.message).forward_to
        if not choices:
            return False
        if forwarded.connection not in choices:
            forwarded.connection = choices[0]
            forwarded.tried.append(choices[0])
        self._queue(forwarded)
        return True

    def flush(self) -> None:
        """Send what this turn collected."""
        if not self._batches:
            return
        shared = self.shared
        batches, self._batches = self._batches, {}
        for (connection, hops), messages in batches.items():
            shared.effects.send(connection, (FORWARD, shared.clock.last, shared.digest, hops + 1, messages))

    def _route(self, message: Message) -> Route:
        shared = self.shared
        if message[0] == SCAN:
            return shared.routes.route(unpack_cursor(message[2])[0])
        return shared.routes.route(partition_of_key(message[2], shared.partition_shift))

    def _send(self, forwarded: _Forwarded, route: Route) -> None:
        shared = self.shared
        choices = [connection for connection in route.forward_to if connection not in forwarded.tried]
        if not choices:
            raise NotEnoughReplicas("no node that holds this key can be reached")
        shared.counters.forwarded += 1
        forwarded.connection = choices[0]
        forwarded.tried.append(choices[0])
        forwarded.request_id = shared.new_request(
            forwarded, timeout_class_ms(forwarded.timeout_ms + _GRACE_MS), shared.settings.longest_timeout_ms * 2
        )
        self._queue(forwarded)

    def _queue(self, forwarded: _Forwarded) -> None:
        message = list(forwarded.message)
        message[1] = forwarded.request_id
        self._batches.setdefault((forwarded.connection, forwarded.hops), []).append(message)
