"""Clients as state machines over the product's own client core: routing, protocol, retries, decoding.

What: ``SimClient`` is a host of the network. ``start`` takes one operation of the workload through attempts until it
has an answer or a final error, and hands its ``OperationRecord`` to ``finished``.

Invariant: what is decided (where to ask, how long to wait, whether to try again, what an answer means) is decided by
``dynacache.client``; here are only streams and timers, as in ``runtime/clients``. Every call ends by its deadline.

Why a record is made at the end: until then nobody knows whether the call was lost with the run; those are recorded by
``unfinished`` with an unknown outcome.
"""

from collections.abc import Callable
from random import Random
from typing import Any

import attrs

from dynacache.client.calls import Call
from dynacache.client.options import Options as ClientOptions
from dynacache.client.protocol import ClientProtocol
from dynacache.client.requests import Requests
from dynacache.client.results import Fetched, Written
from dynacache.client.retries import RetryPolicy, attempt_deadline_s, settle
from dynacache.client.routing import FAILURES_BEFORE_AVOIDING, Endpoint, Router
from dynacache.errors import (
    ConnectionLost,
    DynacacheError,
    Overloaded,
    ProtocolError,
    TimedOut,
    UnavailableError,
)
from dynacache.types import Role
from dynacache.wire.handshake import NONCE_BYTES, Initiator
from dynacache.wire.messages import ERROR

from ..draws import Draws
from ..history import OperationKind, OperationRecord, Outcome
from ..workload import Operation
from .calls import first_call, following
from .clocks import WallClock
from .heap import Heap
from .network import Address, End, Network
from .recorder import Recorder

__all__ = ["SimClient"]

_SILENCE_LIMIT_S = 10.0
_OF_A_VERSION = frozenset({
    OperationKind.SET_IF_VERSION, OperationKind.DELETE_IF_VERSION, OperationKind.INVALIDATE_VERSION,
})  # fmt: skip


@attrs.define(eq=False, repr=False)
class _Link:
    """One stream to one node; the ``state`` of its ``End``."""

    endpoint: Endpoint
    protocol: ClientProtocol
    end: End | None = None
    closed: bool = False


@attrs.define(eq=False, repr=False)
class _Running:
    """One operation under way."""

    operation: Operation
    kind: OperationKind
    call: Call[Any]
    call_sequence: int
    call_s: float
    version: bytes | None
    token_sequence: int = 0
    """When a fill was given its token."""


@attrs.define(eq=False, repr=False)
class SimClient:
    """One client process."""

    name: str
    index: int
    seeds: tuple[Address, ...]
    secret: str | None
    timeout_s: float
    heap: Heap
    network: Network
    draws: Draws
    recorder: Recorder
    finished: Callable[[OperationRecord], None]
    clock: WallClock = attrs.field(factory=WallClock)
    router: Router = attrs.field(init=False)
    requests: Requests = attrs.field(init=False)
    policy: RetryPolicy = attrs.field(factory=RetryPolicy)
    versions: dict[bytes, bytes] = attrs.field(factory=dict)
    """The last version seen of each key."""
    running: dict[int, _Running] = attrs.field(factory=dict)
    _links: dict[Endpoint, _Link] = attrs.field(factory=dict)
    _random: Random = attrs.field(init=False)
    _nonces: int = 0

    def __attrs_post_init__(self) -> None:
        """Prepare the core."""
        self.router = Router.from_seeds(self.seeds)
        identity = self.draws.stream("client id", self.name).bits().to_bytes(8, "big")
        self.requests = Requests(ClientOptions(timeout_s=self.timeout_s), identity)
        self._random = self.draws.random("client", self.name)

    # Operations

    def start(self, operation: Operation) -> None:
        """Begin one operation now."""
        version = self.versions.get(operation.key)
        kind = operation.kind
        if version is None and kind in _OF_A_VERSION:
            kind = OperationKind.GET
        call = first_call(self.requests, operation, kind, version)
        now_s = self.heap.now_s
        call.deadline_s = now_s + self.timeout_s
        running = _Running(operation, kind, call, self.recorder.next_sequence(), now_s, version)
        self.running[operation.number] = running
        self._attempt(running)

    def unfinished(self) -> list[OperationRecord]:
        """Return records of what has not ended: its fate is unknown."""
        return [self._record(each, None, Outcome.UNKNOWN, None, {}) for each in self.running.values()]

    def _attempt(self, running: _Running) -> None:
        call, now_s = running.call, self.heap.now_s
        endpoint = self.router.choose_for(call, now_s)
        call.endpoint = endpoint
        link = self._links.get(endpoint) or self._open(endpoint)
        deadline_s = attempt_deadline_s(call, self.policy, now_s)
        try:
            link.protocol.submit(call.message, call.timeout_position, now_s, deadline_s, running)
        except Overloaded as error:
            self._ended(running, error)
            return
        self._flush(link)
        self.heap.at(deadline_s, self._expire, link)

    def _ended(self, running: _Running, error: DynacacheError | None) -> None:
        """An attempt is over: with a reply, or with an error of our own."""
        call = running.call
        if error is not None:
            call.error = error
        elif call.reply is not None and call.reply[0] != ERROR:
            self._finish(running)
            return
        now_s = self.heap.now_s
        delay_s = settle(call, self.policy, now_s, self._random)
        if delay_s is None:
            self._finish(running)
            return
        if not call.repeatable:
            self.recorder.coverage["definite refusal tried again"] += 1
        elif call.changes:
            self.recorder.coverage["write tried again under its operation id"] += 1
        self.heap.after(delay_s, self._attempt, running)

    def _goes_on(self, running: _Running) -> bool:
        """Begin the next call of an operation that has several; False after the last."""
        reply, step = running.call.reply, None
        if running.call.error is None and reply is not None and reply[0] != ERROR:
            step = following(self.requests, running.operation, running.call)
        if step is None:
            return False
        running.call, after_s = step
        running.call.deadline_s = self.heap.now_s + after_s + self.timeout_s
        if running.kind is OperationKind.FILL:
            running.token_sequence = self.recorder.next_sequence()
            self.recorder.coverage["a fill was given a token"] += 1
        if after_s:
            self.heap.after(after_s, self._attempt, running)
        else:
            self._attempt(running)
        return True

    def _finish(self, running: _Running) -> None:
        if self._goes_on(running):
            return
        del self.running[running.operation.number]
        sequence = self.recorder.next_sequence()
        metadata: dict[str, Any] = {"attempts": running.call.attempts + 1}
        try:
            result = running.call.result(self.clock.now_ms(self.heap.now_s))
            outcome = Outcome.OK
        except DynacacheError as error:
            metadata["error"] = [type(error).__name__, str(error)]
            result, outcome = None, Outcome.FAILED if error.definite else Outcome.UNKNOWN
            if type(error).__name__ in ("TimedOut", "ConnectionLost") and not running.call.changes:
                outcome = Outcome.FAILED
        record = self._record(running, sequence, outcome, result, metadata)
        self.recorder.hashed("finished", record.number, record.outcome, record.result)
        self.finished(record)

    def _record(
        self, running: _Running, sequence: int | None, outcome: Outcome, result: Any, metadata: dict[str, Any]
    ) -> OperationRecord:
        operation, kind = running.operation, running.kind
        if kind is OperationKind.FILL and not running.token_sequence:
            kind = OperationKind.GET  # it found something, or never came to the point of writing
        arguments = {name: value for name, value in operation.arguments.items() if name not in ("level", "full")}
        if kind is OperationKind.GET:
            arguments.clear()
        if kind in _OF_A_VERSION:
            arguments["version"] = running.version
        reply = running.call.reply
        told = reply[-1] if outcome is Outcome.OK and reply is not None and type(reply[-1]) is dict else {}
        if kind is OperationKind.FILL:
            metadata["token_sequence"] = running.token_sequence
        if isinstance(result, Fetched):
            metadata["siblings"] = [sibling.value for sibling in result.siblings]
            metadata["miss_reason"] = None if result.miss_reason is None else int(result.miss_reason)
            result = result.value if result.found else None
        elif isinstance(result, Written):
            metadata["previous"] = result.previous
            result = result.applied
        for name, short in (("version", "c"), ("expiry_ms", "e"), ("updated_ms", "t"), ("receipt", "r")):
            if short in told:
                metadata[name] = told[short]
        if "version" in metadata:
            self.versions[operation.key] = metadata["version"]
        return OperationRecord(
            number=operation.number,
            client=operation.client,
            kind=kind,
            key=operation.key,
            level=operation.arguments.get("level", 0),
            call_sequence=running.call_sequence,
            call_s=running.call_s,
            return_sequence=sequence,
            return_s=None if sequence is None else self.heap.now_s,
            outcome=outcome,
            result=result,
            arguments=arguments,
            metadata=metadata,
        )

    # Streams

    def accept(self, end: End) -> bool:
        """Nobody dials a client."""
        return False

    def datagram(self, payload: bytes, address: Address) -> None:
        """Nobody gossips with a client."""

    def blocked(self, end: End, blocked: bool) -> None:
        """A client only waits."""

    def arrived(self, end: End, data: bytes | None) -> None:
        """Take what a node sent."""
        link: _Link = end.state
        self.recorder.delivered(1000 + self.index, 1 if data else 0, 0, data or b"")
        if data is None:
            self._lose(link, ConnectionLost(f"{link.endpoint} closed the connection"))
            return
        protocol = link.protocol
        was_ready = protocol.ready
        try:
            answered = protocol.receive(data, self.heap.now_s)
        except DynacacheError as error:
            self._lose(link, error)
            return
        if not was_ready and protocol.ready:
            link.endpoint.connections += 1
            self._learn(link)
        if answered and link.endpoint.failures:
            link.endpoint.answered()
        for running, reply in answered:
            running.call.reply = reply
            self._ended(running, None)
        if protocol.topology is not None:
            self._learn(link)
        self._flush(link)
        if protocol.refusal is not None:
            self._lose(link, protocol.refusal)

    def _open(self, endpoint: Endpoint) -> _Link:
        self._nonces += 1
        bits = self.draws.stream("nonce", self.name, self._nonces).bits
        nonce = b"".join(bits().to_bytes(8, "big") for _ in range(NONCE_BYTES // 8))
        initiator = Initiator(Role.CLIENT, self.router.cluster_id, "", self.secret, nonce)
        link = self._links[endpoint] = _Link(endpoint, ClientProtocol(initiator))
        self.network.dial(self, endpoint.address, "CLIENT", lambda end: self._established(link, end))
        self.heap.after(self.policy.attempt_timeout_s, self._check_open, link)
        return link

    def _established(self, link: _Link, end: End | None) -> None:
        if link.closed:
            if end is not None:
                self.network.close(end)
            return
        if end is None:
            self._lose(link, UnavailableError(f"no connection to {link.endpoint}"))
            return
        link.end, end.state = end, link
        self._flush(link)

    def _check_open(self, link: _Link) -> None:
        if not link.closed and not link.protocol.ready:
            self._lose(link, UnavailableError(f"no connection to {link.endpoint} in time"))

    def _flush(self, link: _Link) -> None:
        if link.end is None or link.closed:
            return
        while link.protocol.has_data:
            self.network.send(link.end, link.protocol.data_to_send(self.heap.now_s))

    def _expire(self, link: _Link) -> None:
        now_s = self.heap.now_s
        expired = link.protocol.expire(now_s)
        for running in expired:
            self._ended(running, TimedOut(f"no answer from {link.endpoint} within the time given"))
        if expired and link.protocol.ready and not link.closed and now_s - link.protocol.heard_s > _SILENCE_LIMIT_S:
            self._lose(link, ConnectionLost(f"{link.endpoint} is silent"))

    def _learn(self, link: _Link) -> None:
        node_id = link.protocol.initiator.peer_node_id
        if link.endpoint.node_id != node_id:
            self.router.learn_node(link.endpoint, node_id)
        topology, link.protocol.topology = link.protocol.topology, None
        if topology is not None:
            try:
                self.router.update(*topology, self.heap.now_s, factors=link.protocol.factors)
            except ProtocolError as error:
                self._lose(link, error)

    def _lose(self, link: _Link, failure: DynacacheError) -> None:
        if link.closed:
            return
        link.closed = True
        if self._links.get(link.endpoint) is link:
            del self._links[link.endpoint]
        if link.protocol.ready:
            link.endpoint.connections -= 1
        else:
            link.endpoint.failed(self.heap.now_s, FAILURES_BEFORE_AVOIDING)
        if link.end is not None:
            self.network.close(link.end)
        unknown, unsent = link.protocol.end()
        for running in unknown:
            self._ended(running, ConnectionLost(str(failure)))
        definite = type(failure) if isinstance(failure, ProtocolError) else UnavailableError
        for running in unsent:
            self._ended(running, definite(str(failure)))
