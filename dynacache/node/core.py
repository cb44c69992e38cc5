"""One node, sans-IO: every core composed, one call a turn, dispatch by table.

What: ``handle`` takes everything that arrived in one turn of the loop and returns everything to do. It sets the turn's
time, takes inputs (connections, datagrams), then messages by connection, then whatever is due, and last starts the
groups and batches that the turn filled.

Invariant: the node acts only through the effects it returns, knows no clock but its arguments and no randomness but
the generator it was given; so the simulator and the server run the same node. Whatever bytes a connection carries, the
answer is an error message or a closed connection, never an exception.

Why a turn and not a request: many requests share one decode, one tally, one encode and one send (DESIGN sections 2, 3).
"""

from collections.abc import Callable, Sequence
from random import Random

from dynacache.config import Config
from dynacache.coordination.conditional import Conditional
from dynacache.coordination.counters import Counters
from dynacache.coordination.forward import Forwarder
from dynacache.coordination.gate import Gate
from dynacache.coordination.hint_replay import HintReplay
from dynacache.coordination.links import Links
from dynacache.coordination.operation_ids import OperationIds
from dynacache.coordination.read import Reader
from dynacache.coordination.read_batch import Asker
from dynacache.coordination.replica import Replica
from dynacache.coordination.routes import Routes
from dynacache.coordination.shared import Shared
from dynacache.coordination.sliding import Slider
from dynacache.coordination.touch_digests import TouchDigests
from dynacache.coordination.write import Writer
from dynacache.events import (
    Blocked,
    Connected,
    ConnectionId,
    DatagramReceived,
    Disconnected,
    Effects,
    Input,
    LoopLag,
    MemoryMeasured,
    Message,
    Received,
    StopRequested,
    Writable,
)
from dynacache.membership.birth import Birth
from dynacache.node.assembly import (
    closing_of,
    engine_of,
    invalidator_of,
    quarantine_of,
    retention_ms,
    swim_of,
    transfer_of,
)
from dynacache.node.catalogue_sync import CatalogueSync
from dynacache.node.cleaning import Cleaning
from dynacache.node.commands import Commands
from dynacache.node.members import Members
from dynacache.node.namespace_orders import NamespaceOrders
from dynacache.node.observed import Observed
from dynacache.node.peer_messages import Peer, PeerMessages
from dynacache.node.rehoming import Rehoming
from dynacache.node.repair_port import NodeRepairPort
from dynacache.node.reports import Reports
from dynacache.node.upkeep import Upkeep
from dynacache.placement.partitions import partition_shift
from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberTable
from dynacache.repair.exchange import Exchange
from dynacache.repair.hints import HintStore
from dynacache.repair.ring_change import RingChange
from dynacache.repair.sync_times import STALE_SHARE
from dynacache.types import Instant, NodeId, Role
from dynacache.versioning.actors import ActorIssuer
from dynacache.versioning.hybrid_clock import HybridClock
from dynacache.wire.messages import (
    FORWARD_REPLY,
    REPORT,
)

__all__ = ["Node"]

_TICK_S = 0.05
"""Housekeeping (links, hints, clean-up, operation ids) runs at most this often."""

_CLOCK_MOVED_MS = 50
"""When the wall clock has moved by more since the turn before, or back, it is held against the monotonic one."""

_IDLE_TICK_S = 0.5
"""Housekeeping runs at least this often, when nothing is known to be due earlier."""


class Node:
    """A node of the cluster.

    ``birth`` has had its outcome; ``table`` is the member table with this node's own entry; ``complete`` says whether
    this node's (empty) memory is complete, which is so for the founders' first start only.
    """

    def __init__(
        self,
        config: Config,
        node_id: NodeId,
        incarnation: int,
        birth: Birth,
        table: MemberTable,
        complete: bool,
        random: Random,
        now: Instant,
    ) -> None:
        self.config = config
        self.node_id = node_id
        settings = config.coordination
        self.engine = engine_of(config, table, random)
        self.hints = HintStore(config.hints)
        self.links = Links(settings)
        self.counters = Counters()
        clock = HybridClock(settings.max_clock_skew_ms)
        clock.tick(now.wall_ms)
        self.shared = shared = Shared(
            node_id=node_id,
            settings=settings,
            store=self.engine,
            hints=self.hints,
            clock=clock,
            issuer=ActorIssuer(incarnation),
            links=self.links,
            routes=Routes(node_id, Placement.from_table(table), self.links, self.engine),
            random=random,
            counters=self.counters,
            partition_shift=partition_shift(table.partition_count),
            stale_after_ms=int(config.storage.gc_grace_max_ms * STALE_SHARE),
            now_s=now.monotonic_s,
            now_ms=now.wall_ms,
            wall_ms=now.wall_ms,
        )
        self.members = Members(shared, table, swim_of(self, table, random), birth, random)
        self.operations = OperationIds(settings.operation_id_limit, settings.operation_id_lifetime_s)
        self.asker = Asker(shared)
        self.reader = Reader(shared, self.asker)
        self.writer = Writer(shared, self.operations)
        self.forwarder = Forwarder(shared)
        conditional = Conditional(shared, self.reader, self.writer)
        self.gate = Gate(shared, self.reader, self.writer, conditional, self.forwarder)
        self.replica = Replica(shared)
        self.replay = HintReplay(shared, config.hints, self.hints)
        self.repair_port = NodeRepairPort(shared, lambda: self.members.placement)
        self.catalogue_sync = CatalogueSync(shared, self.repair_port, self.members, incarnation)
        shared.catalogue_port = self.catalogue_sync
        self.namespaces = NamespaceOrders(shared, self.engine, self.members, retention_ms(config))
        self.rehoming = Rehoming(shared, self.engine)
        self.closing = closing_of(self)
        self.reports = Reports(self)
        self.gate.command = Commands(self).carry_out
        self.observed = Observed(shared, config.observability, self.engine)
        self.invalidator = invalidator_of(self)
        self.upkeep = Upkeep(shared, self.repair_port, self.members.refuse_stale)
        self.members.owners_changed = self._owners_changed
        self._add_repair_cores()
        if not complete:
            self._start_empty()
        self.quarantine = quarantine_of(self, now)
        self.peer_messages = PeerMessages(
            shared, self.members, self.replica, self.gate, self.upkeep, self.quarantine, self.catalogue_sync
        )
        self._peers: dict[ConnectionId, Peer] = {}
        self._started = False
        self._next_tick_s = now.monotonic_s
        self._on_input = self._input_table()

    def handle(self, now: Instant, received: Sequence[Received], inputs: Sequence[Input] = ()) -> Effects:
        """Take one turn's inputs and messages; return what to do. ``now`` never goes back on the monotonic clock."""
        shared = self.shared
        shared.effects = effects = Effects()
        shared.turn_reply_bytes = 0
        shared.now_s = now.monotonic_s
        clock = shared.clock
        if not 0 <= now.wall_ms - shared.wall_ms < _CLOCK_MOVED_MS and self.quarantine.look(now):
            self._next_tick_s = now.monotonic_s
        shared.wall_ms = now.wall_ms
        clock.tick(now.wall_ms + int(self.quarantine.watch.lead_ms) if shared.clock_safe else 0)
        shared.now_ms = clock.last >> 16
        if shared.now_ms >= self.exchange.stale_due_ms:
            self.exchange.mark_stale()
        if not self._started:
            self._started = True
            self.members.start(now)
        for each in inputs:
            self._on_input[type(each)](each, now)
        shared.routes.refresh()
        peers = self._peers
        for connection, messages in received:
            if connection in peers:
                self.peer_messages.serve(connection, peers[connection], messages, now)
            else:
                self._serve_client(connection, messages)
        self._act_on_time(now, bool(received))
        self.slider.flush()
        self.writer.flush()
        self.asker.flush()
        self.forwarder.flush()
        self.observed.end_turn()
        self.members.push_topology()
        self._wrap_forward_replies(effects)
        return effects

    def next_deadline(self) -> float:
        """Return the monotonic second at which ``handle`` must be called even if nothing arrives."""
        shared = self.shared
        return min(
            shared.deadlines.next_due(),
            shared.attention.next_due(),
            self.members.swim_due_s,
            self.cleaning.due_s,
            self._next_tick_s,
        )

    def statistics(self) -> dict[str, object]:
        """Return counters and gauges by name."""
        return self.reports.statistics()

    # Inputs

    def _connected(self, item: Input, now: Instant) -> None:
        assert isinstance(item, Connected)
        if item.role == Role.CLIENT:
            self.members.clients.add(item.connection)
            self.shared.effects.send(item.connection, self.members.topology_message())
            return
        node_id = item.node_id or ""
        self._peers[item.connection] = Peer(node_id, item.role, item.outbound)
        if item.outbound:
            bulk = item.role == Role.BULK
            self.links.connected(node_id, item.connection, bulk=bulk, now_s=now.monotonic_s)
            if not bulk:
                self.shared.effects.send(item.connection, self.members.table_message())
                self.members.links_changed()
                self.catalogue_sync.linked(node_id)

    def _disconnected(self, item: Input, now: Instant) -> None:
        assert isinstance(item, Disconnected)
        self.members.clients.discard(item.connection)
        self.observed.key_events.disconnected(item.connection)
        self._peers.pop(item.connection, None)
        if self.links.disconnected(item.connection) is None:
            return
        self.members.links_changed()
        self.shared.routes.refresh()
        pending = self.shared.pending
        for request_id, request in list(pending.items()):
            if request.lost(item.connection):
                pending.pop(request_id, None)

    def _blocked(self, item: Input, now: Instant) -> None:
        assert isinstance(item, Blocked)
        self.links.set_blocked(item.connection, True)

    def _writable(self, item: Input, now: Instant) -> None:
        assert isinstance(item, Writable)
        self.links.set_blocked(item.connection, False)

    def _datagram(self, item: Input, now: Instant) -> None:
        assert isinstance(item, DatagramReceived)
        self.members.handle_datagram(item.payload, item.address, now)

    def _loop_lag(self, item: Input, now: Instant) -> None:
        assert isinstance(item, LoopLag)
        self.members.note_loop_lag(item.seconds)

    def _stop_requested(self, item: Input, now: Instant) -> None:
        assert isinstance(item, StopRequested)
        self._next_tick_s = now.monotonic_s
        self.closing.stop(item.deadline_s)

    # Messages

    def _serve_client(self, connection: ConnectionId, messages: list[Message]) -> None:
        self.observed.sample(messages)
        if any(message[0] == REPORT for message in messages):
            reports = [message for message in messages if message[0] == REPORT]
            messages = [message for message in messages if message[0] != REPORT]
            for message in reports:
                self.reports.answer(connection, message)
        self.gate.serve(connection, messages)

    # Time

    def _act_on_time(self, now: Instant, busy: bool) -> None:
        shared = self.shared
        pending = shared.pending
        for request_id in shared.attention.due(now.monotonic_s):
            request = pending.get(request_id)
            if request is not None:
                request.slow()
        for request_id in shared.deadlines.due(now.monotonic_s):
            request = pending.pop(request_id, None)
            if request is not None:
                request.overdue()
        self.members.tick(now)
        is_tick = now.monotonic_s >= self._next_tick_s
        self.cleaning.act(is_tick, busy)
        if not is_tick:
            return
        self.links.tick(now.monotonic_s)
        self.operations.tick(now.monotonic_s)
        self.quarantine.tick(now)
        if shared.clock_safe and not self.closing.is_ending:
            self.replay.tick()
            self.upkeep.tick()
            self.catalogue_sync.tick()
            self.invalidator.tick()
            self.namespaces.tick()
            self.rehoming.tick()
        self.closing.tick(now)
        self.observed.tick()
        self._next_tick_s = now.monotonic_s + self._pause_s()

    def _pause_s(self) -> float:
        """Return how long housekeeping may rest: an idle node should cost nothing."""
        if self.closing.is_busy or self.rehoming.is_walking or self.hints.targets() or self.links.any_avoided():
            return _TICK_S
        due_s = min(self.upkeep.next_due_s(), self.catalogue_sync.next_due_s())
        pause_s = min(_IDLE_TICK_S, due_s - self.shared.now_s)
        pause_s = min(pause_s, self.quarantine.next_due_s() - self.shared.now_s)
        return max(_TICK_S, pause_s)

    def _start_empty(self) -> None:
        self.transfer.start_empty()
        self.shared.namespaces.is_known = not self.members.table.factors

    def begin_warming(self, reason: str) -> None:
        """Have everything this node owns filled anew from the other owners."""
        self.transfer.begin(self.members.placement.owned_by(self.node_id), reason)

    def _owners_changed(self, before: Placement, after: Placement) -> None:
        for factor, _ in after.table.factors:
            self.engine.add_factor(factor)
        self.upkeep.table_changed(before, after)
        self.replay.table_changed()

    # Parts

    def _input_table(self) -> dict[type, Callable[[Input, Instant], None]]:
        return {
            Connected: self._connected,
            Disconnected: self._disconnected,
            Blocked: self._blocked,
            Writable: self._writable,
            DatagramReceived: self._datagram,
            LoopLag: self._loop_lag,
            MemoryMeasured: self.cleaning.take,
            StopRequested: self._stop_requested,
        }

    def news(self, partition: int, key: bytes, record: bytes) -> bytes | None:
        """Let hints follow a record that repair brings, and return what of it this node has not seen superseded."""
        if self.hints.total_bytes:
            self.hints.refresh(key, record)
        return self.shared.not_superseded(partition, key, record)

    def _add_repair_cores(self) -> None:
        port, config, engine = self.repair_port, self.config, self.engine
        self.slider = Slider(self.shared, self.reader, self.writer)
        self.cleaning = Cleaning(self.shared, engine, config.memory, self.shared.now_s)
        self.transfer = transfer_of(self)
        self.members.place_learned = self.begin_warming
        self.exchange = exchange = Exchange(port, config.repair, engine, self.news, config.storage.gc_grace_max_ms)
        engine.confirmed = exchange.is_clean
        self.transfer.ended = exchange.synced
        self.ring = RingChange(
            port, self.members, config.cluster, engine, lambda: exchange.departing, self.closing.leave
        )
        touches = TouchDigests(self.shared, engine, lambda: self.members.placement)
        for name, core in (
            ("transfer", self.transfer),
            ("exchange", exchange),
            ("ring", self.ring),
            ("touch", touches),
        ):
            self.upkeep.add(name, core)

    def _wrap_forward_replies(self, effects: Effects) -> None:
        """Replies to forwarded requests were collected under the negative connection; send them as one message."""
        wrapped = [connection for connection in effects.sends if connection < 0]
        for connection in wrapped:
            replies = effects.sends.pop(connection)
            if -connection in self._peers:
                effects.send(-connection, (FORWARD_REPLY, self.shared.clock.last, replies))
