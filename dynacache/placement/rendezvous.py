"""Weighted rendezvous: an order of all holders for each partition, and owners picked from it under a cap per zone.

What: every holder has a distance to every partition, a hash of (node id, partition); the nearest holders own it. A
holder of weight w draws w hashes and keeps the smallest, so its chance to be nearest is proportional to w. Owners are
taken greedily in that order, at most ceil(copies / zones) from one zone; only if that cannot fill the copies are the
next in order taken whatever their zone, and the partition counts as a zone violation.

Invariant: the order is a pure function of the holders (ids, zones, weights) and the partition. As the cap is a matroid,
one holder that comes or goes changes at most one owner of a partition while the set of zones stays the same.

Why integers and no ``-weight / ln(u)`` (Thaler and Ravishankar's highest random weight in its usual weighted form): two
mathematics libraries may differ in the last bit, and then two nodes differ in an owner. Weights are whole numbers, so w
draws are exact, and weight 1 costs one hash. Weight 1 is the same function as the others: a first holder of another
weight moves its own share and nothing else.

Why no ring of tokens: worse balance at equal size, and every node's neighbours carry its load when it dies, while here
everybody does. Load caps were measured and left out: they move up to twice as much (brief, section 4).
"""

from collections.abc import Sequence
from functools import lru_cache

import attrs
from mmh3 import mmh3_x64_128_utupledigest

from dynacache.types import NodeId

__all__ = [
    "Assignment",
    "Holder",
    "assign",
    "distance",
]

_CACHED_ASSIGNMENTS = 32


@attrs.frozen
class Holder:
    """What decides where a member's data goes."""

    node_id: NodeId
    zone: str
    weight: int


def distance(node_id: NodeId, weight: int, partition: int) -> int:
    """Return the 64-bit distance of a node to a partition; the smallest of all holders owns it."""
    material = b"%b\0%b" % (node_id.encode(), partition.to_bytes(4, "little"))
    if weight == 1:
        return mmh3_x64_128_utupledigest(material, 0)[0]
    return min(mmh3_x64_128_utupledigest(material, draw)[0] for draw in range(weight))


def _order(holders: Sequence[Holder], partition: int) -> list[int]:
    """Return the indices of ``holders`` from nearest to farthest; holders stand in order of id, which breaks ties."""
    distances = [distance(holder.node_id, holder.weight, partition) for holder in holders]
    return sorted(range(len(holders)), key=distances.__getitem__)


def _owners(order: Sequence[int], zones: Sequence[str], copies: int, cap: int) -> list[int]:
    """Return the first ``copies`` of ``order`` with at most ``cap`` of a zone, filled up regardless of zones."""
    if cap >= copies:
        return list(order[:copies])
    taken: dict[str, int] = {}
    owners: list[int] = []
    passed_over: list[int] = []
    for index in order:
        zone = zones[index]
        count = taken.get(zone, 0)
        if count < cap:
            taken[zone] = count + 1
            owners.append(index)
            if len(owners) == copies:
                return owners
        else:
            passed_over.append(index)
    return owners + passed_over[: copies - len(owners)]


def _fallbacks(order: Sequence[int], owners: Sequence[int], zones: Sequence[str]) -> list[int]:
    """Return all but the owners, those first whose zone holds the fewest copies before them."""
    held: dict[str, int] = {}
    for index in owners:
        held[zones[index]] = held.get(zones[index], 0) + 1
    crowding: dict[int, int] = {}
    for index in order:
        if index not in owners:
            crowding[index] = held.get(zones[index], 0)
            held[zones[index]] = crowding[index] + 1
    return sorted(crowding, key=crowding.__getitem__)


@attrs.frozen(eq=False)
class Assignment:
    """The owners of every partition among one set of holders."""

    holders: tuple[Holder, ...]
    copies: int
    owners: tuple[tuple[NodeId, ...], ...]
    """By partition, nearest first."""
    zone_violations: int
    """Partitions with more copies in one zone than the cap, because the zones could not hold them otherwise."""

    def preference(self, partition: int) -> tuple[NodeId, ...]:
        """Return all holders: the partition's owners, then the others, zones with the fewest copies first."""
        ids = [holder.node_id for holder in self.holders]
        zones = [holder.zone for holder in self.holders]
        order = _order(self.holders, partition)
        owners = [ids.index(node_id) for node_id in self.owners[partition]]
        return self.owners[partition] + tuple(ids[index] for index in _fallbacks(order, owners, zones))


@lru_cache(maxsize=_CACHED_ASSIGNMENTS)
def assign(holders: tuple[Holder, ...], partition_count: int, copies: int) -> Assignment:
    """Return the owners of all partitions; ``holders`` stand in order of node id, without duplicates.

    Each partition has min(copies, number of holders) owners. Cached, as most changes of a member table (an address, a
    version) do not touch it.
    """
    zones = [holder.zone for holder in holders]
    zone_count = len(frozenset(zones))
    cap = -(-copies // zone_count) if zone_count else copies
    ids = [holder.node_id for holder in holders]
    owners = []
    violations = 0
    for partition in range(partition_count):
        picked = _owners(_order(holders, partition), zones, copies, cap)
        owners.append(tuple(ids[index] for index in picked))
        violations += cap < copies and _most_in_a_zone(picked, zones) > cap
    return Assignment(holders, copies, tuple(owners), violations)


def _most_in_a_zone(picked: Sequence[int], zones: Sequence[str]) -> int:
    held = [zones[index] for index in picked]
    return max((held.count(zone) for zone in held), default=0)
