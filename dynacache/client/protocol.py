"""One connection to a node, without the socket: the hello, pipelined requests, matched answers, deadlines.

What: bytes in with `receive`, bytes out with `data_to_send`, time in with `expire`. `submit` queues a message under a
new request id together with the caller's own object (its token); the token comes back exactly once: with its reply from
`receive`, from `expire` when its deadline passes first, or from `end` when the connection is over.

Invariants: nothing but the hello is sent before the hello is done. At most `in_flight_limit` tokens and
`unsent_limit_bytes` of queued requests are held; one more is Overloaded, and nothing was sent. `end` tells the tokens
whose request was never handed out (their effect has not happened) from those whose fate is unknown. An answer nobody
waits for any more is dropped.

Every frame with a write begins with a stamp: when it was sent, by the node's own monotonic clock, which the node tells
with each topology and when asked. So a write that lay in a connection until its caller had given it up, and perhaps
sent it again elsewhere, is refused by the node instead of undoing what came after it. The node's time is learned as
the latest that any message could have meant, and afresh every minute, since two monotonic clocks drift apart.

Why: any number of tasks or threads share one connection, and whatever they submit in one turn leaves as one frame and
one system call. Deadlines stand in one heap, where the entries of answered requests are dropped when they surface or
when they outnumber the living, so a request costs one push and no timer.
"""

import heapq
import math
from typing import Any, Final

import attrs

from dynacache.errors import DynacacheError, Overloaded, ProtocolError, error_from_code
from dynacache.wire.codec import Message, frame_of_messages, frame_of_packed, pack_message
from dynacache.wire.framing import FrameReader
from dynacache.wire.handshake import HELLO_LIMIT_BYTES, Initiator
from dynacache.wire.messages import ERROR, FRAME_LIMIT_BYTES, GET, STAMP, TIME, TOPOLOGY

__all__ = ["IN_FLIGHT_LIMIT", "TIMEOUT_LIMIT_MS", "UNSENT_LIMIT_BYTES", "ClientProtocol"]

IN_FLIGHT_LIMIT: Final = 16_384
"""Requests that wait for an answer on one connection."""
UNSENT_LIMIT_BYTES: Final = 64 * 1024 * 1024
"""Requests queued while a connection is made or its socket is full."""
TIMEOUT_LIMIT_MS: Final = 60_000
"""The longest timeout a node accepts; the caller's own deadline may lie later."""
_COMPACT_SLACK: Final = 256
_ASK_TIME_S: Final = 60.0
_FORGET_TIME_S: Final = 90.0


@attrs.define(eq=False)
class ClientProtocol:
    """The client's end of one connection. After an exception from `receive`, call `end` and close."""

    initiator: Initiator
    in_flight_limit: int = IN_FLIGHT_LIMIT
    unsent_limit_bytes: int = UNSENT_LIMIT_BYTES
    topology: tuple[Any, Any] | None = attrs.field(default=None, init=False)
    compressions: Any = attrs.field(default=None, init=False)
    factors: Any = attrs.field(default=None, init=False)
    """What came with the topology of namespaces whose values are compressed."""
    """The last (member table, states) pushed here; whoever takes it sets it back to None."""
    refusal: DynacacheError | None = attrs.field(default=None, init=False)
    """Why the connection must be closed now: the node said so, or broke the protocol."""
    heard_s: float = attrs.field(default=0.0, init=False)
    """When the last whole message came: bytes alone are no sign of life, if a garbled length makes a frame endless."""
    _hello: bytes = attrs.field(init=False)
    _reader: FrameReader = attrs.field(init=False)
    _pending: dict[int, Any] = attrs.field(factory=dict, init=False)
    _deadlines: list[tuple[float, int]] = attrs.field(factory=list, init=False)
    _queue: list[bytes] = attrs.field(factory=list, init=False)
    _queued_bytes: int = attrs.field(default=0, init=False)
    _last_id: int = attrs.field(default=0, init=False)
    _last_handed_id: int = attrs.field(default=0, init=False)
    _has_write: bool = attrs.field(default=False, init=False)
    _node_ahead_ms: float | None = attrs.field(default=None, init=False)
    """The node's monotonic clock less ours, as far as known."""
    _learned_s: float = attrs.field(default=0.0, init=False)
    _ask_s: float = attrs.field(default=math.inf, init=False)

    def __attrs_post_init__(self) -> None:
        """Queue the hello."""
        self._hello = frame_of_messages([self.initiator.first()])
        self._reader = FrameReader(HELLO_LIMIT_BYTES)

    @property
    def ready(self) -> bool:
        """Whether the hello is done."""
        return self.initiator.done

    @property
    def in_flight(self) -> int:
        """Requests that wait for an answer."""
        return len(self._pending)

    @property
    def has_data(self) -> bool:
        """Whether `data_to_send` would return something."""
        return bool(self._hello) or (bool(self._queue) and self.initiator.done)

    def submit(self, message: list[Any], timeout_position: int, now_s: float, deadline_s: float, token: Any) -> None:
        """Queue a request; ``deadline_s`` is monotonic seconds. Fills in the message's id and timeout.

        Raises Overloaded at a limit, with nothing queued.
        """
        if len(self._pending) >= self.in_flight_limit:
            raise Overloaded(f"{self.in_flight_limit} requests already wait for an answer on this connection")
        request_id = message[1] = self._last_id + 1
        if timeout_position:
            left_ms = int((deadline_s - now_s) * 1000)
            message[timeout_position] = min(max(left_ms, 1), TIMEOUT_LIMIT_MS)
        if message[0] != GET:
            self._has_write = True
        packed = pack_message(message)
        if self._queued_bytes + len(packed) > self.unsent_limit_bytes and self._queue:
            raise Overloaded(f"{self._queued_bytes} bytes already wait to be sent on this connection")
        self._last_id = request_id
        self._pending[request_id] = token
        self._queue.append(packed)
        self._queued_bytes += len(packed)
        deadlines = self._deadlines
        heapq.heappush(deadlines, (deadline_s, request_id))
        if len(deadlines) > 2 * len(self._pending) + _COMPACT_SLACK:
            self._compact()

    def data_to_send(self, now_s: float) -> bytes:
        """Everything that may be sent now (monotonic seconds), to be sent in full; empty if there is nothing."""
        hello, self._hello = self._hello, b""
        if hello or not self._queue or not self.initiator.done:
            return hello
        queue = self._queue
        if self._has_write or now_s >= self._ask_s:
            self._has_write = False
            if self._node_ahead_ms is not None:
                queue.insert(0, self._stamp(now_s))
        data = frame_of_packed(queue, len(queue))
        self._queue = []
        self._queued_bytes = 0
        self._last_handed_id = self._last_id
        return data

    def receive(self, data: bytes, now_s: float) -> list[tuple[Any, Message]]:
        """Take bytes that arrived at ``now_s``; return the answered tokens with their replies.

        Raises ProtocolError, or what the node refused the hello with. After the hello, a refusal is left in `refusal`,
        so that the answers before it are not lost.
        """
        answered = []
        message: Message | None = None
        pop = self._pending.pop
        for message in self._reader.feed(data):
            if not self.initiator.done:
                self._greet(message)
                continue
            try:
                token = pop(message[1], None)
            except (IndexError, TypeError):
                self.refusal = ProtocolError(f"a message without a request id, kind {message[0]}")
                break
            if token is not None:
                answered.append((token, message))
            elif message[1] == 0:
                self._unasked(message, now_s)
        if message is not None:
            self.heard_s = now_s
        return answered

    def next_deadline(self) -> float:
        """When `expire` has something to do (monotonic seconds); infinity for never."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][1] not in self._pending:
            heapq.heappop(deadlines)
        return deadlines[0][0] if deadlines else math.inf

    def expire(self, now_s: float) -> list[Any]:
        """Give up every request whose deadline has passed; return their tokens, earliest first."""
        expired = []
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now_s:
            token = self._pending.pop(heapq.heappop(deadlines)[1], None)
            if token is not None:
                expired.append(token)
        return expired

    def end(self) -> tuple[list[Any], list[Any]]:
        """The connection is over: return the tokens (of unknown fate, of requests never handed out)."""
        pending, self._pending = self._pending, {}
        self._deadlines.clear()
        self._queue.clear()
        self._queued_bytes = 0
        unknown = [token for request_id, token in pending.items() if request_id <= self._last_handed_id]
        unsent = [token for request_id, token in pending.items() if request_id > self._last_handed_id]
        return unknown, unsent

    def _greet(self, message: Message) -> None:
        self._hello = frame_of_messages(self.initiator.receive(message))
        self._reader.limit_bytes = FRAME_LIMIT_BYTES

    def _unasked(self, message: Message, now_s: float) -> None:
        """A message under the id 0: a new topology, the time, or why the node is about to close the connection."""
        if message[0] == TOPOLOGY and len(message) >= 4:
            self.topology = (message[2], message[3])
            self.compressions = message[5] if len(message) > 5 else None
            self.factors = message[6] if len(message) > 6 else None
            if len(message) > 4:
                self._learn_time(message[4], now_s)
        elif message[0] == TIME and len(message) >= 3:
            self._learn_time(message[2], now_s)
        elif message[0] == ERROR and len(message) >= 4 and type(message[2]) is int:
            self.refusal = error_from_code(message[2], str(message[3]))
        else:
            self.refusal = ProtocolError(f"a message of kind {message[0]} that nothing asked for")

    def _learn_time(self, node_ms: object, now_s: float) -> None:
        """Take the node's time; the message that took least on its way says it best."""
        if type(node_ms) is not int:
            return
        ahead_ms = node_ms - now_s * 1000
        known_ms = self._node_ahead_ms
        if known_ms is None or ahead_ms >= known_ms or now_s - self._learned_s > _FORGET_TIME_S:
            self._node_ahead_ms, self._learned_s = ahead_ms, now_s
        self._ask_s = now_s + _ASK_TIME_S

    def _stamp(self, now_s: float) -> bytes:
        """When a frame is sent, by the node's clock; from time to time with a question for that clock."""
        asks = now_s >= self._ask_s
        if asks:
            self._ask_s = now_s + _ASK_TIME_S
        stamp: bytes = pack_message((STAMP, 0, int(now_s * 1000 + (self._node_ahead_ms or 0.0)), asks))
        return stamp

    def _compact(self) -> None:
        pending = self._pending
        self._deadlines = [entry for entry in self._deadlines if entry[1] in pending]
        heapq.heapify(self._deadlines)
