"""Where a partition's requests go, computed once per change and shared by all its keys.

What: a ``Route`` names, for one partition as seen from this node now: whether this node may coordinate, the reachable
other owners with their connections, the owners that are away, and the fallbacks that stand in for them. Partitions
whose answers are the same share one object, so that a route is also the key by which a turn's writes are grouped.

Invariant: a route is valid for one (placement, links epoch); the table of routes is emptied when either changes. A
fallback stands in for exactly one owner, and never for one that is reachable.

Why: the hot path then asks one list for one object instead of walking the preference list for each key. Order of
owners and fallbacks is the rendezvous order of ``placement`` (Dynamo section 4.6 for stand-ins).
"""

import attrs

from dynacache.coordination.links import Links
from dynacache.coordination.tally import required_answers
from dynacache.events import ConnectionId
from dynacache.placement.placement import Placement
from dynacache.types import Level, NodeId

__all__ = ["Route", "Routes", "Target"]


@attrs.frozen
class Target:
    """One machine to send to: an owner (``stands_for`` is itself) or the fallback for an owner."""

    node_id: NodeId
    connection: ConnectionId
    stands_for: NodeId


@attrs.frozen(eq=False)
class Route:
    """How one partition is reached from here.

    ``coordinates``: this node may mint versions (it is an owner, or stands in while no owner is reachable).
    ``forward_to``: connections of nodes that may, nearest choice first, when this one may not.
    """

    owners: tuple[NodeId, ...]
    owner_sets: tuple[tuple[NodeId, ...], ...]
    is_owner: bool
    coordinates: bool
    self_stands_for: NodeId
    others: tuple[Target, ...]
    fallbacks: tuple[Target, ...]
    absent: tuple[NodeId, ...]
    forward_to: tuple[ConnectionId, ...]
    write_needed: tuple[int, ...]
    """Answers needed from others at each level (index ``Level``), self counted; -1 when not reachable now."""


@attrs.define(eq=False)
class Routes:
    """Routes by partition, filled lazily."""

    self_id: NodeId
    placement: Placement
    links: Links
    table: list[Route | None] = attrs.field(init=False)
    _epoch: int = attrs.field(init=False, default=-1)
    _shared: dict[tuple[object, ...], Route] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        """Start with no route known."""
        self.table = [None] * self.placement.partition_count

    def refresh(self) -> None:
        """Empty the table of routes if anything it rests on has changed."""
        if self._epoch != self.links.epoch:
            self._epoch = self.links.epoch
            self.table = [None] * self.placement.partition_count
            self._shared.clear()

    def replace(self, placement: Placement) -> None:
        """Use another placement from now on."""
        self.placement = placement
        self._epoch = -1

    def route(self, partition: int) -> Route:
        """Return the partition's route."""
        known = self.table[partition]
        if known is None:
            known = self.table[partition] = self._compute(partition)
        return known

    def _compute(self, partition: int) -> Route:
        owners = self.placement.write_owners(partition)
        preference = self.placement.preference(partition) if self._someone_away(owners) else owners
        absent = tuple(node for node in owners if node != self.self_id and not self.links.usable(node))
        spare = [node for node in preference[len(owners) :] if node == self.self_id or self.links.usable(node)]
        key = (frozenset(owners), owners[0] if self.self_id not in owners else "", absent, tuple(spare[: len(absent)]))
        known = self._shared.get(key)
        if known is None:
            known = self._shared[key] = self._make(partition, owners, absent, spare)
        return known

    def _someone_away(self, owners: tuple[NodeId, ...]) -> bool:
        return any(node != self.self_id and not self.links.usable(node) for node in owners)

    def _make(
        self, partition: int, owners: tuple[NodeId, ...], absent: tuple[NodeId, ...], spare: list[NodeId]
    ) -> Route:
        is_owner = self.self_id in owners
        reachable = [node for node in owners if node != self.self_id and node not in absent]
        coordinates = is_owner or (not reachable and self.self_id in spare[: len(absent)])
        pairs = dict(zip(spare, absent, strict=False))
        self_stands_for = self.self_id if is_owner else pairs.get(self.self_id, "")
        others = tuple(Target(node, self._connection(node), node) for node in reachable)
        fallbacks = tuple(
            Target(node, self._connection(node), owner) for node, owner in pairs.items() if node != self.self_id
        )
        owner_sets = tuple(tuple(each) for each in self.placement.write_sets(partition))
        forward = reachable or [node for node in spare if node != self.self_id]
        return Route(
            owners=owners,
            owner_sets=owner_sets,
            is_owner=is_owner,
            coordinates=coordinates,
            self_stands_for=self_stands_for,
            others=others,
            fallbacks=fallbacks,
            absent=absent,
            forward_to=tuple(self._connection(node) for node in forward),
            write_needed=_needed(len(owners), is_owner, len(others), len(fallbacks) + int(not is_owner)),
        )

    def _connection(self, node_id: NodeId) -> ConnectionId:
        return self.links.link(node_id).connection


def _needed(owner_count: int, is_owner: bool, others: int, stand_ins: int) -> tuple[int, ...]:
    """Return, per level, the answers needed from others, -1 where the reachable machines cannot give them."""
    by_level = [-1] * (max(Level) + 1)
    for level in (Level.ONE, Level.QUORUM, Level.STRICT_QUORUM, Level.ALL):
        required = required_answers(level, owner_count)
        sloppy = level in (Level.ONE, Level.QUORUM)
        machines = int(is_owner) + others + (stand_ins if sloppy else 0)
        counts_self = is_owner or sloppy
        if machines >= required:
            by_level[level] = max(0, required - int(counts_self))
    return tuple(by_level)
