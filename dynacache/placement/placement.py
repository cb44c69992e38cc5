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

Partitions are numbered from 0 below Q for the cluster's own replication factor. For each further factor f of the table
there are Q more from ``f * Q`` on, with the same order of holders and f owners each. So a number says how many copies
its partition has (``factor_of``), and whatever works on partitions by their numbers needs to know no more. Numbers
between, of factors that nobody uses, have no owners.

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
_VIEWS = (_READ, _NEW, _OLD)

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
    """Of one replication factor; see ``partitions``."""
    replication_factor: int
    """The cluster's; see ``factor_of``."""
    shift: int
    """A key's hash shifted right by this is its partition, for keys of namespaces without a factor of their own."""
    partitions: tuple[range, ...]
    """The numbers of all partitions: the cluster's own first, then those of each further factor."""
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
    _fallback_order: dict[int, Assignment]
    """By replication factor, 0 for the cluster's."""
    _owned: dict[NodeId, BitMap]
    _weights: dict[NodeId, int]
    _preferences: dict[int, Owners] = attrs.field(factory=dict, init=False)

    @classmethod
    def from_table(cls, table: MemberTable) -> "Placement":
        """Compute the placement that follows from ``table``: about 15 ms for 20 members and 1,024 partitions."""
        holders = [tuple(_holder(entry) for entry in table.entries.values() if entry.state in view) for view in _VIEWS]
        count = table.partition_count
        assigned = {0: [assign(each, count, table.replication_factor) for each in holders]}
        assigned |= {factor: [assign(each, count, factor) for each in holders] for factor, _ in table.factors}
        read, new, old = (_numbered(assigned, view) for view in range(3))
        if holders[0] == holders[1] == holders[2]:
            write_owners = new = old = read
            write_sets: tuple[tuple[Owners, ...], ...] = tuple((owners,) for owners in read)
        else:
            write_sets = tuple(tuple(_distinct(sets)) for sets in zip(read, new, old, strict=True))
            write_owners = tuple(_union(sets) for sets in write_sets)
        return cls(
            table=table,
            digest=table.digest,
            partition_count=table.partition_count,
            replication_factor=table.replication_factor,
            shift=partition_shift(count),
            partitions=tuple(range(factor * count, (factor + 1) * count) for factor in assigned),
            owners_by_partition=read,
            write_owners_by_partition=write_owners,
            write_sets_by_partition=write_sets,
            old_owners_by_partition=old,
            new_owners_by_partition=new,
            in_transition=any(len(sets) > 1 for sets in write_sets),
            zone_violations=sum(views[0].zone_violations for views in assigned.values()),
            fallback_order={factor: views[1] for factor, views in assigned.items()},
            owned=_partitions_by_owner(write_owners),
            weights={holder.node_id: holder.weight for holder in holders[0]},
        )

    @property
    def numbers_end(self) -> int:
        """The number after that of the last partition."""
        return len(self.owners_by_partition)

    def has(self, partition: int) -> bool:
        """Tell whether there is a partition of this number."""
        return any(partition in numbers for numbers in self.partitions)

    def factor_of(self, partition: int) -> int:
        """Return the replication factor of a partition."""
        return partition // self.partition_count or self.replication_factor

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
            factor, place = divmod(partition, self.partition_count)
            known = _union((self.write_owners_by_partition[partition], self._fallback_order[factor].preference(place)))
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


def _numbered(assigned: dict[int, list[Assignment]], view: int) -> tuple[Owners, ...]:
    """Return the owners by the number of the partition; none where a factor is not used."""
    if len(assigned) == 1:
        return assigned[0][view].owners
    nothing: tuple[Owners, ...] = ((),) * len(assigned[0][view].owners)
    numbered: list[Owners] = []
    for factor in range(max(assigned) + 1):
        numbered += assigned[factor][view].owners if factor in assigned else nothing
    return tuple(numbered)


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
