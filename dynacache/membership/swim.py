"""SWIM with Lifeguard: which nodes are there, and how they fare, as one deterministic machine.

`Swim` joins the parts and owns the order of things; it holds no rules itself. Bytes come in by `handle_datagram`,
peer messages by `handle_stream`, time by `tick`; each returns the effects to carry out. The driver calls `tick` no
later than `next_deadline()`, looks that up again after every call, and hands over all waiting input before it calls
`tick`.

    datagram -> codec -> evidence (claims first, so that answers carry what they changed)
                      -> prober (pings and answers) -> outbox -> effects
    stream   -> messages -> evidence or exchange or prober -> outbox -> effects
    time     -> evidence (verdicts), prober, gossip, exchange -> outbox -> effects

A call that comes long after the deadline means that this process was held up. Then what others said may lie unread,
so verdicts wait for one probe period and local health takes note.

Liveness is not placement: nothing here adds or removes an owner of data. Invariants: I3.1 to I3.7 of the brief; no
input whatever raises. Sources: Das et al. (2002), Dadgar et al. (2017).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import attrs

from dynacache.config.membership import MembershipConfig
from dynacache.membership.awareness import LocalHealth
from dynacache.membership.datagram import DatagramCodec, Rejection
from dynacache.membership.effects import Effect, NoteKind
from dynacache.membership.evidence import Evidence
from dynacache.membership.exchange import TableExchange
from dynacache.membership.messages import (
    ACK,
    CLUSTER_ID_LIMIT_BYTES,
    Ack,
    Exchange,
    Nack,
    Ping,
    PingRequest,
    encode_claim,
    read_stream,
)
from dynacache.membership.outbox import Outbox
from dynacache.membership.prober import Prober
from dynacache.membership.probes import ProbeOrder, RoundTrips
from dynacache.membership.relays import RelayTable
from dynacache.membership.roster import Roster
from dynacache.membership.rumours import RumourQueue
from dynacache.membership.state import Address, Claim, Member, NodeState
from dynacache.membership.statistics import Counters, MembershipStatistics
from dynacache.membership.suspicion import SuspicionTable

__all__ = ["Swim"]

_GOSSIP_ALONE_FACTOR: Final = 5
"""Gossip rounds are this much rarer while there is nobody to tell."""


@attrs.define(init=False, eq=False)
class Swim:
    """The membership core of one node. Times: `now_s` monotonic seconds, `wall_ms` Unix milliseconds.

    `self_member` is this node's own ALIVE record, with a generation above that of every earlier life. Raises
    ValueError if it is not ALIVE, for a cluster id above 64 bytes, and for a bad keyring.
    """

    _config: MembershipConfig
    _random: random.Random
    _codec: DatagramCodec
    _roster: Roster
    _health: LocalHealth
    _outbox: Outbox
    _evidence: Evidence
    _prober: Prober
    _exchange: TableExchange
    _next_gossip_at_s: float
    _has_started: bool
    _deadline_s: float | None
    """The next deadline, once computed after a call; None until somebody asks."""

    def __init__(
        self,
        config: MembershipConfig,
        self_member: Member,
        random_source: random.Random,
        keyring: Sequence[bytes],
        cluster_id: bytes,
    ) -> None:
        if self_member.state is not NodeState.ALIVE:
            raise ValueError(f"a node starts ALIVE, got {self_member.state.name} for {self_member.node_id!r}")
        if len(cluster_id) > CLUSTER_ID_LIMIT_BYTES:
            raise ValueError(f"cluster id has {len(cluster_id)} bytes, at most {CLUSTER_ID_LIMIT_BYTES} are allowed")
        own_id = self_member.node_id
        self._config = config
        self._random = random_source
        self._codec = DatagramCodec(config, own_id, cluster_id)
        self._codec.set_keyring(keyring)
        self._roster = Roster(config, self_member)
        self._health = LocalHealth(config)
        self._outbox = Outbox(config, self._codec, self._roster, RumourQueue(own_id, config.rumours_limit), Counters())
        order = ProbeOrder(random_source)
        self._evidence = Evidence(config, self._roster, self._outbox, self._health, order.add, SuspicionTable(config))
        self._prober = Prober(
            config,
            random_source,
            self._roster,
            self._outbox,
            self._health,
            self._evidence,
            order,
            RoundTrips(config),
            RelayTable(config),
        )
        self._exchange = TableExchange(config, cluster_id, random_source, self._roster, self._outbox, self._evidence)
        self._next_gossip_at_s = 0.0
        self._has_started = False
        self._deadline_s = None
        self._outbox.spread(self_member, own_id)

    @property
    def own(self) -> Member:
        """This node's own record, as it tells it to others."""
        return self._roster.own

    @property
    def is_announced(self) -> bool:
        """True when what this node last said of itself has been sent as often as a rumour is, or nobody is there to
        hear it; after `stop` or `leave` it may go."""
        return self._roster.own.node_id not in self._outbox.rumours or not self._roster.contacts_count

    def members(self) -> list[Member]:
        """Every known member, this node included, by id."""
        return sorted(self._roster, key=_node_id)

    def member(self, node_id: str) -> Member | None:
        """What is held of that node, if anything."""
        return self._roster.get(node_id)

    def is_alive(self, node_id: str) -> bool:
        """True for ALIVE and SUSPECT members: whoever is not known to be down."""
        member = self._roster.get(node_id)
        return member is not None and member.is_live

    def set_ring_members(self, node_ids: Iterable[str]) -> None:
        """These members keep a place in the ring: they are never forgotten, and contacted for ever."""
        self._roster.set_ring(node_ids)

    def set_keyring(self, keyring: Sequence[bytes]) -> None:
        """Sign datagrams with the first key from now on, and accept any of them. Raises ValueError for a bad
        keyring."""
        self._codec.set_keyring(keyring)

    def note_loop_lag(self, lag_s: float) -> None:
        """Take in that the driver's own loop was late by so many seconds."""
        self._health.note_loop_lag(lag_s)

    def join(self, now_s: float, wall_ms: int, seeds: Iterable[Address | Member]) -> list[Effect]:
        """Contact these seeds, and keep asking until another live member is known. Raises ValueError above
        `seeds_limit`."""
        self._begin(now_s, wall_ms)
        self._exchange.join(seed.address if isinstance(seed, Member) else seed for seed in seeds)
        return self._end()

    def handle_datagram(self, now_s: float, wall_ms: int, payload: bytes, address: Address) -> list[Effect]:
        """Take in one datagram, whatever its bytes."""
        self._begin(now_s, wall_ms)
        counters = self._outbox.counters
        counters.datagrams_received += 1
        counters.bytes_received += len(payload)
        packet = self._codec.decode(payload, wall_ms)
        if isinstance(packet, Rejection):
            counters.rejections[packet] += 1
            kind = NoteKind.VERSION_REJECTED if packet is Rejection.VERSION else NoteKind.PACKET_REJECTED
            self._outbox.note(kind, f"{address[0]}:{address[1]}", packet.value)
            return self._end()
        counters.messages_skipped += packet.skipped
        self._evidence.take_all(packet.messages, address)
        if packet.sender_id != self._roster.own.node_id:
            for message in packet.messages:
                if type(message) is not Claim:
                    _ON_MESSAGE[type(message)](self._prober, message, packet.sender_id, address)
        return self._end()

    def handle_stream(self, now_s: float, wall_ms: int, sender: str, payload: object) -> list[Effect]:
        """Take in one peer message from the node `sender`, whatever it is."""
        self._begin(now_s, wall_ms)
        self._outbox.counters.streams_received += 1
        message = read_stream(payload, self._config.members_limit)
        if isinstance(message, Exchange):
            self._exchange.on_exchange(message, sender)
        elif isinstance(message, Ping):
            if message.target_id == self._roster.own.node_id:
                known = self._roster.get(sender)
                self._outbox.stream(sender, None if known is None else known.address, [ACK, message.sequence])
        elif isinstance(message, Ack):
            self._prober.on_stream_ack(message.sequence, sender)
        else:
            self._outbox.counters.streams_rejected += 1
            self._outbox.note(NoteKind.STREAM_REJECTED, sender, "no membership message")
        return self._end()

    def tick(self, now_s: float, wall_ms: int) -> list[Effect]:
        """Do everything that is due."""
        self._begin(now_s, wall_ms)
        called = self._evidence.bury_due()
        if called:
            self._prober.last_call(called)
        for node_id in self._roster.forget_due(now_s):
            self._outbox.note(NoteKind.MEMBER_FORGOTTEN, node_id)
        if self._roster.own.is_live:
            self._prober.tick()
            self._exchange.tick()
        self._gossip()
        return self._end()

    def next_deadline(self) -> float:
        """When `tick` must be called at the latest; -infinity before the first call, infinity once another took our
        name."""
        if not self._has_started:
            return -math.inf
        deadline_s = self._deadline_s
        if deadline_s is None:
            self._deadline_s = deadline_s = self._computed_deadline_s()
        return deadline_s

    def stop(self, now_s: float, wall_ms: int) -> list[Effect]:
        """Announce that this node stops and keeps its place; others treat it as down at once. Keep ticking until
        `is_announced`."""
        return self._announce_end(now_s, wall_ms, stopped=True)

    def leave(self, now_s: float, wall_ms: int) -> list[Effect]:
        """Announce that this node is gone for good; its place must have been given up before. Keep ticking until
        `is_announced`."""
        return self._announce_end(now_s, wall_ms, stopped=False)

    def statistics(self) -> MembershipStatistics:
        """Totals and gauges, as a copy. Costs time in proportion to the members."""
        counters = self._outbox.counters
        states = [member.state for member in self._roster]
        return MembershipStatistics(
            counters=attrs.evolve(counters, rejections=dict(counters.rejections)),
            alive=states.count(NodeState.ALIVE),
            suspect=states.count(NodeState.SUSPECT),
            dead=states.count(NodeState.DEAD),
            left=states.count(NodeState.LEFT),
            local_health=self._health.score,
            rumours=len(self._outbox.rumours),
            rumours_dropped=self._outbox.rumours.dropped,
            suspicions_running=len(self._evidence.suspicions),
            accusations_pending=self._evidence.pending_count,
            probe_timeout_s=self._prober.round_trips.timeout_s,
        )

    def _begin(self, now_s: float, wall_ms: int) -> None:
        self._outbox.begin(now_s, wall_ms)
        if not self._has_started:
            self._has_started = True
            self._prober.start(now_s)
            self._exchange.start(now_s)
            self._next_gossip_at_s = now_s
            return
        late_s = now_s - self.next_deadline()
        self._deadline_s = None
        if late_s > self._config.lag_alarm_s:
            self._outbox.counters.pauses += 1
            self._outbox.note(NoteKind.PAUSED, self._roster.own.node_id, f"{late_s:.3f} s late")
            self._health.note_loop_lag(late_s)
            self._evidence.hold_verdicts_until_s = now_s + self._config.probe_period_s
            self._prober.excuse_pause()

    def _computed_deadline_s(self) -> float:
        outbox, roster = self._outbox, self._roster
        if outbox.is_silenced:
            return math.inf
        deadline_s = min(
            self._evidence.next_deadline_s(),
            roster.next_forget_s(),
            self._next_gossip_at_s if outbox.rumours.is_waiting else math.inf,
        )
        if roster.own.is_live:
            return min(deadline_s, self._prober.next_deadline_s(), self._exchange.next_deadline_s())
        return deadline_s

    def _end(self) -> list[Effect]:
        # Gossip that became necessary in this call is due now, not since the last round: it must not look like a pause.
        self._next_gossip_at_s = max(self._next_gossip_at_s, self._outbox.now_s)
        return self._outbox.drain()

    def _gossip(self) -> None:
        now_s = self._outbox.now_s
        if now_s < self._next_gossip_at_s or not self._outbox.rumours.is_waiting:
            return
        targets = self._roster.draw(self._random, self._config.gossip_fanout, now_s)
        interval_s = self._config.gossip_interval_s
        self._next_gossip_at_s = now_s + (interval_s if targets else _GOSSIP_ALONE_FACTOR * interval_s)
        for target in targets:
            self._outbox.gossip(target.address)

    def _announce_end(self, now_s: float, wall_ms: int, *, stopped: bool) -> list[Effect]:
        self._begin(now_s, wall_ms)
        own = self._evidence.raise_own(state=NodeState.LEFT, stopped=stopped)
        # Told apart from the rumour, which is sent a bounded number of times, and may not reach everybody from here.
        announcement = encode_claim(own, own.node_id)
        for target in self._roster.draw(self._random, self._config.announce_limit, now_s):
            self._outbox.tell(target.address, announcement)
        return self._end()


def _node_id(member: Member) -> str:
    return member.node_id


def _on_ping(prober: Prober, message: Ping, sender_id: str, origin: Address) -> None:
    prober.on_ping(message.sequence, message.target_id, sender_id, origin)


def _on_ping_request(prober: Prober, message: PingRequest, sender_id: str, origin: Address) -> None:
    prober.on_ping_request(message, origin)


def _on_ack(prober: Prober, message: Ack, sender_id: str, origin: Address) -> None:
    prober.on_ack(message.sequence, sender_id)


def _on_nack(prober: Prober, message: Nack, sender_id: str, origin: Address) -> None:
    prober.on_nack(message.sequence, sender_id)


_ON_MESSAGE: Final[dict[type, Callable[..., None]]] = {
    Ping: _on_ping,
    PingRequest: _on_ping_request,
    Ack: _on_ack,
    Nack: _on_nack,
}
