"""Who owns which partition: a pure function of the member table.

What: for every partition the owners that reads ask, the sets of owners in each of which a write needs its quorum, and
the fallbacks that stand in for owners that cannot be reached. Computed once for each table; the hot path only indexes
``owners_by_partition``.

Invariant: equal tables give equal placements, in every process. Three sets of owners, each a rendezvous over the
members in some states (R4.5)::

    Old   NORMAL           LEAVING RETIRING REMOVING   those who may still be read with the view before the change
    Read  NORMAL  SETTLING LEAVING                     those who are asked
    New   NORMAL  JOINING SETTLING                     those who will own it after the change

While nobody joins or leaves the three are one. A write counts when it has its quorum in each; equal sets count once.
Model-checked (``sim.ring``): with any of these rules left out a quorum read missed an acknowledged quorum write.

Why liveness plays no part: a dead member keeps its place (hints and fallbacks cover it), so that a crash moves no data.
"""

from collections.abc import Iterable

import attrs
from pyroaring import BitMap

from dynacache.placement.partitions import partition_shift
from dynacache.placement.rendezvous import Assignment, Holder, assign
from dynacache.placement.table import MemberEntry, MemberState, MemberTable
from dynacache.types import NodeId

__all__ = ["BalanceFigures", "Owners", "Placement", "holders_of"]

_OLD = frozenset({MemberState.NORMAL, MemberState.LEAVING, MemberState.RETIRING, MemberState.REMOVING})
_READ = frozenset({MemberState.NORMAL, MemberState.SETTLING, MemberState.LEAVING})
_NEW = frozenset({MemberState.NORMAL, MemberState.JOINING, MemberState.SETTLING})

Owners = tuple[NodeId, ...]
"""Node ids without duplicates, nearest first."""


@attrs.frozen
class BalanceFigures:
    """How evenly the copies of partitions lie; for people and alerts, not for decisions."""

    copies_by_node: dict[NodeId, int]
    max_over_mean: float
    """Of copies per weight; 1.0 is even, an alert is due above 1.3."""
    variation: float
    """Standard deviation over mean of copies per weight."""


@attrs.frozen(eq=False)
class Placement:
    """The owners of all partitions under one member table. Immutable; a new table gives a new placement."""

    table: MemberTable
    """The member table that this follows from."""
    digest: int
    """The digest of the whole member table. What travels with requests is another (``Shared.digest``): of the part that
    decides who owns what."""
    partition_count: int
    replication_factor: int
    shift: int
    """A key's hash shifted right by this is its partition."""
    owners_by_partition: tuple[Owners, ...]
    """Those that reads ask and that coordinate, nearest first."""
    write_owners_by_partition: tuple[Owners, ...]
    """All that a write is sent to; the same object as ``owners_by_partition`` while no owners change."""
    write_sets_by_partition: tuple[tuple[Owners, ...], ...]
    """The different sets among Read, New and Old, in that order; a write needs its quorum in each."""
    old_owners_by_partition: tuple[Owners, ...]
    """Old; the same object as ``owners_by_partition`` while no owners change."""
    new_owners_by_partition: tuple[Owners, ...]
    """New; the same object as ``owners_by_partition`` while no owners change."""
    in_transition: bool
    """Whether any partition has more than one write set."""
    zone_violations: int
    """Partitions with more copies in one zone than zones and copies call for."""
    _fallback_order: Assignment
    _owned: dict[NodeId, BitMap]
    _weights: dict[NodeId, int]
    _preferences: dict[int, Owners] = attrs.field(factory=dict, init=False)

    @classmethod
    def from_table(cls, table: MemberTable) -> "Placement":
        """Compute the placement that follows from ``table``: about 15 ms for 20 members and 1,024 partitions."""
        read, new, old = (_assignment(table, states) for states in (_READ, _NEW, _OLD))
        if read is new and new is old:
            write_sets: tuple[tuple[Owners, ...], ...] = tuple((owners,) for owners in read.owners)
            write_owners = read.owners
        else:
            write_sets = tuple(tuple(_distinct(sets)) for sets in zip(read.owners, new.owners, old.owners, strict=True))
            write_owners = tuple(_union(sets) for sets in write_sets)
        return cls(
            table=table,
            digest=table.digest,
            partition_count=table.partition_count,
            replication_factor=table.replication_factor,
            shift=partition_shift(table.partition_count),
            owners_by_partition=read.owners,
            write_owners_by_partition=write_owners,
            write_sets_by_partition=write_sets,
            old_owners_by_partition=old.owners,
            new_owners_by_partition=new.owners,
            in_transition=any(len(sets) > 1 for sets in write_sets),
            zone_violations=read.zone_violations,
            fallback_order=new,
            owned=_partitions_by_owner(write_owners),
            weights={holder.node_id: holder.weight for holder in read.holders},
        )

    def owners(self, partition: int) -> Owners:
        """Return the owners that reads ask, nearest first."""
        return self.owners_by_partition[partition]

    def old(self, partition: int) -> Owners:
        """Return Old: the owners before the change, nearest first; the readers while no owners change."""
        return self.old_owners_by_partition[partition]

    def new(self, partition: int) -> Owners:
        """Return New: the owners after the change, nearest first; the readers while no owners change."""
        return self.new_owners_by_partition[partition]

    def displaced(self, partition: int, gainer: NodeId) -> NodeId | None:
        """Return the owner whose place ``gainer`` takes: the one node in Old and not in New, where ``gainer`` is the
        one node in New and not in Old; None where it is not so simple. Whoever holds all that this one holds may stand
        in its place in any quorum."""
        old, new = self.old_owners_by_partition[partition], self.new_owners_by_partition[partition]
        lost = [node_id for node_id in old if node_id not in new]
        gained = [node_id for node_id in new if node_id not in old]
        return lost[0] if gained == [gainer] and len(lost) == 1 else None

    def write_sets(self, partition: int) -> tuple[Owners, ...]:
        """Return the sets of owners in each of which a write needs its quorum; one set while no owners change."""
        return self.write_sets_by_partition[partition]

    def write_owners(self, partition: int) -> Owners:
        """Return all owners that a write is sent to: the union of the write sets, readers first."""
        return self.write_owners_by_partition[partition]

    def preference(self, partition: int) -> Owners:
        """Return all that may hold the partition: the owners a write is sent to, then the fallbacks in their order.

        Fallbacks are the members that stay (NORMAL, JOINING, SETTLING), zones with the fewest copies first. Computed
        on first use, since only a write with an owner away needs it.
        """
        known = self._preferences.get(partition)
        if known is None:
            known = _union((self.write_owners_by_partition[partition], self._fallback_order.preference(partition)))
            self._preferences[partition] = known
        return known

    def owned_by(self, node_id: NodeId) -> BitMap:
        """Return the partitions whose writes go to ``node_id``, as a copy that the caller may change."""
        owned = self._owned.get(node_id)
        return BitMap() if owned is None else BitMap(owned)

    @property
    def zone_violation(self) -> bool:
        """Whether some partition has more copies in one zone than zones and copies call for."""
        return self.zone_violations > 0

    def balance(self) -> BalanceFigures:
        """Return how evenly the copies lie on the members that can own them."""
        copies = dict.fromkeys(self._weights, 0)
        for owners in self.owners_by_partition:
            for node_id in owners:
                copies[node_id] += 1
        loads = [copies[node_id] / weight for node_id, weight in self._weights.items()]
        mean = sum(loads) / len(loads) if loads else 0.0
        if not mean:
            return BalanceFigures(copies, 1.0, 0.0)
        variance = sum((load - mean) ** 2 for load in loads) / len(loads)
        return BalanceFigures(copies, max(loads) / mean, variance**0.5 / mean)


def holders_of(table: MemberTable, imagined: frozenset[NodeId] = frozenset()) -> tuple[Holder, ...]:
    """Return the holders of Old, and those of ``imagined`` as if they were among them, in order of node id."""
    entries = table.entries.values()
    return tuple(_holder(entry) for entry in entries if entry.state in _OLD or entry.node_id in imagined)


def _assignment(table: MemberTable, states: frozenset[MemberState]) -> Assignment:
    holders = tuple(_holder(entry) for entry in table.entries.values() if entry.state in states)
    return assign(holders, table.partition_count, table.replication_factor)


def _holder(entry: MemberEntry) -> Holder:
    return Holder(entry.node_id, entry.zone, entry.weight)


def _distinct(sets: Iterable[Owners]) -> Iterable[Owners]:
    """Yield the first of each group of sets with equal members."""
    seen: list[frozenset[NodeId]] = []
    for owners in sets:
        members = frozenset(owners)
        if members not in seen:
            seen.append(members)
            yield owners


def _union(sets: Iterable[Owners]) -> Owners:
    return tuple(dict.fromkeys(node_id for owners in sets for node_id in owners))


def _partitions_by_owner(owners_by_partition: tuple[Owners, ...]) -> dict[NodeId, BitMap]:
    owned: dict[NodeId, list[int]] = {}
    for partition, owners in enumerate(owners_by_partition):
        for node_id in owners:
            owned.setdefault(node_id, []).append(partition)
    return {node_id: BitMap(partitions) for node_id, partitions in owned.items()}
