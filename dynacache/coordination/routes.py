"""Where a partition's requests go, computed once per change and shared by all its keys.

What: a ``Route`` names, for one partition as seen from this node now: whether this node may coordinate, whom reads ask,
whom writes are sent to, the owners that are away, and the fallbacks that stand in for them. Partitions whose answers
are the same share one object, so that a route is also the key by which a turn's writes are grouped.

Invariant: a route is valid for one placement, links epoch and completeness of this node's copy; the table of routes is
emptied when any of them changes. Reads ask those who read (Read); writes go to all sets of owners and need their quorum
in each; the two lists are one object while no owners change. A fallback stands in for exactly one owner, and never for
one that is reachable. What a copy that is warming or stale holds is data, but does not count (``complete``).

Why: the hot path then asks one list for one object instead of walking the preference list for each key, and a copy
whose memory is incomplete costs it nothing to recognise. Order of owners and fallbacks is the rendezvous order of
``placement`` (Dynamo section 4.6 for stand-ins; brief R4.5 for the sets, R2.6 and R4.13 for incomplete copies).
"""

import attrs
from pyroaring import BitMap

from dynacache.coordination.links import Links
from dynacache.coordination.ports import Completeness
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

    ``coordinates``: this node may mint versions (it reads, or stands in while nobody who does can be reached).
    ``forward_to``: connections of nodes that may, nearest choice first, when this one may not.
    """

    readers: tuple[NodeId, ...]
    """The owners that reads ask."""
    owners: tuple[NodeId, ...]
    """All owners that writes are sent to."""
    owner_sets: tuple[tuple[NodeId, ...], ...]
    is_owner: bool
    complete: bool
    """This node's copy answers for itself: it is a reader's, neither warming nor stale."""
    counts_self: bool
    """What this node takes counts toward a write above level one: as an owner's copy that is not stale, or as a
    stand-in's. At level one a stale copy counts too: what is young survives its becoming whole again."""
    coordinates: bool
    self_stands_for: NodeId
    sources: tuple[Target, ...]
    """The other readers that can be reached."""
    spares: tuple[Target, ...]
    """Who else may know something, at the levels that take it: owners that do not read, then fallbacks."""
    others: tuple[Target, ...]
    fallbacks: tuple[Target, ...]
    absent: tuple[NodeId, ...]
    forward_to: tuple[ConnectionId, ...]
    write_needed: tuple[int, ...]
    """Answers needed from others at each level (index ``Level``), self counted, in the set of owners that needs most;
    -1 where some set cannot reach the level now."""


@attrs.define(eq=False)
class _AllComplete:
    """Copies that lack nothing."""

    warming: BitMap = attrs.field(factory=BitMap)
    stale: BitMap = attrs.field(factory=BitMap)


@attrs.define(eq=False)
class Routes:
    """Routes by partition, filled lazily."""

    self_id: NodeId
    placement: Placement
    links: Links
    copies: Completeness = attrs.field(factory=_AllComplete)
    table: list[Route | None] = attrs.field(init=False)
    _epoch: int = attrs.field(init=False, default=-1)
    _warming: BitMap = attrs.field(init=False, factory=BitMap)
    _stale: BitMap = attrs.field(init=False, factory=BitMap)
    _lacking: bool = attrs.field(init=False, default=False)
    _shared: dict[tuple[object, ...], Route] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        """Start with no route known."""
        self.table = [None] * self.placement.numbers_end

    def refresh(self) -> None:
        """Empty the table of routes if anything it rests on has changed."""
        copies = self.copies
        if copies.warming or copies.stale or self._lacking:
            self._follow_copies()
        if self._epoch != self.links.epoch:
            self._epoch = self.links.epoch
            self.table = [None] * self.placement.numbers_end
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

    def _follow_copies(self) -> None:
        """Forget the routes of partitions whose copy has become complete, or is no longer."""
        warming, stale = self.copies.warming, self.copies.stale
        if warming != self._warming or stale != self._stale:
            for partition in (warming ^ self._warming) | (stale ^ self._stale):
                self.table[partition] = None
            self._warming, self._stale = BitMap(warming), BitMap(stale)
            self._lacking = bool(warming or stale)

    def _compute(self, partition: int) -> Route:
        placement = self.placement
        owners, readers = placement.write_owners(partition), placement.owners(partition)
        preference = placement.preference(partition) if self._someone_away(owners) else owners
        absent = tuple(node for node in owners if node != self.self_id and not self.links.usable(node))
        spare = [node for node in preference[len(owners) :] if node == self.self_id or self.links.usable(node)]
        sets = placement.write_sets(partition)
        copy = (partition in self.copies.warming, partition in self.copies.stale)
        key = (
            frozenset(owners),
            frozenset(readers),
            tuple(map(frozenset, sets)) if len(sets) > 1 else None,
            readers[0] if readers and self.self_id not in readers else "",
            absent,
            tuple(spare[: len(absent)]),
            copy,
        )
        known = self._shared.get(key)
        if known is None:
            known = self._shared[key] = self._make(partition, absent, spare, *copy)
        return known

    def _someone_away(self, owners: tuple[NodeId, ...]) -> bool:
        return any(node != self.self_id and not self.links.usable(node) for node in owners)

    def _make(
        self, partition: int, absent: tuple[NodeId, ...], spare: list[NodeId], warming: bool, stale: bool
    ) -> Route:
        owners, readers = self.placement.write_owners(partition), self.placement.owners(partition)
        owner_sets = tuple(tuple(each) for each in self.placement.write_sets(partition))
        own = self.self_id
        is_owner, is_reader = own in owners, own in readers
        others = tuple(self._owner(node) for node in owners if node != own and node not in absent)
        sources = tuple(each for each in others if each.node_id in readers) if len(owner_sets) > 1 else others
        pairs = dict(zip(spare, absent, strict=False))
        self_stands_for = own if is_owner else pairs.get(own, "")
        fallbacks = tuple(Target(node, self._connection(node), owner) for node, owner in pairs.items() if node != own)
        coordinates = is_reader or (not sources and (is_owner or (not others and own in pairs)))
        forward = sources or others or tuple(self._owner(node) for node in spare if node != own)
        counts_self = bool(self_stands_for) and not (is_owner and stale)
        reachable = _Reachable(
            others={each.node_id for each in others},
            own={self_stands_for} if self_stands_for else set(),
            stood_for={each.stands_for for each in fallbacks},
            is_owner=is_owner,
            counts_self=counts_self,
        )
        return Route(
            readers=readers,
            owners=owners,
            owner_sets=owner_sets,
            is_owner=is_owner,
            complete=is_reader and not warming and not stale,
            counts_self=counts_self,
            coordinates=coordinates,
            self_stands_for=self_stands_for,
            sources=sources,
            spares=tuple(each for each in others if each not in sources) + fallbacks,
            others=others,
            fallbacks=fallbacks,
            absent=absent,
            forward_to=tuple(each.connection for each in forward),
            write_needed=reachable.needed(owner_sets),
        )

    def _owner(self, node_id: NodeId) -> Target:
        return Target(node_id, self._connection(node_id), node_id)

    def _connection(self, node_id: NodeId) -> ConnectionId:
        return self.links.link(node_id).connection


@attrs.frozen
class _Reachable:
    """The owners for whom somebody can answer: themselves, this node, or fallbacks."""

    others: set[NodeId]
    own: set[NodeId]
    stood_for: set[NodeId]
    is_owner: bool
    counts_self: bool

    def needed(self, owner_sets: tuple[tuple[NodeId, ...], ...]) -> tuple[int, ...]:
        """Return, per level, the answers needed from others in the set that needs most; -1 where they cannot come."""
        by_level = [-1] * (max(Level) + 1)
        for level in (Level.ONE, Level.QUORUM, Level.STRICT_QUORUM, Level.ALL):
            sloppy = level in (Level.ONE, Level.QUORUM)
            own = self.own if (sloppy or self.is_owner) and (self.counts_self or level == Level.ONE) else set()
            able = self.others | own | (self.stood_for if sloppy else set())
            missing = [
                (required_answers(level, len(owners)), able.intersection(owners), own.intersection(owners))
                for owners in owner_sets
            ]
            if all(len(reached) >= required for required, reached, _ in missing):
                by_level[level] = max(max(0, required - len(counted)) for required, _, counted in missing)
        return tuple(by_level)
