"""What a change of members would move, told before it is done.

What: ``plan(table, changes)`` compares the placement of a member table with the one after some members joined, left or
were removed: partitions gained and lost by each, the copies that move beside the least that could, balance and zones.

Invariant: a pure function; nothing is written, and the same table and changes give the same plan in every process. All
members in the table that are about to join or leave count as having done so, in the plan's "after" and "before" alike,
so a plan asked for while another change is under way tells what this one adds.

Why the least that could move: a joiner has to receive its share and nobody else anything; rendezvous hashing comes
within a few percent of that (brief, section 4), and a plan that does not (other zones, other weights) should be seen.
"""

import enum
from collections.abc import Sequence

import attrs

from dynacache.errors import InvalidRequest
from dynacache.placement.placement import BalanceFigures, Placement
from dynacache.placement.table import MAX_WEIGHT, MemberEntry, MemberState, MemberTable
from dynacache.types import NodeId

__all__ = ["Change", "ChangeKind", "NodeShare", "Plan", "plan"]

_COMING = frozenset({MemberState.JOINING, MemberState.SETTLING})
_GOING = frozenset({MemberState.LEAVING, MemberState.RETIRING, MemberState.REMOVING})


class ChangeKind(enum.Enum):
    """What happens to a member."""

    JOIN = "join"
    LEAVE = "leave"
    REMOVE = "remove"


@attrs.frozen
class Change:
    """One member's change. Zone and weight matter for a node that joins and is not in the table yet."""

    kind: ChangeKind
    node_id: NodeId
    zone: str = ""
    weight: int = 1


@attrs.frozen
class NodeShare:
    """Partitions of one member, before and after."""

    node_id: NodeId
    before: int
    after: int
    gained: int
    lost: int


@attrs.frozen
class Plan:
    """What a change would do."""

    shares: tuple[NodeShare, ...]
    """One for each member before or after, in order of node id."""
    moved_copies: int
    """Copies of partitions that come to a node that has none now."""
    all_copies: int
    """Copies of partitions after the change."""
    ideal_moved_copies: float
    """The least that can move where shares follow weights: what joiners must hold, and what goers held."""
    most_owners_changed: int
    """Owners that any one partition loses, at most; one member's change costs a partition at most one owner."""
    balance_before: BalanceFigures
    balance_after: BalanceFigures
    zone_violations_before: int
    """Partitions with more copies in one zone than zones and copies call for."""
    zone_violations_after: int

    @property
    def moved_share(self) -> float:
        """Copies that move, as a part of all."""
        return self.moved_copies / self.all_copies if self.all_copies else 0.0

    @property
    def moved_over_ideal(self) -> float:
        """1.0 where no more moves than must; 0.0 where nothing must."""
        return self.moved_copies / self.ideal_moved_copies if self.ideal_moved_copies else 0.0


def plan(table: MemberTable, changes: Sequence[Change]) -> Plan:
    """Return what these changes would move. Raises ``InvalidRequest`` for a change that cannot be, naming it."""
    now = _at_rest(table)
    then = now
    for change in changes:
        then = then.with_entry(_changed(then, change))
    before, after = Placement.from_table(now), Placement.from_table(then)
    names = sorted({node_id for owners in _both(before, after) for node_id in owners} | _members(now) | _members(then))
    shares = tuple(_share(before, after, node_id) for node_id in names)
    pairs = zip(before.owners_by_partition, after.owners_by_partition, strict=True)
    return Plan(
        shares=shares,
        moved_copies=sum(share.gained for share in shares),
        all_copies=sum(share.after for share in shares),
        ideal_moved_copies=_ideal(before, after, now, then),
        most_owners_changed=max(len(set(old) - set(new)) for old, new in pairs),
        balance_before=before.balance(),
        balance_after=after.balance(),
        zone_violations_before=before.zone_violations,
        zone_violations_after=after.zone_violations,
    )


def _at_rest(table: MemberTable) -> MemberTable:
    """Return the table as it will be once every change under way is over."""
    entries = []
    for entry in table.entries.values():
        if entry.state in _GOING or entry.removal:
            entries.append(attrs.evolve(entry, state=MemberState.LEFT, condemned=False, removed_from=None))
        elif entry.state in _COMING:
            entries.append(attrs.evolve(entry, state=MemberState.NORMAL))
        else:
            entries.append(entry)
    return attrs.evolve(table, entries={entry.node_id: entry for entry in entries})


def _changed(table: MemberTable, change: Change) -> MemberEntry:
    known = table.entries.get(change.node_id)
    is_member = known is not None and known.state is MemberState.NORMAL
    if change.kind is ChangeKind.JOIN:
        if is_member:
            raise InvalidRequest(f"plan: {change.node_id} is a member already")
        if not 1 <= change.weight <= MAX_WEIGHT:
            raise InvalidRequest(f"plan: weight: got {change.weight}, expected 1 to {MAX_WEIGHT}")
        zone, weight = (change.zone, change.weight) if known is None else (known.zone, known.weight)
        place = 0 if known is None else known.place + 1
        return MemberEntry(change.node_id, 0, 0, MemberState.NORMAL, zone, weight, "-", 1, place=place)
    if known is None or not is_member:
        members = ", ".join(sorted(_members(table)))
        raise InvalidRequest(f"plan: {change.kind.value}: got {change.node_id!r}, expected one of {members}")
    return attrs.evolve(known, state=MemberState.LEFT, place=known.place + 1)


def _members(table: MemberTable) -> set[NodeId]:
    return {entry.node_id for entry in table.entries.values() if entry.state is MemberState.NORMAL}


def _both(before: Placement, after: Placement) -> tuple[tuple[NodeId, ...], ...]:
    return before.owners_by_partition + after.owners_by_partition


def _share(before: Placement, after: Placement, node_id: NodeId) -> NodeShare:
    had, has = before.owned_by(node_id), after.owned_by(node_id)
    return NodeShare(node_id, len(had), len(has), gained=len(has - had), lost=len(had - has))


def _ideal(before: Placement, after: Placement, now: MemberTable, then: MemberTable) -> float:
    """Return the larger of what those who come must hold by weight and what must find another holder."""
    come, go = _members(then) - _members(now), _members(now) - _members(then)
    copies = sum(len(owners) for owners in after.owners_by_partition)
    weight = sum(then.entries[node_id].weight for node_id in _members(then))
    must_come = copies * sum(then.entries[node_id].weight for node_id in come) / weight if weight else 0.0
    fewer = sum(len(owners) for owners in before.owners_by_partition) - copies
    must_go = sum(len(before.owned_by(node_id)) for node_id in go) - max(0, fewer)
    return max(must_come, float(must_go))
