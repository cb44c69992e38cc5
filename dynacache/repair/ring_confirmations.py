"""Who is known to hold our member table: questions by FENCE, and what their answers prove.

What: ``Confirmations`` asks every member of the ring from time to time and remembers, for our own change and for each
removal under way, who has confirmed a table that holds it, and which partitions of each are not whole.

Invariant: a FENCED proves that the answerer held a table with our placement digest, and tables only grow: so whatever
stood in our table when we *asked* is known there for good. What was remembered for one state of an entry is forgotten
as soon as the entry says anything else.

Why FENCE and not gossip's word: a table that was sent may be lost or late; only an answer to a request that carries the
digest proves that requests with an older one are refused from now on (brief R4.6 to R4.8).
"""

from typing import Protocol

import attrs
from pyroaring import BitMap

from dynacache.events import ConnectionId, Message
from dynacache.placement.table import MemberEntry, MemberTable
from dynacache.repair.copy_state import pack_state, unpack_state
from dynacache.repair.ports import RepairPort
from dynacache.repair.ring_rules import IN_RING, blocking, removal_may_count, stalemate
from dynacache.types import NodeId
from dynacache.wire.messages import FENCE, FENCED

__all__ = ["ASK_INTERVAL_S", "Confirmations", "Copies"]

ASK_INTERVAL_S = 1.0
"""Pause between two questions to one member while something waits for its confirmation."""

_ASK_TIMEOUT_MS = 2_000


class Copies(Protocol):
    """This node's own partitions that are not whole: the store, as far as it matters here."""

    warming: BitMap
    stale: BitMap


@attrs.define(eq=False)
class _Question:
    """One FENCE under way, and what its answer will prove."""

    confirmations: "Confirmations"
    node_id: NodeId
    own: MemberEntry
    is_alone: bool
    removals: tuple[MemberEntry, ...]
    stalemate: tuple[MemberEntry, ...]

    def answered(self, message: Message) -> None:
        """Count the confirmation."""
        self.confirmations.answered(self, message)

    def failed(self) -> None:
        """No answer, or another table: it is asked again."""
        self.confirmations.asked.pop(self.node_id, None)


@attrs.define(eq=False)
class Confirmations:
    """What the other members are known to hold of our table. ``own`` is the entry of ours that it is about."""

    port: RepairPort
    own: MemberEntry
    claims: set[NodeId] = attrs.field(factory=set)
    """Who confirmed our change in a table without any other."""
    confirmed: set[NodeId] = attrs.field(factory=set)
    """Who confirmed our present entry."""
    incomplete: dict[NodeId, BitMap] = attrs.field(factory=dict)
    """The partitions that are not whole at each who confirmed our present entry, as it last said."""
    removals: dict[NodeId, tuple[MemberEntry, set[NodeId]]] = attrs.field(factory=dict)
    """By member that is being removed: the entry that is meant, and who confirmed it."""
    stalemate: tuple[MemberEntry, ...] = ()
    """The members of the ring, where nobody among them is left to decide anything (``ring_rules.stalemate``)."""
    stalled: set[NodeId] = attrs.field(factory=set)
    """Who confirmed just that."""
    asked: dict[NodeId, float] = attrs.field(factory=dict)
    """When each member was last asked, while its answer is awaited or young."""
    fences_sent: int = 0

    def follow(self, table: MemberTable) -> None:
        """Forget what was confirmed of entries that have changed, and count ourselves for what stands now."""
        node_id = self.port.node_id
        own = table.entries[node_id]
        if own != self.own:
            self.own = own
            self.claims.clear()
            self.confirmed.clear()
            self.incomplete.clear()
            self.asked.clear()
        self.confirmed.add(node_id)
        if not blocking(table, node_id):
            self.claims.add(node_id)
        removing = {entry.node_id: entry for entry in table.entries.values() if entry.removal in (1, 2)}
        kept = {name: each for name, each in self.removals.items() if removing.get(name) == each[0]}
        if len(kept) != len(removing):
            self.asked.clear()
        self.removals = {name: kept.get(name, (entry, set())) for name, entry in removing.items()}
        for entry, known in self.removals.values():
            if _counts(table, entry):
                known.add(node_id)
        stalled = stalemate(table) if removing else ()
        if stalled != self.stalemate:
            self.stalemate = stalled
            self.stalled = {node_id}

    def ask(self, table: MemberTable) -> None:
        """Ask every member of the ring that was not asked for a while."""
        port = self.port
        for entry in table.entries.values():
            name = entry.node_id
            if name == port.node_id or entry.state not in IN_RING or not port.is_up(name):
                continue
            if port.now_s - self.asked.get(name, float("-inf")) < ASK_INTERVAL_S:
                continue
            self.asked[name] = port.now_s
            self.fences_sent += 1
            removals = tuple(each for each, _ in self.removals.values() if _counts(table, each))
            question = _Question(self, name, self.own, not blocking(table, port.node_id), removals, self.stalemate)
            port.ask(name, FENCE, (port.digest,), question, _ASK_TIMEOUT_MS)

    def answered(self, question: _Question, message: Message) -> None:
        """Count an answer for what stood in our table when it was asked for; a malformed one counts for nothing."""
        try:
            warming, stale = unpack_state(message[3], self.port.placement.numbers_end)
        except (LookupError, TypeError, ValueError):
            return
        name = question.node_id
        if question.own == self.own:
            self.confirmed.add(name)
            self.incomplete[name] = warming | stale
            if question.is_alone:
                self.claims.add(name)
        for entry in question.removals:
            present = self.removals.get(entry.node_id)
            if present is not None and present[0] == entry:
                present[1].add(name)
        if question.stalemate == self.stalemate:
            self.stalled.add(name)

    def serve(self, connection: ConnectionId, message: Message, copies: Copies) -> None:
        """Answer a FENCE of a member whose table is ours."""
        state = pack_state(copies.warming, copies.stale)
        self.port.reply(connection, (FENCED, message[1], self.port.hybrid, state))


def _counts(table: MemberTable, entry: MemberEntry) -> bool:
    return entry.removal == 2 or removal_may_count(table, entry)
