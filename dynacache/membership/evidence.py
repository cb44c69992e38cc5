"""What a node makes of a claim: the rules by which a view changes.

Every claim, from whichever packet or stream, goes through `Evidence.take`. One about this node is contradicted if it
is wrong; one about somebody else is kept if it is larger than what is held (see `state`), and then told on. Three
cases need care, each a known fault elsewhere:

- a claim that is larger but changes no state still raises the stored life, or a late ALIVE could undo a death;
- an ALIVE that is stale is answered with the accusation, to its sender and to the node itself, or a restarted cluster
  keeps live nodes buried in some views;
- an accusation that is stale is answered with the contradiction, or the one view that a refutation missed buries a
  live node and keeps it buried: a DEAD at once, a SUSPECT in the ACK if it came with a PING, which costs no packet;
- an accusation about a node not yet known is kept aside and told on once, and is applied when the node becomes known.

A claim about our own name at another address means two processes with one name: the one with the higher (generation,
address) keeps it, the other falls silent. Tables from streams carry old knowledge, so their DEAD is taken as SUSPECT,
which the accused can still contradict.

Invariant: the life held for a node never goes down (I3.1); only the node itself raises its incarnation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from dynacache.config.membership import MembershipConfig
from dynacache.membership.awareness import LocalHealth
from dynacache.membership.budget import Budget
from dynacache.membership.effects import NoteKind
from dynacache.membership.messages import encode_claim
from dynacache.membership.outbox import Outbox
from dynacache.membership.roster import Roster
from dynacache.membership.state import (
    GENERATION_LIMIT,
    INCARNATION_LIMIT,
    Address,
    Claim,
    Member,
    NodeState,
)
from dynacache.membership.suspicion import SuspicionTable

__all__ = ["Evidence"]


@attrs.define
class Evidence:
    """Applies claims to the roster; `on_live` is called with the id of each member that became live."""

    _config: MembershipConfig
    _roster: Roster
    _outbox: Outbox
    _health: LocalHealth
    _on_live: Callable[[str], None]
    suspicions: SuspicionTable
    hold_verdicts_until_s: float = -math.inf
    outdated: dict[str, None] = attrs.field(factory=dict)
    """Members that the datagram at hand suspects on old knowledge."""
    _pending: dict[str, Claim] = attrs.field(factory=dict)
    _answers: Budget = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._answers = Budget(self._config.answers_limit, self._config.gossip_interval_s)

    @property
    def pending_count(self) -> int:
        """Accusations kept about members that are not known."""
        return len(self._pending)

    def take_all(self, messages: Sequence[object], origin: Address) -> None:
        """Apply the claims among the messages of a datagram from `origin`, in their order."""
        self.outdated.clear()
        get = self._roster.get
        has_accused = self.suspicions.has_accused
        for claim in messages:
            if type(claim) is not Claim:
                continue
            member = claim.member
            # By far the most frequent case, first: what is known already. Records are remembered, so it is the same
            # object; and whoever confirms a suspicion has mostly been heard.
            if member is get(member.node_id) and (
                member.state is not NodeState.SUSPECT or has_accused(member.node_id, claim.source)
            ):
                continue
            self.take(claim, origin)

    def take(self, claim: Claim, origin: Address | None) -> None:
        """Apply a claim heard in a datagram from `origin`."""
        member = claim.member
        known = self._roster.get(member.node_id)
        if member.node_id == self._roster.own.node_id:
            self._about_self(member, origin)
            return
        if known is None:
            self._about_unknown(claim, origin)
            return
        key, known_key = member.order_key, known.order_key
        if key > known_key:
            self._adopt(claim, known)
        elif member.state is NodeState.SUSPECT and key == known_key:
            self._confirm(known, claim.source)
        elif member.state is NodeState.ALIVE:
            if known.state in _ACCUSED:
                self._answer(known, known.address, origin)
        elif known.state is NodeState.ALIVE and origin is not None:
            if member.state is NodeState.SUSPECT:
                self.outdated[member.node_id] = None
            elif member.state is NodeState.DEAD:
                self._answer(known, origin)

    def take_from_table(self, claim: Claim, sender_id: str) -> None:
        """Apply a claim from a member table that `sender_id` sent over a stream."""
        member = claim.member
        if member.node_id != self._roster.own.node_id:
            known = self._roster.get(member.node_id)
            if member.state is NodeState.DEAD and (known is None or known.state is not NodeState.DEAD):
                claim = Claim(member.in_state(NodeState.SUSPECT), sender_id)
            if known is None and claim.member.state is NodeState.SUSPECT:
                self._insert(claim, None)
                return
        self.take(claim, None)

    def accuse(self, member: Member) -> None:
        """This node's own probe of `member`, as it was when the probe began, failed."""
        self.take(Claim(member.in_state(NodeState.SUSPECT), self._roster.own.node_id), None)

    def accusation_against(self, node_id: str) -> bytes | None:
        """What speaks against a member that is not held ALIVE, encoded for the member itself; None if nothing does."""
        member = self._roster.get(node_id)
        if member is None or member.state is NodeState.ALIVE:
            return None
        return encode_claim(member, self.source_of(member))

    def corrections(self, room_bytes: int) -> list[bytes]:
        """What contradicts the old suspicions of the packet at hand, encoded, as far as it fits."""
        chosen: list[bytes] = []
        for node_id in self.outdated:
            member = self._roster.get(node_id)
            if member is None or member.state is not NodeState.ALIVE:
                continue
            encoded = encode_claim(member, node_id)
            room_bytes -= len(encoded)
            if room_bytes < 0 or len(chosen) >= _CORRECTIONS_LIMIT:
                break
            chosen.append(encoded)
        self._outbox.counters.corrections += len(chosen)
        return chosen

    def source_of(self, member: Member) -> str:
        """On whose word `member` is in its state: its own if ALIVE or LEFT, else ours if we are among the accusers."""
        if member.state is NodeState.ALIVE or member.state is NodeState.LEFT:
            return member.node_id
        own_id = self._roster.own.node_id
        return self.suspicions.source_of(member.node_id, own_id) or own_id

    def raise_own(
        self, above: Member | None = None, *, state: NodeState | None = None, stopped: bool = False
    ) -> Member:
        """A new record of this node that wins over the present one and over `above`; it is spread at once."""
        own = self._roster.own if state is None else self._roster.own.in_state(state, stopped=stopped)
        before = self._roster.own
        generation, incarnation = max(own.life, above.life) if above is not None else own.life
        if generation > own.generation or incarnation + 1 >= INCARNATION_LIMIT:
            generation, incarnation = min(generation + 1, GENERATION_LIMIT - 1), 0
        else:
            incarnation += 1
        raised = attrs.evolve(own, generation=generation, incarnation=incarnation)
        if raised.order_key <= before.order_key:
            return before
        self._roster.put(raised, self._outbox.now_s)
        self._outbox.spread(raised, raised.node_id)
        if (raised.generation, raised.state) != (before.generation, before.state):
            self._outbox.member_changed(raised, before.state)
        return raised

    def bury_due(self) -> list[str]:
        """Hold DEAD every member whose suspicion ran out, unless verdicts are held back; returns the ids of those for
        whom it is time for the last call."""
        now_s = self._outbox.now_s
        if now_s < self.hold_verdicts_until_s:
            return []
        called, expired = self.suspicions.due(now_s)
        for node_id in expired:
            member = self._roster.get(node_id)
            assert member is not None
            assert member.state is NodeState.SUSPECT
            self._outbox.counters.deaths_declared += 1
            self._adopt(Claim(member.in_state(NodeState.DEAD), self._roster.own.node_id), member)
        return called

    def next_deadline_s(self) -> float:
        """When `bury_due` has something to do."""
        due_s = self.suspicions.next_deadline_s()
        return max(self.hold_verdicts_until_s, due_s)

    def _adopt(self, claim: Claim, known: Member | None) -> None:
        member = claim.member
        self._roster.put(member, self._outbox.now_s)
        if member.state is NodeState.SUSPECT:
            self._outbox.counters.suspicions += 1
            self.suspicions.start(member.node_id, claim.source, self._outbox.now_s, self._roster.live_count)
        else:
            self.suspicions.cancel(member.node_id)
        self._outbox.spread(member, claim.source)
        if known is None or not known.is_live:
            if member.is_live:
                self._on_live(member.node_id)
        elif known.address != member.address and member.state is NodeState.ALIVE:
            self._answer(member, known.address)
        if known is None or member.state is not known.state or member.without_incarnation != known.without_incarnation:
            self._outbox.member_changed(member, None if known is None else known.state)

    def _confirm(self, known: Member, source: str) -> None:
        if self.suspicions.confirm(known.node_id, source):
            self._outbox.counters.confirmations += 1
            self._outbox.spread(known, source)

    def _answer(self, truth: Member, *addresses: Address | None) -> None:
        """Send what we hold straight to these addresses, within the budget of the gossip interval."""
        if not self._answers.spend(self._outbox.now_s):
            self._outbox.counters.stale_claims_unanswered += 1
            return
        self._outbox.counters.stale_claims_answered += 1
        encoded = encode_claim(truth, self.source_of(truth))
        for address in dict.fromkeys(addresses):
            if address is not None:
                self._outbox.send(address, [encoded])

    def _about_unknown(self, claim: Claim, origin: Address | None) -> None:
        if claim.member.state in _ACCUSED:
            self._keep_pending(claim)
            return
        self._insert(claim, origin)

    def _insert(self, claim: Claim, origin: Address | None) -> None:
        node_id = claim.member.node_id
        if self._roster.is_full:
            self._outbox.counters.members_refused += 1
            self._outbox.note(NoteKind.MEMBERS_LIMIT_REACHED, node_id)
            return
        self._adopt(claim, None)
        accusation = self._pending.pop(node_id, None)
        if accusation is not None and accusation.member.order_key > claim.member.order_key:
            self._adopt(accusation, claim.member)
            self._answer(accusation.member, accusation.member.address, origin)

    def _keep_pending(self, claim: Claim) -> None:
        node_id = claim.member.node_id
        held = self._pending.get(node_id)
        if held is not None and held.member.order_key >= claim.member.order_key:
            return
        if held is None and len(self._pending) >= self._config.pending_limit:
            del self._pending[next(iter(self._pending))]
            self._outbox.counters.accusations_pending_dropped += 1
        self._pending[node_id] = claim
        self._outbox.spread(claim.member, claim.source, once=True)

    def _about_self(self, member: Member, origin: Address | None) -> None:
        own = self._roster.own
        if member.address != own.address and member.is_live:
            self._about_namesake(member, origin)
        elif member.life < own.life:
            if member.state is not NodeState.ALIVE:
                self._answer(own, origin)
        elif member.order_key > own.order_key:
            self._refute(member)

    def _about_namesake(self, namesake: Member, origin: Address | None) -> None:
        own = self._roster.own
        if (namesake.generation, *namesake.address) > (own.generation, *own.address):
            self._outbox.lose_name(namesake)
            return
        if namesake.life >= own.life:
            self.raise_own(namesake)
        self._answer(self._roster.own, origin, namesake.address)

    def _refute(self, accusation: Member) -> None:
        self.raise_own(accusation)
        self._outbox.counters.refutations += 1
        if accusation.state in _ACCUSED:
            self._health.adjust(1)
        self._outbox.note(NoteKind.REFUTED, accusation.node_id, accusation.state.name)


_ACCUSED: Final = (NodeState.SUSPECT, NodeState.DEAD)
_CORRECTIONS_LIMIT: Final = 8
"""Contradictions in one ACK; what is left over is contradicted after a later ping, or when it becomes a DEAD."""
