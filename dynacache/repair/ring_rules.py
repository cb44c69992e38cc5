"""The rules of ring changes, as pure functions of a member table.

What: who stands in the way of whom, whose change goes first, how many must know of a change before it takes effect,
and what a removal has to wait for.

Invariant: at most one change of who is read takes effect at a time. A change is announced in the table first (JOINING,
LEAVING, condemned), where it moves no reader; it goes on only when more than half of the voters have confirmed a table
that holds it and nothing that stands in its way. Any two such majorities share a voter, whose table only grows, so the
later of two changes has seen the earlier one.

Why a majority for what is otherwise spread by gossip: joins and removals that did not know of each other were the one
thing that broke quorum reads in the model (``sim.ring``, mutation ``no_claims``); without it a minority could also
remove the majority. Why the three owner sets and the fences: ``placement.placement``, brief R4.5 to R4.11.
"""

from collections.abc import Collection, Iterable

from dynacache.placement.placement import Owners, Placement
from dynacache.placement.table import MemberEntry, MemberState, MemberTable
from dynacache.types import NodeId

__all__ = [
    "IN_RING",
    "TRANSITIONS",
    "blocking",
    "enough_know",
    "has_majority",
    "removal_may_count",
    "reprieved",
    "sets_of",
    "stalemate",
    "voters",
    "witnesses",
    "yields_to",
]

TRANSITIONS = frozenset({MemberState.JOINING, MemberState.SETTLING, MemberState.LEAVING, MemberState.RETIRING})
IN_RING = TRANSITIONS | {MemberState.NORMAL, MemberState.REMOVING}
"""States of members that are an owner of something."""
_LATE = frozenset({MemberState.SETTLING, MemberState.RETIRING})
_VOTING = frozenset({MemberState.NORMAL, MemberState.SETTLING, MemberState.LEAVING})


def blocking(table: MemberTable, node_id: NodeId) -> list[MemberEntry]:
    """Return whoever changes its place, or is being removed, beside ``node_id``."""
    return [
        entry
        for entry in table.entries.values()
        if entry.node_id != node_id
        and (entry.state in TRANSITIONS or entry.state is MemberState.REMOVING or entry.removal == 1)
    ]


def yields_to(table: MemberTable, own: MemberEntry) -> MemberEntry | None:
    """Return the change that one of ours, not in effect yet, has to make way for: a removal, one that is in effect, or
    that of the node with the lower (generation, id). None if ours goes first."""
    for entry in blocking(table, own.node_id):
        if entry.removal or entry.state in _LATE:
            return entry
        if (entry.generation, entry.node_id) < (own.generation, own.node_id):
            return entry
    return None


def voters(table: MemberTable) -> list[NodeId]:
    """Return the members of whom more than half must know of a change before it takes effect."""
    return [entry.node_id for entry in table.entries.values() if entry.state in _VOTING and not entry.removal]


def stalemate(table: MemberTable) -> tuple[MemberEntry, ...]:
    """Return all members of the ring where every one that could vote is condemned, so that no removal can go on and no
    change begin; empty otherwise. Two sides of a cut that condemn each other come to this."""
    members = tuple(entry for entry in table.entries.values() if entry.state in IN_RING)
    if voters(table) or not any(entry.removal and entry.written in _VOTING for entry in members):
        return ()
    return members


def reprieved(members: Iterable[MemberEntry]) -> MemberEntry:
    """Return who of a stalemate keeps its place: whose removal has come the least far, of those the first by id."""
    return min(
        (entry for entry in members if entry.removal and entry.written in _VOTING),
        key=lambda entry: (entry.removal, entry.written is not MemberState.NORMAL, entry.node_id),
    )


def has_majority(known: Collection[NodeId], voting: Collection[NodeId]) -> bool:
    """Tell whether more than half of ``voting`` are in ``known``."""
    return 2 * sum(node_id in known for node_id in voting) > len(voting)


def witnesses(replication_factor: int, owners: int) -> int:
    """Return N - W + 1, so many that they meet every write quorum there ever was. Where fewer than N owners are left,
    what was written while there were N may lie on a single one of them, so all of them are needed."""
    return min(replication_factor - replication_factor // 2, owners)


def sets_of(placement: Placement, changed: NodeId) -> list[Owners]:
    """Return the different sets Old of the partitions whose readers change with ``changed``, in a fixed order."""
    if not placement.in_transition:
        return []
    pairs = zip(placement.old_owners_by_partition, placement.write_owners_by_partition, strict=True)
    return sorted({tuple(sorted(old)) for old, union in pairs if changed in union})


def enough_know(old_sets: Iterable[Owners], known: Collection[NodeId]) -> bool:
    """Tell whether so many of each set know of a change that the others can form no quorum without them."""
    return all(sum(node_id in known for node_id in old) >= len(old) - len(old) // 2 for old in old_sets)


def removal_may_count(table: MemberTable, entry: MemberEntry) -> bool:
    """Tell whether a voter that holds ``table`` may be counted for the removal of ``entry``: no other change is there,
    but for members that are only condemned. Who was condemned while JOINING goes first, since its removal alters Old.
    """
    joining = entry.written is MemberState.JOINING
    return all(
        other.removal == 1 and (joining or other.written is not MemberState.JOINING)
        for other in blocking(table, entry.node_id)
    )
