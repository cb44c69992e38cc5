"""Whole member tables over TCP: joining, the regular exchange, and finding each other again after a split.

Gossip spreads news fast but may miss somebody; now and then two nodes therefore exchange all they know, and each
takes the other's table as claims (PUSH, answered by PULL). The same exchange lets a new node join through any one
seed, and lets the halves of a split cluster heal: each node contacts, for ever, a member of the ring or a seed that
it does not hold alive, with a probability that keeps the load low when few are down and certain when most are.

A node that has just started exchanges tables often and then ever more rarely: what was told around while others did
not know it yet has passed it by.

Invariants: a node that knows nobody else asks its seeds until one answers; members of the ring are never given up; a
table of another cluster is refused.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

import attrs

from dynacache.config.membership import MembershipConfig
from dynacache.membership.effects import NoteKind
from dynacache.membership.evidence import Evidence
from dynacache.membership.messages import Exchange, exchange_payload
from dynacache.membership.outbox import Outbox
from dynacache.membership.roster import Roster
from dynacache.membership.state import Address

__all__ = ["TableExchange"]

_SCALE_FROM_MEMBERS = 32
_SEEDS_AT_ONCE = 5


@attrs.define
class TableExchange:
    """Sends and answers whole tables, on time and on demand."""

    _config: MembershipConfig
    _cluster_id: bytes
    _random: random.Random
    _roster: Roster
    _outbox: Outbox
    _evidence: Evidence
    seeds: dict[Address, None] = attrs.field(factory=dict)
    _next_push_pull_at_s: float = math.inf
    _next_reconnect_at_s: float = math.inf
    _next_join_at_s: float = math.inf
    _join_wait_s: float = 0.0
    _push_pull_wait_s: float = 0.0

    def start(self, now_s: float) -> None:
        """Begin, at random moments within the intervals."""
        self._push_pull_wait_s = self._config.join_retry_s
        self._next_push_pull_at_s = now_s + self._push_pull_wait_s * (0.5 + self._random.random())
        self._next_reconnect_at_s = now_s + self._reconnect_wait_s()

    def join(self, seeds: Iterable[Address]) -> None:
        """Add these seeds and contact them; raises ValueError, changing nothing, above `seeds_limit`."""
        merged = self.seeds | dict.fromkeys(seeds)
        merged.pop(self._roster.own.address, None)
        if len(merged) > self._config.seeds_limit:
            raise ValueError(f"{len(merged)} seeds, at most {self._config.seeds_limit} are kept")
        self.seeds = merged
        self._join_wait_s = self._config.join_retry_s
        self._contact_seeds()

    def tick(self) -> None:
        """Do what is due."""
        now_s = self._outbox.now_s
        if now_s >= self._next_join_at_s:
            self._contact_seeds()
        if now_s >= self._next_push_pull_at_s:
            interval_s = self._config.push_pull_interval_s * self._scale()
            self._push_pull_wait_s = min(2 * self._push_pull_wait_s, interval_s)
            self._next_push_pull_at_s = now_s + self._push_pull_wait_s
            self._exchange_with_anyone()
        if now_s >= self._next_reconnect_at_s:
            self._next_reconnect_at_s = now_s + self._reconnect_wait_s()
            self._reconnect()

    def next_deadline_s(self) -> float:
        """When `tick` has something to do."""
        return min(self._next_push_pull_at_s, self._next_reconnect_at_s, self._next_join_at_s)

    def on_exchange(self, exchange: Exchange, sender_id: str) -> None:
        """Take the other's table; send ours if it was not an answer."""
        if exchange.cluster_id != self._cluster_id:
            self._outbox.counters.streams_rejected += 1
            self._outbox.note(NoteKind.STREAM_REJECTED, sender_id, "table of another cluster")
            return
        self._outbox.counters.exchanges += 1
        self._outbox.counters.messages_skipped += exchange.refused
        for claim in exchange.claims:
            self._evidence.take_from_table(claim, sender_id)
        if not exchange.is_answer:
            sender = self._roster.get(sender_id)
            self._send(sender_id, None if sender is None else sender.address, is_answer=True)

    def _contact_seeds(self) -> None:
        self._next_join_at_s = math.inf
        if not self.seeds or self._roster.live_count > 1:
            return
        seeds = list(self.seeds)
        for seed in self._random.sample(seeds, min(_SEEDS_AT_ONCE, len(seeds))):
            self._send(None, seed, is_answer=False)
        self._next_join_at_s = self._outbox.now_s + self._join_wait_s
        self._join_wait_s = min(2 * self._join_wait_s, self._config.reconnect_interval_s)

    def _exchange_with_anyone(self) -> None:
        for member in self._roster.draw_live(self._random, 1, self._outbox.now_s, lambda _: True):
            self._send(member.node_id, member.address, is_answer=False)

    def _reconnect(self) -> None:
        candidates: list[tuple[str | None, Address]] = [
            (member.node_id, member.address) for member in self._roster.down()
        ]
        candidates += [(None, seed) for seed in self.seeds if self._is_lost(seed)]
        if not candidates or self._random.random() * self._roster.live_count >= len(candidates):
            return
        node_id, address = candidates[self._random.randrange(len(candidates))]
        self._outbox.counters.reconnects += 1
        self._send(node_id, address, is_answer=False)

    def _is_lost(self, seed: Address) -> bool:
        member = self._roster.at(seed)
        return member is None

    def _send(self, node_id: str | None, address: Address | None, *, is_answer: bool) -> None:
        table = ((member, self._evidence.source_of(member)) for member in self._roster)
        self._outbox.stream(node_id, address, exchange_payload(self._cluster_id, table, is_answer=is_answer))

    def _reconnect_wait_s(self) -> float:
        return self._config.reconnect_interval_s * (0.8 + 0.4 * self._random.random())

    def _scale(self) -> int:
        members = self._roster.live_count
        return 1 if members <= _SCALE_FROM_MEMBERS else math.ceil(math.log2(members) - 5) + 1
