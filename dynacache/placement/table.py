"""The member table: who belongs to the cluster and in which state of belonging.

What: an immutable map from node id to the entry that this node wrote about itself, with the two numbers that were fixed
at birth (partition count, replication factor) and the id of the cluster. It spreads by gossip and merges without a
coordinator.

Invariant: ``merge`` is associative, commutative and idempotent, and an entry only ever moves up. A node that left or
was removed takes a new *place* when it comes back, and the later place wins. Within a place two things rise apart from
each other: the state that the node itself wrote, by version; the process that it is now and where it is reached, by
generation; and how far others have come with removing it (condemned, REMOVING, REMOVED). So neither a removal nor a
step of its own is undone by a process that was restarted with an older table, and a table always tells how far its
member had come when it was removed. Two different states with one version never come from a correct node; should they,
the remaining fields decide, so that all tables still agree.
The digest is the same in every process for equal tables. Tables of different clusters never merge.
The factors beside the cluster's that namespaces use are a part of it, each with the hybrid millisecond before which
nobody can have held anything of it: they are only ever added, and merge by union and the earliest time, so that a table
also tells all partitions there are (``placement.placement``).

Why a map of self-written entries and not an agreed table: there is nothing to elect, to lock or to lose. The one
exception is the removal of a dead member, which others write (DESIGN section 6, R4.4; ``sim.ring`` is its model).
"""

import enum
from collections.abc import Iterable, Mapping
from functools import cached_property
from hashlib import blake2b
from types import MappingProxyType

import attrs
import msgpack

from dynacache.errors import ClusterMismatch
from dynacache.placement.checks import U64_MAX, WireValueError, integer, octets, sequence, shown, text
from dynacache.placement.partitions import MAX_FACTOR, partition_shift
from dynacache.types import NodeId

__all__ = [
    "CLUSTER_ID_BYTES",
    "FACTORS_LIMIT",
    "FACTORS_PARTITION_LIMIT",
    "HOST_LIMIT_CHARACTERS",
    "MAX_MEMBERS",
    "MAX_REPLICATION_FACTOR",
    "MAX_WEIGHT",
    "NODE_ID_LIMIT_CHARACTERS",
    "ZONE_LIMIT_CHARACTERS",
    "MemberEntry",
    "MemberState",
    "MemberTable",
]

MAX_MEMBERS = 4096
MAX_WEIGHT = 64
MAX_REPLICATION_FACTOR = MAX_FACTOR
FACTORS_LIMIT = 4
"""Replication factors beside the cluster's that a cluster is given; two sides of a partition may each have given it so
many, so that a merged table can have more, ``MAX_REPLICATION_FACTOR`` at most."""
FACTORS_PARTITION_LIMIT = 4096
"""The most partitions a cluster may have to be given other factors: with those of the largest factor their numbers fit
16 bits, in which queues of entries note them (``storage.eviction.lines``)."""
CLUSTER_ID_BYTES = 16
NODE_ID_LIMIT_CHARACTERS = 64
ZONE_LIMIT_CHARACTERS = 64
HOST_LIMIT_CHARACTERS = 255


class MemberState(enum.IntEnum):
    """How a node belongs to the ring. The numbers travel on the wire."""

    OUTSIDE = 0  # joined the gossip, owns nothing
    JOINING = 1
    SETTLING = 2
    NORMAL = 3
    LEAVING = 4
    RETIRING = 5
    LEFT = 6
    REMOVED = 7
    REMOVING = 8  # held dead and asked no more, but its share of every quorum is still kept


_STATES = {int(state): state for state in MemberState}
_BY_OTHERS = frozenset({MemberState.REMOVING, MemberState.REMOVED})


@attrs.frozen
class MemberEntry:
    """One node's place: written by the node itself, except for its removal."""

    node_id: NodeId
    generation: int  # u64, the incarnation of the process that wrote it
    version: int  # u64, grows with each change of state, and not by a restart
    state: MemberState
    zone: str
    weight: int  # share of the partitions, relative to the others
    host: str
    port: int
    place: int = attrs.field()
    """u64; grows by one when the node comes back after it left or was removed."""
    condemned: bool = False
    """Others are about to remove it; until REMOVING it counts as before."""
    removed_from: MemberState | None = None
    """What the node itself last wrote, where ``state`` is REMOVING or REMOVED; None where that is not known."""

    @place.default
    def _first_place(self) -> int:
        return self.generation

    @property
    def written(self) -> MemberState:
        """The state that the node itself last wrote."""
        return self.state if self.removed_from is None else self.removed_from

    @property
    def removal(self) -> int:
        """How far its removal has come: 0 not at all, 1 condemned, 2 REMOVING, 3 REMOVED."""
        if self.state in _BY_OTHERS:
            return 3 if self.state is MemberState.REMOVED else 2
        return int(self.condemned)

    def at_removal(self, level: int) -> "MemberEntry":
        """Return the entry with its removal at ``level``, see ``removal``."""
        if level < 2:
            return attrs.evolve(self, state=self.written, condemned=level == 1, removed_from=None)
        state = MemberState.REMOVED if level == 3 else MemberState.REMOVING
        known = None if self.written is state else self.written
        return attrs.evolve(self, state=state, condemned=False, removed_from=known)

    def joined(self, other: "MemberEntry") -> "MemberEntry":
        """Return what two entries of one node say together."""
        if self.place != other.place:
            return self if self.place > other.place else other
        further = self if self._step() >= other._step() else other
        process = self if self._process() >= other._process() else other
        if process is not further:
            generation, host, port = process._process()
            further = attrs.evolve(further, generation=generation, host=host, port=port)
        level = max(self.removal, other.removal)
        return further if further.removal == level else further.at_removal(level)

    def _step(self) -> tuple[int, str, int, MemberState]:
        return (self.version, self.zone, self.weight, self.written)

    def _process(self) -> tuple[int, str, int]:
        return (self.generation, self.host, self.port)

    def to_wire(self) -> list[object]:
        """Return the entry as a list that msgpack can carry."""
        own = (self.node_id, self.generation, self.version, int(self.written))
        return [*own, self.zone, self.weight, self.host, self.port, self.place, self.removal]

    @classmethod
    def from_wire(cls, wire: object) -> "MemberEntry":
        """Return the entry that a list stands for; raises ``WireValueError`` naming what is wrong."""
        fields = sequence(wire, "member entry", 10, 10)
        node_id = text(fields[0], "node id", 1, NODE_ID_LIMIT_CHARACTERS)
        state = fields[3]
        if type(state) is not int or state not in _STATES:
            raise WireValueError(
                f"state of {node_id}: got {shown(state)}, expected a number from 0 to {len(_STATES) - 1}"
            )
        written = _STATES[state]
        level = integer(fields[9], f"removal of {node_id}", _LEVEL_OF.get(written, 0), 3)
        entry = cls(
            node_id=node_id,
            generation=integer(fields[1], f"generation of {node_id}", 0, U64_MAX),
            version=integer(fields[2], f"version of {node_id}", 0, U64_MAX),
            state=written,
            zone=text(fields[4], f"zone of {node_id}", 0, ZONE_LIMIT_CHARACTERS),
            weight=integer(fields[5], f"weight of {node_id}", 1, MAX_WEIGHT),
            host=text(fields[6], f"host of {node_id}", 1, HOST_LIMIT_CHARACTERS),
            port=integer(fields[7], f"port of {node_id}", 1, 65_535),
            place=integer(fields[8], f"place of {node_id}", 0, U64_MAX),
        )
        return entry if entry.removal == level else entry.at_removal(level)


_LEVEL_OF = {MemberState.REMOVING: 2, MemberState.REMOVED: 3}


def _canonical(entries: Mapping[NodeId, MemberEntry]) -> Mapping[NodeId, MemberEntry]:
    if len(entries) > MAX_MEMBERS:
        raise WireValueError(f"members: got {len(entries)}, expected at most {MAX_MEMBERS}")
    return MappingProxyType(dict(sorted(entries.items())))


@attrs.frozen
class MemberTable:
    """All entries in order of node id, and what was fixed at birth."""

    cluster_id: bytes
    partition_count: int
    replication_factor: int
    entries: Mapping[NodeId, MemberEntry] = attrs.field(converter=_canonical)
    factors: tuple[tuple[int, int], ...] = ()
    """Replication factors of namespaces that have another than the cluster's, ascending, each with when it was born."""

    def __hash__(self) -> int:
        return self.digest

    @classmethod
    def of(
        cls, cluster_id: bytes, partition_count: int, replication_factor: int, entries: Iterable[MemberEntry]
    ) -> "MemberTable":
        """Return the table of these entries; of several for one node the one that beats the others."""
        kept: dict[NodeId, MemberEntry] = {}
        _raise_to(kept, entries)
        return cls(cluster_id, partition_count, replication_factor, kept)

    @cached_property
    def digest(self) -> int:
        """64 bits that are equal for equal tables, in every process."""
        packed: bytes = msgpack.packb(self.to_wire())
        return int.from_bytes(blake2b(packed, digest_size=8).digest(), "big")

    def merge(self, other: "MemberTable") -> "MemberTable":
        """Return the least table that holds all that both know; ``self`` if ``other`` knows nothing more.

        Raises ``ClusterMismatch`` for a table of another cluster, ``WireValueError`` above ``MAX_MEMBERS`` members.
        """
        if other is self:
            return self
        self._require_same_cluster(other)
        factors = self.factors if other.factors == self.factors else _union(self.factors, other.factors)
        merged = dict(self.entries)
        if not _raise_to(merged, other.entries.values()) and factors == self.factors:
            return self
        if merged == other.entries and factors == other.factors:
            return other
        return attrs.evolve(self, entries=merged, factors=factors)

    def with_factor(self, factor: int, born_ms: int) -> "MemberTable":
        """Return the table with a replication factor beside the cluster's; ``self`` if it is there since then."""
        factors = _union(self.factors, ((factor, born_ms),))
        if factor == self.replication_factor or factors == self.factors:
            return self
        return attrs.evolve(self, factors=factors)

    def with_entry(self, entry: MemberEntry) -> "MemberTable":
        """Return the table with ``entry`` merged into it; ``self`` if that changes nothing."""
        known = self.entries.get(entry.node_id)
        entry = entry if known is None else known.joined(entry)
        return self if entry == known else attrs.evolve(self, entries={**self.entries, entry.node_id: entry})

    def _require_same_cluster(self, other: "MemberTable") -> None:
        if other.cluster_id != self.cluster_id:
            raise ClusterMismatch(f"member table of cluster {other.cluster_id.hex()}, ours is {self.cluster_id.hex()}")
        mine = (self.partition_count, self.replication_factor)
        theirs = (other.partition_count, other.replication_factor)
        if mine != theirs:
            raise ClusterMismatch(f"member table with (partitions, copies) {theirs}, ours has {mine}")

    def to_wire(self) -> list[object]:
        """Return the table as nested lists that msgpack can carry; equal tables give equal lists."""
        entries = [entry.to_wire() for entry in self.entries.values()]
        wire: list[object] = [self.cluster_id, self.partition_count, self.replication_factor, entries]
        if self.factors:
            wire.append([list(each) for each in self.factors])
        return wire

    @classmethod
    def from_wire(cls, wire: object) -> "MemberTable":
        """Return the table that nested lists stand for; raises ``WireValueError`` naming what is wrong."""
        fields = sequence(wire, "member table", 4, 5)
        cluster_id = octets(fields[0], "cluster id", CLUSTER_ID_BYTES)
        partition_shift(fields[1])
        replication_factor = integer(fields[2], "replication factor", 1, MAX_REPLICATION_FACTOR)
        entries: dict[NodeId, MemberEntry] = {}
        for item in sequence(fields[3], "members", 0, MAX_MEMBERS):
            entry = MemberEntry.from_wire(item)
            if entry.node_id in entries:
                raise WireValueError(f"members: {entry.node_id} is there twice")
            entries[entry.node_id] = entry
        factors = _factors(fields[4], replication_factor, fields[1]) if len(fields) > 4 else ()
        return cls(cluster_id, fields[1], replication_factor, entries, factors)


def _factors(wire: object, cluster: int, partition_count: int) -> tuple[tuple[int, int], ...]:
    """Return the checked factors of a table."""
    if partition_count > FACTORS_PARTITION_LIMIT:
        raise WireValueError(f"factors: got {partition_count} partitions, expected {FACTORS_PARTITION_LIMIT} at most")
    factors = []
    for item in sequence(wire, "factors", 1, MAX_REPLICATION_FACTOR):
        factor, born_ms = sequence(item, "factor", 2, 2)
        factors.append((integer(factor, "factor", 1, MAX_REPLICATION_FACTOR), integer(born_ms, "birth", 0, U64_MAX)))
    numbers = [factor for factor, _ in factors]
    if numbers != sorted(set(numbers)) or cluster in numbers:
        raise WireValueError(f"factors: got {numbers}, expected different ones ascending, without {cluster}")
    return tuple(factors)


def _union(*several: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return all factors, each with the earliest of its times."""
    born: dict[int, int] = {}
    for factors in several:
        for factor, born_ms in factors:
            born[factor] = min(born_ms, born.get(factor, born_ms))
    return tuple(sorted(born.items()))


def _raise_to(kept: dict[NodeId, MemberEntry], entries: Iterable[MemberEntry]) -> bool:
    """Join every entry to the kept one; return whether that taught anything."""
    changed = False
    for entry in entries:
        known = kept.get(entry.node_id)
        if entry is known:
            continue
        joined = entry if known is None else known.joined(entry)
        if joined != known:
            kept[entry.node_id] = joined
            changed = True
    return changed
