"""The failure detector proper: one probe a period, with help from others before anybody is accused.

A probe goes through three steps: a direct ping; when the timeout passes, requests to k other members to ping the
target, and in parallel a ping over TCP, because a network that drops UDP alone should not bury anybody; at the end of
the period, an accusation if nothing came back. A ping to a member under suspicion carries the suspicion, so that it
can contradict at once; an answer to a member that we do not hold ALIVE carries what speaks against it, and any answer
carries what contradicts old suspicions that came with the ping. Period and timeout are stretched by local health.

Nobody is held dead unheard: at the last call (see `suspicion`) the accused and a few others are pinged with the
accusation, so that either the accused itself or whoever has heard its contradiction sets us right. And nobody stays
buried by mistake: every `reconnect_interval_s` one of those held down, in turn, is pinged with what speaks against
it.

When this process itself was held up, the probe under way gets one more timeout: its answer may lie unread in our
socket.

Invariants: one probe at a time; an accusation names the life that was probed, so one contradicted meanwhile has no
effect; O(1) per period, whatever the size of the cluster; last calls have a budget. Source: SWIM section 3.1 and 4,
Lifeguard section 3.1.
"""

from __future__ import annotations

import random

import attrs
import msgpack

from dynacache.config.membership import MembershipConfig
from dynacache.membership.awareness import LocalHealth
from dynacache.membership.budget import Budget
from dynacache.membership.effects import NoteKind
from dynacache.membership.evidence import Evidence
from dynacache.membership.messages import ACK, NACK, PING, PING_REQUEST, SEQUENCE_LIMIT, PingRequest
from dynacache.membership.outbox import Outbox
from dynacache.membership.probes import Probe, ProbeOrder, RoundTrips
from dynacache.membership.relays import Relay, RelayTable
from dynacache.membership.roster import Roster
from dynacache.membership.state import Address, Member, NodeState

__all__ = ["Prober"]


@attrs.define
class Prober:
    """Probes others, answers probes, and carries out probes for others."""

    _config: MembershipConfig
    _random: random.Random
    _roster: Roster
    _outbox: Outbox
    _health: LocalHealth
    _evidence: Evidence
    order: ProbeOrder
    round_trips: RoundTrips
    relays: RelayTable
    _probe: Probe | None = None
    _next_probe_at_s: float = 0.0
    _sequence: int = 0
    _calls: Budget = attrs.field(init=False)
    _next_reminder_at_s: float = 0.0
    _reminded: int = 0

    def __attrs_post_init__(self) -> None:
        self._calls = Budget(self._config.last_calls_limit, self._config.gossip_interval_s)

    def start(self, now_s: float) -> None:
        """Begin probing within the next period, at a random moment, so that nodes started together do not move in
        step."""
        self._next_probe_at_s = now_s + self._random.random() * self._config.probe_period_s
        self._sequence = self._random.randrange(SEQUENCE_LIMIT)
        self._next_reminder_at_s = self._next_probe_at_s + self._config.reconnect_interval_s

    def tick(self) -> None:
        """Do what is due."""
        now_s = self._outbox.now_s
        if now_s >= self._next_reminder_at_s:
            self._next_reminder_at_s = now_s + self._config.reconnect_interval_s
            self._remind()
        for relay in self.relays.due(now_s):
            self._outbox.send(relay.asker, [msgpack.packb([NACK, relay.asker_sequence])])
        probe = self._probe
        if probe is None:
            if now_s >= self._next_probe_at_s:
                self._begin()
        elif not probe.is_indirect:
            if now_s >= probe.indirect_at_s:
                self._ask_for_help(probe)
        elif now_s >= probe.ends_at_s:
            self._fail(probe)

    def next_deadline_s(self) -> float:
        """When `tick` has something to do."""
        own_s = self._next_probe_at_s if self._probe is None else self._probe.next_deadline_s
        return min(own_s, self.relays.next_deadline_s(), self._next_reminder_at_s)

    def last_call(self, node_ids: list[str]) -> None:
        """Ask once more about each of these, whom we are about to hold dead: themselves, and some others."""
        for node_id in node_ids:
            suspect = self._roster.get(node_id)
            accusation = self._evidence.accusation_against(node_id)
            if suspect is None or accusation is None:
                continue
            if not self._calls.spend(self._outbox.now_s):
                self._outbox.counters.last_calls_omitted += 1
                continue
            self._outbox.counters.last_calls += 1
            self._ping(node_id, suspect.address, self._next_sequence())
            witnesses = self._draw_live(self._config.indirect_probes, node_id)
            for witness in witnesses:
                ping = msgpack.packb([PING, self._next_sequence(), witness.node_id])
                self._outbox.send(witness.address, [ping, accusation])

    def excuse_pause(self) -> None:
        """This process was held up: give the probe under way one more timeout, once."""
        probe = self._probe
        if probe is None or probe.was_extended:
            return
        probe.was_extended = True
        grace_s = self._outbox.now_s + self._config.probe_timeout_s
        probe.indirect_at_s = max(probe.indirect_at_s, grace_s)
        probe.ends_at_s = max(probe.ends_at_s, grace_s + self._config.probe_timeout_s)

    def on_ping(self, sequence: int, target_id: str, sender_id: str, origin: Address) -> None:
        """Answer a ping, if it is for us."""
        if target_id != self._roster.own.node_id:
            return
        messages = [msgpack.packb([ACK, sequence])]
        accusation = self._evidence.accusation_against(sender_id)
        if accusation is not None:
            messages.append(accusation)
        if self._evidence.outdated:
            messages += self._evidence.corrections(self._outbox.room_bytes - sum(map(len, messages)))
        self._outbox.send(origin, messages)

    def on_ping_request(self, request: PingRequest, origin: Address) -> None:
        """Ping a member for another."""
        if self.relays.is_full:
            self._outbox.counters.relays_refused += 1
            self._outbox.send(origin, [msgpack.packb([NACK, request.sequence])])
            return
        self._outbox.counters.relayed += 1
        sequence = self._next_sequence()
        self.relays.add(sequence, Relay(origin, request.sequence, request.target_id), self._outbox.now_s)
        self._ping(request.target_id, (request.host, request.port), sequence)

    def on_ack(self, sequence: int, sender_id: str) -> None:
        """Take an answer, to our own probe or to one for another."""
        relay = self.relays.answered(sequence, sender_id)
        if relay is not None:
            self._outbox.send(relay.asker, [msgpack.packb([ACK, relay.asker_sequence])])
            return
        probe = self._probe
        if probe is None or probe.sequence != sequence:
            return
        if sender_id == probe.target.node_id:
            if not probe.is_indirect:
                self.round_trips.add(self._outbox.now_s - probe.started_at_s)
            self._succeed(probe)
        elif sender_id in probe.relays:
            self._succeed(probe)

    def on_stream_ack(self, sequence: int, sender_id: str) -> None:
        """Take an answer that came over TCP only."""
        probe = self._probe
        if probe is not None and probe.sequence == sequence and probe.target.node_id == sender_id:
            self._outbox.counters.probes_answered_by_stream_only += 1
            self._outbox.note(NoteKind.STREAM_ONLY, sender_id, "answers over TCP but not over UDP")
            self._succeed(probe)

    def on_nack(self, sequence: int, sender_id: str) -> None:
        """A relay is well, though the target did not answer it."""
        probe = self._probe
        if probe is not None and probe.sequence == sequence and sender_id in probe.relays:
            probe.relays[sender_id] = True

    def _begin(self) -> None:
        target_id = self.order.next(self._is_live)
        now_s = self._outbox.now_s
        period_s = self._config.probe_period_s * self._health.multiplier
        if target_id is None:
            self._next_probe_at_s = now_s + period_s
            return
        target = self._roster.get(target_id)
        assert target is not None
        timeout_s = self.round_trips.timeout_s * self._health.multiplier
        self._probe = Probe(target, self._next_sequence(), now_s, now_s + timeout_s, now_s + period_s)
        self._outbox.counters.probes += 1
        self._ping(target_id, target.address, self._probe.sequence)

    def _ask_for_help(self, probe: Probe) -> None:
        probe.is_indirect = True
        target = probe.target
        request = msgpack.packb([PING_REQUEST, probe.sequence, target.node_id, target.host, target.port])
        for helper in self._draw_live(self._config.indirect_probes, target.node_id):
            probe.relays[helper.node_id] = False
            self._outbox.counters.indirect_probes += 1
            self._outbox.send(helper.address, [request])
        self._outbox.stream(target.node_id, target.address, [PING, probe.sequence, target.node_id])

    def _succeed(self, probe: Probe) -> None:
        self._health.adjust(-1)
        self._finish(probe)

    def _fail(self, probe: Probe) -> None:
        counters = self._outbox.counters
        counters.probes_failed += 1
        counters.nacks_missed += probe.missing_nacks
        self._health.adjust(1 + probe.missing_nacks)
        self._finish(probe)
        self._outbox.note(NoteKind.PROBE_FAILED, probe.target.node_id)
        self._evidence.accuse(probe.target)

    def _finish(self, probe: Probe) -> None:
        period_s = self._config.probe_period_s * self._health.multiplier
        self._next_probe_at_s = max(self._outbox.now_s, probe.started_at_s + period_s)
        self._probe = None

    def _ping(self, target_id: str, address: Address, sequence: int) -> None:
        messages = [msgpack.packb([PING, sequence, target_id])]
        known = self._roster.get(target_id)
        if known is not None and known.state is not NodeState.ALIVE:
            accusation = self._evidence.accusation_against(target_id)
            assert accusation is not None
            messages.append(accusation)
        self._outbox.send(address, messages)

    def _remind(self) -> None:
        down = self._roster.down()
        if not down:
            return
        self._reminded += 1
        member = down[self._reminded % len(down)]
        self._outbox.counters.reminders += 1
        self._ping(member.node_id, member.address, self._next_sequence())

    def _draw_live(self, count: int, except_id: str) -> list[Member]:
        return self._roster.draw_live(
            self._random, count, self._outbox.now_s, lambda member: member.node_id != except_id
        )

    def _is_live(self, node_id: str) -> bool:
        member: Member | None = self._roster.get(node_id)
        return member is not None and member.is_live

    def _next_sequence(self) -> int:
        self._sequence = (self._sequence + 1) % SEQUENCE_LIMIT
        return self._sequence
