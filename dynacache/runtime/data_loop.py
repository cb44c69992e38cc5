"""The hot path: every data socket of a node in one selector, and one Trio task that serves them all in turns.

What: a turn takes what every ready socket has (up to a bound), decodes it, hands all of it to the core in one call, and
writes once to each connection that gained output. Listening socket, gossip socket, clients and peers stand in the same
selector; the task sleeps on the selector's own descriptor until something is ready or a deadline has come.

Invariant: a turn never waits, and takes a bounded number of bytes, so gossip and deadlines are never starved. In one
call of the core inputs come before messages: a connection is reported before its first message. Trio is given the
chance to run other tasks after each turn, or at least every `linger_s` where that is set.

Why: many clients with one request each become one batch, and a turn costs one wake-up however many requests it carries
(DESIGN section 3). There is no task, timer, closure or exception per request. Reads ask for 64 KiB at a time: 256 KiB
passes the C allocator's threshold for mapped memory, and a map and unmap for each read was measured at eight times the
cost of the read itself. The sleep ends by the deadline of one cancel scope, which stands only while the loop sleeps: a
scope per turn would cost as much as receiving several requests, and a deadline that passes in a busy time would end it
for nothing. A wait through Trio costs some 15 µs more than a wait
in the selector itself, three times on the way of a replicated write; so a process that is a node and nothing else sets
`linger_s`, and the loop then blocks in its own selector for that long before it hands the wait to Trio. An idle loop
sleeps in Trio either way.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import attrs
import trio

from dynacache.config import NetworkConfig
from dynacache.errors import DynacacheError, ProtocolError
from dynacache.events import (
    Close,
    Connect,
    Connected,
    ConnectionId,
    Disconnect,
    Effects,
    Halt,
    Input,
    LoopLag,
    Message,
    Note,
    Received,
    Stopped,
    TrimMemory,
)
from dynacache.runtime.connections import Connection
from dynacache.runtime.entropy import instant_now, monotonic_now
from dynacache.runtime.gossip import GossipSocket
from dynacache.runtime.listener import Listener
from dynacache.runtime.poller import WRITABLE
from dynacache.runtime.transport import Transport
from dynacache.types import Instant
from dynacache.wire.codec import frame_of_messages, frame_of_packed, pack_message

__all__ = [
    "EVENT_LIMIT",
    "LAG_NOTICE_S",
    "RECEIVE_STEP_BYTES",
    "SWEEP_INTERVAL_S",
    "Core",
    "DataLoop",
    "LoopStatistics",
    "Other",
]

EVENT_LIMIT: Final = 256
"""Sockets served in one turn."""
RECEIVE_STEP_BYTES: Final = 65_536
SWEEP_INTERVAL_S: Final = 1.0
LAG_NOTICE_S: Final = 0.05
"""A wake-up later than this is reported to the core."""

Other = Connect | Disconnect | Note | Stopped | TrimMemory | Halt
"""The effects that concern neither messages nor one connection."""


class Core(Protocol):
    """What the loop drives: the node, or whoever answers before there is one."""

    def handle(self, now: Instant, received: Sequence[Received], inputs: Sequence[Input] = ()) -> Effects:
        """Take everything that arrived in one turn; say what to do."""
        ...

    def next_deadline(self) -> float:
        """The monotonic second at which `handle` must be called even if nothing arrives."""
        ...


@attrs.frozen
class LoopStatistics:
    """Counts since the start, and what is open now."""

    turns: int
    received_bytes: int
    sent_bytes: int
    connections: int
    clients: int
    accepted: int
    refused: int
    lag_s_max: float


@attrs.define(eq=False)
class DataLoop:
    """All sockets of one node. `run` it in a task; call everything else from the same thread."""

    network: NetworkConfig
    core: Core
    transport: Transport
    perform: Callable[[Other], None]
    listener: Listener | None = None
    gossip: GossipSocket | None = None
    linger_s: float = 0.0
    """How long the loop itself blocks for more before it lets Trio wait; only for a process that does nothing else."""

    _sleep: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _due_s: float = attrs.field(factory=monotonic_now, init=False)
    _sweep_due_s: float = attrs.field(factory=monotonic_now, init=False)
    _sweep_interval_s: float = attrs.field(init=False)
    _finish_by_s: float = attrs.field(default=math.inf, init=False)
    _turns: int = attrs.field(default=0, init=False)
    _received_bytes: int = attrs.field(default=0, init=False)
    _lag_s_max: float = attrs.field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        """Watch the listening and the gossip socket, and sweep at least twice within the shortest deadline."""
        network = self.network
        shortest_s = min(network.hello_timeout_s, network.frame_timeout_s, network.idle_timeout_s)
        self._sweep_interval_s = max(0.02, min(SWEEP_INTERVAL_S, shortest_s / 2))
        for special in (self.listener, self.gossip):
            if special is not None:
                self.transport.poller.register(special.descriptor)

    # What others in the runtime call.

    def statistics(self) -> LoopStatistics:
        """What the loop has done and holds."""
        transport = self.transport
        return LoopStatistics(
            turns=self._turns,
            received_bytes=self._received_bytes,
            sent_bytes=transport.sent_bytes,
            connections=len(transport.by_number),
            clients=transport.clients,
            accepted=transport.accepted,
            refused=transport.refused,
            lag_s_max=self._lag_s_max,
        )

    def add_input(self, item: Input) -> None:
        """Tell the core something in the next turn, and have that turn soon."""
        self.transport.inputs.append(item)
        self._sleep.cancel()

    def replace_core(self, core: Core) -> None:
        """Hand the loop to another core, and report to it every connection that is open."""
        self.core = core
        self.transport.inputs[:] = [
            Connected(each.number, each.role, each.node_id, each.outbound)
            for each in self.transport.by_number.values()
            if each.hello is None and each.closing_s is None
        ]
        self._due_s = monotonic_now()
        self._sleep.cancel()

    def stop_listening(self) -> None:
        """Refuse new connections from now on."""
        if self.listener is not None:
            if not self.listener.paused:
                self.transport.poller.unregister(self.listener.descriptor)
            self.listener.close()
            self.listener = None

    def finish(self, deadline_s: float) -> None:
        """Let `run` return once all output has left, or at ``deadline_s`` (monotonic seconds) with what has not."""
        self._finish_by_s = deadline_s
        self._sleep.cancel()

    async def run(self) -> None:
        """Serve until `finish` is called and output has left; every socket is closed at the end, however it comes."""
        poller, inputs = self.transport.poller, self.transport.inputs
        poll, descriptor, linger_s = poller.poll, poller.fileno(), self.linger_s
        wait_readable, checkpoint = trio.lowlevel.wait_readable, trio.lowlevel.checkpoint
        self._due_s = monotonic_now()
        yield_due_s = math.inf
        try:
            while self._finish_by_s == math.inf or not self._drained():
                with trio.CancelScope() as self._sleep:
                    while self._finish_by_s == math.inf or not self._drained():
                        patience_s = 0.0 if inputs else min(linger_s, self._due_s - monotonic_now())
                        events = poll(EVENT_LIMIT, max(0.0, patience_s))
                        now_s = monotonic_now()
                        if not events and not inputs and now_s < self._due_s:
                            # Set before each wait: one that is cut short counts as one.
                            yield_due_s = math.inf
                            wait_s = min(self._due_s, self._finish_by_s) - now_s
                            self._sleep.deadline = trio.current_time() + wait_s
                            await wait_readable(descriptor)
                            self._sleep.deadline = math.inf
                            events = poll(EVENT_LIMIT)
                        elif now_s >= yield_due_s:
                            yield_due_s = math.inf
                            await checkpoint()
                        self.turn(events)
                        if yield_due_s == math.inf:
                            yield_due_s = now_s + linger_s
        finally:
            self._close_everything()

    def _drained(self) -> bool:
        waiting = any(each.output_bytes for each in self.transport.by_number.values())
        return not waiting or monotonic_now() >= self._finish_by_s

    # One turn.

    def turn(self, events: Sequence[tuple[int, int]]) -> None:
        """Serve the sockets that are ready, call the core once, and send what it answers."""
        now = instant_now()
        now_s = now.monotonic_s
        self._turns += 1
        if now_s - self._due_s > LAG_NOTICE_S:
            self._note_lag(now_s - self._due_s)
        received = self._receive_all(events, now_s) if events else []
        pending = self.transport.inputs
        inputs = pending.copy()
        pending.clear()
        self._send_all(self.core.handle(now, received, inputs))
        if now_s >= self._sweep_due_s:
            self._sweep(now_s)
        due_s = self.core.next_deadline()
        self._due_s = min(self._sweep_due_s, due_s)

    def _receive_all(self, events: Sequence[tuple[int, int]], now_s: float) -> list[Received]:
        received: list[tuple[ConnectionId, list[Message]]] = []
        transport = self.transport
        by_descriptor = transport.by_descriptor
        limit_bytes = budget_bytes = self.network.turn_limit_bytes
        for descriptor, mask in events:
            connection = by_descriptor.get(descriptor)
            if connection is None:
                self._serve_special(descriptor)
                continue
            if mask & WRITABLE:
                transport.flush(connection)
            if mask == WRITABLE or budget_bytes <= 0:
                continue
            try:
                data = connection.receive(RECEIVE_STEP_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                transport.lose(connection)
                continue
            if len(data) == RECEIVE_STEP_BYTES:
                data = self._receive_more(connection, data)
            budget_bytes -= len(data)
            connection.heard_s = now_s
            try:
                messages = connection.feed(data) if connection.open else transport.greet(connection, data)
            except DynacacheError as error:
                transport.refuse(connection, error)
                continue
            if messages:
                received.append((connection.number, messages))
        self._received_bytes += limit_bytes - budget_bytes
        return received

    def _receive_more(self, connection: Connection, data: bytes) -> bytes:
        """A full read is followed by more reads, up to the bound of one socket in one turn."""
        parts = [data]
        wanted_bytes = self.network.receive_bytes - len(data)
        while wanted_bytes > 0:
            try:
                data = connection.receive(min(wanted_bytes, RECEIVE_STEP_BYTES))
            except OSError:
                break
            if not data:
                break
            parts.append(data)
            wanted_bytes -= len(data)
        return b"".join(parts)

    def _send_all(self, effects: Effects) -> None:
        if effects.shared:
            self._send_shared(effects)
        send, by_number = self.transport.send, self.transport.by_number
        for number, messages in effects.sends.items():
            connection = by_number.get(number)
            if connection is not None:
                send(connection, frame_of_messages(messages))
        if effects.datagrams and self.gossip is not None:
            self.gossip.send(effects.datagrams)
        for other in effects.others:
            if isinstance(other, Close):
                connection = by_number.get(other.connection)
                if connection is not None:
                    self.transport.close(connection, ProtocolError(other.reason))
            else:
                self.perform(other)

    def _send_shared(self, effects: Effects) -> None:
        """Encode each shared message once; a connection's own messages stand before them in its frame."""
        sends = effects.sends
        chunks_of: dict[ConnectionId, list[bytes]] = {}
        for numbers, message in effects.shared:
            packed = pack_message(message)
            for number in numbers:
                chunks = chunks_of.get(number)
                if chunks is None:
                    own = sends.pop(number, None)
                    chunks = chunks_of[number] = [pack_message(each) for each in own] if own else []
                chunks.append(packed)
        for number, chunks in chunks_of.items():
            connection = self.transport.by_number.get(number)
            if connection is not None:
                self.transport.send(connection, frame_of_packed(chunks, len(chunks)))

    # The rare things.

    def _serve_special(self, descriptor: int) -> None:
        listener, gossip = self.listener, self.gossip
        if gossip is not None and descriptor == gossip.descriptor:
            self.transport.inputs += gossip.receive()
        elif listener is not None and descriptor == listener.descriptor:
            for socket in listener.accept():
                self.transport.accept(socket)
            if listener.paused:
                self.transport.poller.unregister(descriptor)

    def _note_lag(self, lag_s: float) -> None:
        self._lag_s_max = max(self._lag_s_max, lag_s)
        self.transport.inputs.insert(0, LoopLag(lag_s))

    def _sweep(self, now_s: float) -> None:
        self._sweep_due_s = now_s + self._sweep_interval_s
        self.transport.sweep(now_s)
        if self.listener is not None and self.listener.paused:
            self.listener.paused = False
            self.transport.poller.register(self.listener.descriptor)

    def _close_everything(self) -> None:
        self.stop_listening()
        if self.gossip is not None:
            self.gossip.close()
        self.transport.close_everything()
