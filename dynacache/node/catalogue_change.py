"""A change of the catalogue that waits until enough nodes hold it.

What: ``Change`` counts the acknowledgements of one push, ``Levels`` says when they are enough.

Invariant: the author hears exactly once. `one`: this node holds it. `quorum` (and `strict_quorum`): in every set of
owners of every partition that it may concern a write quorum holds it, so that every quorum read asks somebody who does:
the partitions of the replication factors of the namespaces that the change is about. `all`: every member
that is not gone. A change that misses its level is kept and spreads on: the error is an uncertain one.

An acknowledgement counts only from a node that holds our member table: else a node that gains a partition by a table
that we have not seen might be filled by one that lacks the change, and read without ever asking one that has it.
Whoever holds another table takes the change all the same, and is told again once the tables are equal.

Why sets of owners and not a majority of the members: an invalidation concerns keys of every partition, and what a read
at `quorum` must meet is one of the partition's own owners. With three copies any one node may be missing, and two
that own no partition together. A namespace of one copy needs every owner, and others do not wait for that.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from dynacache.coordination.tally import required_answers
from dynacache.errors import DynacacheError, TimedOut
from dynacache.events import ConnectionId, Message
from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberState
from dynacache.types import Level, NodeId

if TYPE_CHECKING:
    from dynacache.node.members import Members

__all__ = ["GONE", "Change", "Levels"]

GONE = frozenset({MemberState.LEFT, MemberState.REMOVED})
"""Members that are not told of anything any more."""
_RESEND_LIMIT = 16


@attrs.define(eq=False)
class Change:
    """A change made here that waits for its level."""

    levels: "Levels"
    level: int
    finished: Callable[[DynacacheError | None], None]
    waiting: dict[ConnectionId, NodeId]
    holders: set[NodeId]
    send: Callable[[tuple[ConnectionId, ...], "Change"], None]
    """Pushes the change to some connections."""
    factors: frozenset[int] = frozenset({0})
    """Replication factors of the namespaces concerned, 0 for the cluster's."""
    request_id: int = 0
    resends: int = 0
    is_over: bool = False

    def replied(self, connection: ConnectionId, message: Message) -> bool:
        """Count one that holds it."""
        node_id = self.waiting.pop(connection, None)
        if node_id is not None:
            self.holders.add(node_id)
        return self.step()

    def lost(self, connection: ConnectionId) -> bool:
        """A link ended."""
        return self.waiting.pop(connection, None) is not None and self.step()

    def slow(self) -> None:
        """Patience."""

    def refused(self, connection: ConnectionId) -> bool:
        """Tell a node again that held another member table; False when that has been tried often enough."""
        if connection not in self.waiting or self.resends >= _RESEND_LIMIT:
            return False
        self.resends += 1
        self.send((connection,), self)
        return True

    def overdue(self) -> None:
        """Time is over."""
        self.waiting.clear()
        self.step()

    def step(self) -> bool:
        """Tell the author when the level is reached or cannot be; True when nobody is waited for."""
        if not self.is_over:
            lacking = self.levels.lacking(self.level, self.holders, self.factors)
            if lacking is None:
                self._end(None)
            elif not self.waiting:
                level, count = Level(self.level).name.lower(), len(self.holders)
                some = ", ".join(lacking[:4])
                self._end(TimedOut(f"level {level}: {count} nodes hold the change, and not yet {some}; it spreads on"))
        return not self.waiting

    def _end(self, error: DynacacheError | None) -> None:
        self.is_over = True
        self.finished(error)


@attrs.define(eq=False)
class Levels:
    """Judges who holds a change against the members and owners of the moment."""

    members: "Members"
    _known: tuple[Placement | None, frozenset[int], frozenset[frozenset[NodeId]]] = (None, frozenset(), frozenset())

    def lacking(
        self, level: int, holders: set[NodeId], factors: frozenset[int] = frozenset({0})
    ) -> list[NodeId] | None:
        """Return None when the level is reached by these holders, else the members that lack the change, which is about
        namespaces of some replication factors (0: the cluster's)."""
        if level == Level.ONE:
            return None
        entries = self.members.table.entries.values()
        lacking = [each.node_id for each in entries if each.state not in GONE and each.node_id not in holders]
        if not lacking:
            return None
        if level == Level.ALL:
            return lacking
        missing = frozenset(lacking)
        for owners in self._owner_sets(factors):
            if len(owners - missing) < required_answers(Level.QUORUM, len(owners)):
                return lacking
        return None

    def _owner_sets(self, factors: frozenset[int]) -> frozenset[frozenset[NodeId]]:
        """Return every set of owners in which a write needs a quorum; looked through once for each placement."""
        placement = self.members.placement
        if self._known[0] is not placement or self._known[1] != factors:
            concerned = [each for each in placement.partitions if each.start // placement.partition_count in factors]
            sets = (owners for numbers in concerned for p in numbers for owners in placement.write_sets(p))
            self._known = (placement, factors, frozenset(map(frozenset, sets)))
        return self._known[2]
