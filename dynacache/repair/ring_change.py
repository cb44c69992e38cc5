"""A node's own change of place: it joins, it leaves, it comes back after it was removed.

What: a machine over the state of our own entry, one step a look::

    OUTSIDE  --asked to join, nobody else changes-->  JOINING   owner in New only; what it gains is being filled
    JOINING  --all is filled, a majority knows------>  SETTLING  read; the node it displaces still counts in Old
    SETTLING --enough of Old know------------------->  NORMAL
    NORMAL   --asked to leave, nobody else changes-->  LEAVING   not in New; others fill what they gain
    LEAVING  --they have, a majority knows---------->  RETIRING  read no more, still counts in Old
    RETIRING --enough of Old know------------------->  LEFT      hands over what only it may hold, and ends
    REMOVED  --its data handed over----------------->  OUTSIDE   in a new place, and joins again

Invariant: only the node itself writes these, each a version above the last; a restart goes on where the entry stands. A
step is taken only from our present table and from confirmations of our present entry. JOINING and LEAVING make way for
a removal, for a change that is in effect, and for the node with the lower (generation, id): they go back, rest, and try
again.

Why a removed node joins again by itself: it was cut off, not switched off, and has its memory and its clients still; it
gives what it took meanwhile to those who own it now and starts over. A process that was restarted after its removal
joins only if it is told to (``cluster.join``). Brief R4.5 to R4.12; model: ``sim.ring``.
"""

from collections.abc import Callable, Mapping

import attrs
from pyroaring import BitMap

from dynacache.config.cluster import ClusterConfig
from dynacache.errors import InvalidRequest
from dynacache.events import ConnectionId, Message
from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberEntry, MemberState
from dynacache.repair.ports import Handler, RepairPort
from dynacache.repair.ring_confirmations import Confirmations, Copies
from dynacache.repair.ring_removal import Removals, Ring
from dynacache.repair.ring_rules import (
    TRANSITIONS,
    blocking,
    enough_know,
    has_majority,
    sets_of,
    voters,
    witnesses,
    yields_to,
)
from dynacache.types import NodeId
from dynacache.wire.messages import FENCE

__all__ = ["HANDOVER_LIMIT_S", "RingChange"]

HANDOVER_LIMIT_S = 600.0
"""A node that left or was removed waits at most this long for the owners to take what only it may hold."""

_WATCH_S = 0.5


def _no_partitions() -> BitMap:
    return BitMap()


@attrs.define(eq=False)
class RingChange:
    """The ring core of one node. ``copies``: our own partitions that are not whole; ``departing``: those that we own no
    longer and have not handed over yet; ``left`` is called once when this node may end."""

    port: RepairPort
    ring: Ring
    settings: ClusterConfig
    copies: Copies
    departing: Callable[[], BitMap] = _no_partitions
    left: Callable[[], None] = lambda: None
    removals: Removals = attrs.field(init=False)
    confirmations: Confirmations = attrs.field(init=False)
    changes: int = 0
    """Steps that this node took."""
    steps_back: int = 0
    _wants: MemberState | None = attrs.field(init=False, default=None)
    """JOINING or LEAVING, until it has begun and cannot be taken back."""
    _rest_until_s: float = attrs.field(init=False, default=float("-inf"))
    _gone_since_s: float | None = attrs.field(init=False, default=None)
    _has_ended: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self.confirmations = Confirmations(self.port, self._own)
        self.removals = Removals(self.port, self.ring, self.settings, self.confirmations)
        if self.settings.join and self._own.state is MemberState.OUTSIDE:
            self._wants = MemberState.JOINING

    @property
    def handlers(self) -> Mapping[int, Handler]:
        """What this core answers."""
        return {FENCE: self._serve_fence}

    # What an operator asks for; the answer comes at once, the change takes its time

    def request_join(self) -> None:
        """Become an owner. Raises ``InvalidRequest`` for a node that leaves; again for a member changes nothing."""
        state = self._own.state
        if state in (MemberState.LEAVING, MemberState.RETIRING, MemberState.LEFT):
            raise InvalidRequest(f"join: {self.port.node_id} is {state.name}, expected a node without a place")
        if state is MemberState.OUTSIDE:
            self._wants = MemberState.JOINING

    def request_leave(self) -> None:
        """Give the place up, hand over, and end. Raises ``InvalidRequest`` where nobody would be left to take over."""
        state = self._own.state
        if state is MemberState.OUTSIDE:
            self._wants = None
            raise InvalidRequest(f"leave: {self.port.node_id} has no place to give up; stop it instead")
        if self._is_last():
            raise InvalidRequest("leave: this is the last member; what it holds would be lost")
        self._wants = MemberState.LEAVING

    def request_remove(self, node_id: NodeId) -> None:
        """Remove a member that is held dead. Raises ``InvalidRequest`` naming what stands against it."""
        self.removals.request(node_id)

    def progress(self) -> dict[str, object]:
        """Return what this node's change has come to, and what it waits for."""
        own = self._own
        return {
            "state": own.state.name.lower(),
            "wants": None if self._wants is None else self._wants.name.lower(),
            "waiting_for": self._waiting_for(own),
            "removals": {name: entry.state.name.lower() for name, (entry, _) in self.confirmations.removals.items()},
        }

    # What drives it

    def tick(self) -> None:
        """Look at the table, ask for confirmations, and take the steps that are due."""
        self.confirmations.follow(self.ring.table)
        self.removals.tick()
        self._step()
        self.confirmations.follow(self.ring.table)
        if self._own.state in TRANSITIONS or self.confirmations.removals:
            self.confirmations.ask(self.ring.table)

    def next_due_s(self) -> float:
        """Return when to look again."""
        busy = self._wants is not None or self._own.state in TRANSITIONS or self.confirmations.removals
        return self.port.now_s + (_WATCH_S / 5 if busy else _WATCH_S)

    def table_changed(self, before: Placement, after: Placement) -> None:
        """Ask again at once: what was asked under another table was refused."""
        self.confirmations.asked.clear()

    def statistics(self) -> Mapping[str, object]:
        """Return counters and gauges."""
        return {
            "changes": self.changes,
            "steps_back": self.steps_back,
            "removals_begun": self.removals.begun,
            "removals_finished": self.removals.finished,
            "fences_sent": self.confirmations.fences_sent,
        }

    # The steps

    @property
    def _own(self) -> MemberEntry:
        return self.ring.table.entries[self.port.node_id]

    def _is_last(self) -> bool:
        return all(name == self.port.node_id for name in voters(self.ring.table))

    def _step(self) -> None:
        own = self._own
        if own.state in (MemberState.LEFT, MemberState.REMOVED):
            self._end_of_place(own)
        elif own.removal:
            return  # others decide; what was asked for is taken up in the next place
        elif own.state is MemberState.NORMAL and self._wants is MemberState.LEAVING and self._is_last():
            self._wants = None  # whoever was there when it was asked for has gone first
            self.port.note("ring.leave_given_up", "warning")
        elif own.state in (MemberState.JOINING, MemberState.LEAVING) and self._makes_way(own):
            return
        elif self._reason_to_wait(own) is None:
            following = _FOLLOWING.get(own.state)
            if following is not None:
                self._write(own, following)

    def _reason_to_wait(self, own: MemberEntry) -> str | None:
        """Return what the next step of ``own`` waits for, None if it is due."""
        wait = {
            MemberState.OUTSIDE: self._why_not_begin,
            MemberState.NORMAL: self._why_not_begin,
            MemberState.JOINING: self._why_not_settle,
            MemberState.SETTLING: self._why_not_normal,
            MemberState.LEAVING: self._why_not_retire,
            MemberState.RETIRING: self._why_not_old,
        }.get(own.state)
        return "nothing" if wait is None else wait(own)

    def _why_not_begin(self, own: MemberEntry) -> str | None:
        if self._wants is not _FOLLOWING[own.state]:
            return "nothing"
        others = blocking(self.ring.table, own.node_id)
        if others:
            return "the change of " + ", ".join(f"{each.node_id} ({_shown(each)})" for each in others)
        if self.port.now_s < self._rest_until_s:
            return f"a rest of {self._rest_until_s - self.port.now_s:.1f} s between two changes"
        return None

    def _why_not_settle(self, own: MemberEntry) -> str | None:
        left = self.copies.warming & self.port.placement.owned_by(own.node_id)
        if left:
            return f"{len(left)} partitions to be filled"
        return self._why_not_known(own)

    def _why_not_known(self, own: MemberEntry) -> str | None:
        """A majority must know of the change, and of no other."""
        table = self.ring.table
        others = blocking(table, own.node_id)
        if others:
            return f"the change of {others[0].node_id} ({_shown(others[0])})"
        voting = voters(table)
        if not has_majority(self.confirmations.claims, voting):
            missing = [name for name in voting if name not in self.confirmations.claims]
            return f"more than half of the members to confirm; not yet: {', '.join(missing)}"
        return None

    def _why_not_normal(self, own: MemberEntry) -> str | None:
        left = self.copies.warming & self.port.placement.owned_by(own.node_id)
        return f"{len(left)} partitions to be filled" if left else self._why_not_old(own)

    def _why_not_old(self, own: MemberEntry) -> str | None:
        """So many of Old must know that the rest of them can form no quorum."""
        sets = sets_of(self.port.placement, own.node_id)
        if enough_know(sets, self.confirmations.confirmed):
            return None
        missing = {name for old in sets for name in old} - self.confirmations.confirmed
        return f"the owners before to confirm; not yet: {', '.join(sorted(missing))}"

    def _why_not_retire(self, own: MemberEntry) -> str | None:
        """Whoever gains a partition must have filled it; then a majority must know."""
        placement, incomplete = self.port.placement, self.confirmations.incomplete
        waiting: dict[NodeId, int] = {}
        for partition in placement.owned_by(own.node_id):
            old, new = placement.old(partition), placement.new(partition)
            whole = [name for name in new if name in incomplete and partition not in incomplete[name]]
            lacking = [name for name in new if name not in old and name not in whole]
            if not lacking and len(whole) < witnesses(placement.factor_of(partition), len(new)):
                lacking = [name for name in new if name not in whole]
            for name in lacking:
                waiting[name] = waiting.get(name, 0) + 1
        if waiting:
            return "partitions to be filled: " + ", ".join(f"{name} {count}" for name, count in sorted(waiting.items()))
        return self._why_not_known(own)

    def _makes_way(self, own: MemberEntry) -> bool:
        """Go back if another's change goes first, and try again after a rest."""
        other = yields_to(self.ring.table, own)
        if other is None:
            return False
        self._wants = own.state
        self.steps_back += 1
        rest_s = self.settings.change_interval_s
        self._rest_until_s = self.port.now_s + rest_s * (1 + self.port.random.random())
        self.port.note("ring.made_way", node=other.node_id, change=_shown(other))
        self._write(own, MemberState.OUTSIDE if own.state is MemberState.JOINING else MemberState.NORMAL)
        return True

    def _end_of_place(self, own: MemberEntry) -> None:
        """Wait until all is handed over; then end, or take a new place."""
        now_s = self.port.now_s
        if self._gone_since_s is None:
            self._gone_since_s = now_s
            self.port.note(f"ring.own_place_{own.state.name.lower()}", "warning", partitions=len(self.departing()))
        late = now_s - self._gone_since_s >= HANDOVER_LIMIT_S
        if self.departing() and not late:
            return
        if late:
            self.port.note("ring.not_handed_over", "error", partitions=len(self.departing()))
        if own.state is MemberState.LEFT:
            if not self._has_ended:
                self._has_ended = True
                self.left()
            return
        self._gone_since_s = None
        self._wants = MemberState.JOINING
        self._rest_until_s = now_s + self.settings.change_interval_s * self.port.random.random()
        outside = attrs.evolve(own, state=MemberState.OUTSIDE, removed_from=None, place=own.place + 1)
        self._put(attrs.evolve(outside, version=own.version + 1))

    def _write(self, own: MemberEntry, state: MemberState) -> None:
        if state is self._wants and state in (MemberState.JOINING, MemberState.LEAVING):
            self._wants = None
        if state is MemberState.NORMAL and own.state is MemberState.SETTLING:
            self._rest_until_s = self.port.now_s + self.settings.change_interval_s
        self._put(attrs.evolve(own, state=state, version=own.version + 1))

    def _put(self, entry: MemberEntry) -> None:
        self.changes += 1
        self.port.note("ring.changed", state=entry.state.name.lower(), version=entry.version)
        self.ring.write_entry(entry)

    def _waiting_for(self, own: MemberEntry) -> str:
        if own.state in (MemberState.LEFT, MemberState.REMOVED):
            return f"{len(self.departing())} partitions to be handed over"
        if own.removal:
            return "its own removal by others"
        return self._reason_to_wait(own) or ""

    def _serve_fence(self, connection: ConnectionId, node_id: NodeId, message: Message) -> None:
        self.confirmations.serve(connection, message, self.copies)


_FOLLOWING = {
    MemberState.OUTSIDE: MemberState.JOINING,
    MemberState.JOINING: MemberState.SETTLING,
    MemberState.SETTLING: MemberState.NORMAL,
    MemberState.NORMAL: MemberState.LEAVING,
    MemberState.LEAVING: MemberState.RETIRING,
    MemberState.RETIRING: MemberState.LEFT,
}


def _shown(entry: MemberEntry) -> str:
    return "condemned" if entry.removal == 1 else entry.state.name
