"""Removing members that are dead: by an operator, or by itself after a time.

What: ``Removals`` condemns a member that is held dead, and brings every removal that stands in the table to its end,
whoever began it: condemned, then REMOVING once more than half of the other voters know of it and of nothing in its way,
then REMOVED once the rest of Old can form no quorum any more.

Invariant: nobody is removed who is not held dead when it is condemned. Between condemned and REMOVED each step is
written by whoever sees that it is due; since all write the same, it does not matter who does, or how many.

Why not REMOVED at once, as gossip would allow: the member may be merely cut off, together with an owner and a reader
that know nothing of it; written with its place already given away, a value would be missed by them. With its share of
every quorum kept until enough owners know, it is not (model: ``removed_at_once``, ``early_removed``). Why a JOINING or
SETTLING member that dies is removed too: it would hold up every other change; a LEAVING one wanted to go anyway.

Two sides of a cut may condemn each other until nobody is left to vote. Nothing can move then, so when all members of
the ring have confirmed just that, and are therefore alive, the one whose removal has come the least far takes itself
back, by a new place, and decides on the others alone; who is removed so comes back as any member does.
"""

from typing import Protocol

import attrs

from dynacache.config.cluster import ClusterConfig
from dynacache.errors import InvalidRequest
from dynacache.placement.table import MemberEntry, MemberState, MemberTable
from dynacache.repair.ports import RepairPort
from dynacache.repair.ring_confirmations import Confirmations
from dynacache.repair.ring_rules import (
    IN_RING,
    TRANSITIONS,
    blocking,
    enough_know,
    has_majority,
    reprieved,
    sets_of,
    voters,
)
from dynacache.types import NodeId

__all__ = ["Removals", "Ring"]

_STAND_IN_S = 5.0
"""A removal that stays as it is for so long is carried on by any voter, not only by the first live one."""


class Ring(Protocol):
    """The member table and the liveness of its members, as the node holds them."""

    @property
    def table(self) -> MemberTable:
        """The present table."""
        ...

    def write_entry(self, entry: MemberEntry) -> None:
        """Merge an entry into the table and tell everyone."""
        ...

    def liveness(self, node_id: NodeId) -> str:
        """Return "alive", "suspect", "dead" or "stopped"."""
        ...


@attrs.define(eq=False)
class Removals:
    """The removals of one node's view of the ring."""

    port: RepairPort
    ring: Ring
    settings: ClusterConfig
    confirmations: Confirmations
    begun: int = 0
    finished: int = 0
    _down_since_s: dict[NodeId, float] = attrs.field(factory=dict)
    _unchanged_since: dict[NodeId, tuple[MemberEntry, float]] = attrs.field(factory=dict)

    def request(self, node_id: NodeId) -> None:
        """Begin to remove a member that is held dead; again for one that is being removed changes nothing.

        Raises ``InvalidRequest`` naming what stands against it.
        """
        entry = self.ring.table.entries.get(node_id)
        if entry is None:
            raise InvalidRequest(f"remove: got {node_id!r}, expected one of {', '.join(self.ring.table.entries)}")
        if entry.removal:
            return
        if entry.state not in IN_RING:
            raise InvalidRequest(f"remove: {node_id} has no place to lose, it is {entry.state.name}")
        liveness = self.ring.liveness(node_id)
        if node_id == self.port.node_id or liveness not in ("dead", "stopped"):
            raise InvalidRequest(f"remove: {node_id} is {liveness}, only a dead or stopped member can be removed")
        if voters(self.ring.table) == [node_id]:
            raise InvalidRequest(f"remove: {node_id} is the last member with a place, nobody could take over from it")
        self._condemn(entry, "asked for")

    def down_for_s(self, node_id: NodeId) -> float:
        """Return for how many seconds this node has held a member dead or stopped, 0.0 if it does not."""
        return self.port.now_s - self._down_since_s.get(node_id, self.port.now_s)

    def tick(self) -> None:
        """Note who is down, condemn who has been for long enough, and carry removals on."""
        table = self.ring.table
        self._watch(table)
        leader = self._leads(table)
        if leader and (self.settings.auto_remove_after_s or self.settings.join_undo_after_s):
            self._condemn_overdue(table)
        for node_id, (entry, known) in list(self.confirmations.removals.items()):
            if node_id != self.port.node_id and (leader or self._is_left_lying(entry)):
                self._carry_on(entry, known)
        self._end_stalemate()

    def _end_stalemate(self) -> None:
        """Take ourselves back where all are condemned, all know it, and it falls to us."""
        members = self.confirmations.stalemate
        if not members or not self.confirmations.stalled.issuperset(entry.node_id for entry in members):
            return
        entry = reprieved(members)
        if entry.node_id == self.port.node_id:
            self.port.note("ring.reprieved", "warning", removal=entry.removal)
            freed = attrs.evolve(entry.at_removal(0), place=entry.place + 1, version=entry.version + 1)
            self.ring.write_entry(freed)

    def _watch(self, table: MemberTable) -> None:
        now_s = self.port.now_s
        down = [
            entry.node_id
            for entry in table.entries.values()
            if entry.state in IN_RING and self._is_down(entry.node_id) and entry.node_id != self.port.node_id
        ]
        self._down_since_s = {node_id: self._down_since_s.get(node_id, now_s) for node_id in down}
        for node_id, (entry, _) in self.confirmations.removals.items():
            if self._unchanged_since.get(node_id, (None, 0.0))[0] != entry:
                self._unchanged_since[node_id] = (entry, now_s)
        for node_id in [node_id for node_id in self._unchanged_since if node_id not in self.confirmations.removals]:
            del self._unchanged_since[node_id]

    def _is_down(self, node_id: NodeId) -> bool:
        return self.ring.liveness(node_id) in ("dead", "stopped")

    def _leads(self, table: MemberTable) -> bool:
        """Tell whether this node is the first of the voters that it holds alive."""
        live = (node_id for node_id in voters(table) if node_id == self.port.node_id or not self._is_down(node_id))
        return next(live, None) == self.port.node_id

    def _is_left_lying(self, entry: MemberEntry) -> bool:
        since_s = self._unchanged_since[entry.node_id][1]
        return self.port.now_s - since_s >= _STAND_IN_S and self.port.node_id in voters(self.ring.table)

    def _condemn_overdue(self, table: MemberTable) -> None:
        """By itself: only where more than half of the voters are alive, so that a minority never removes the rest."""
        voting = voters(table)
        if not has_majority([node_id for node_id in voting if node_id not in self._down_since_s], voting):
            return
        for node_id, since_s in sorted(self._down_since_s.items()):
            entry = table.entries[node_id]
            changing = entry.state in TRANSITIONS
            after_s = self.settings.join_undo_after_s if changing else self.settings.auto_remove_after_s
            if entry.removal or not after_s or self.port.now_s - since_s < after_s:
                continue
            if changing or not blocking(table, node_id):
                self._condemn(entry, f"down for {after_s:.0f} s")
                return

    def _condemn(self, entry: MemberEntry, reason: str) -> None:
        self.begun += 1
        state = entry.state.name.lower()
        self.port.note("ring.condemned", "warning", node=entry.node_id, state=state, reason=reason)
        self.ring.write_entry(entry.at_removal(1))

    def _carry_on(self, entry: MemberEntry, known: set[NodeId]) -> None:
        """Write the next level of a removal if enough know of this one."""
        if entry.removal == 1:
            if not has_majority(known, voters(self.ring.table)):
                return
        elif not enough_know(self._old_sets(entry), known):
            return
        following = entry.at_removal(entry.removal + 1)
        self.finished += following.state is MemberState.REMOVED
        self.port.note(f"ring.{following.state.name.lower()}", "warning", node=entry.node_id)
        self.ring.write_entry(following)

    def _old_sets(self, entry: MemberEntry) -> list[tuple[NodeId, ...]]:
        return sets_of(self.port.placement, entry.node_id)
