"""The birth record: the proof of which nodes founded a cluster, and the id that follows from them.

What: a candidate is one process (node id and incarnation) that stands for founding a cluster, with its place (address,
zone, weight). A record names the founders by node id and incarnation and fixes partition count and replication factor.

Invariant: a record is a pure function of the set of candidates and the two numbers, so whoever sees the same candidates
writes the same record, and the cluster id is a keyed hash of it. A record whose id does not follow from its content is
refused. A founder whose incarnation stands in the record started with the cluster and so misses nothing; every other
start, also of the same node id, is warming.
"""

from collections.abc import Iterable
from hashlib import blake2b
from itertools import pairwise

import attrs
import msgpack

from dynacache.placement.checks import U64_MAX, WireValueError, integer, octets, sequence, text
from dynacache.placement.partitions import partition_shift
from dynacache.placement.table import (
    CLUSTER_ID_BYTES,
    HOST_LIMIT_CHARACTERS,
    MAX_REPLICATION_FACTOR,
    MAX_WEIGHT,
    NODE_ID_LIMIT_CHARACTERS,
    ZONE_LIMIT_CHARACTERS,
    MemberEntry,
    MemberState,
    MemberTable,
)
from dynacache.types import NodeId

__all__ = [
    "MAX_FOUNDERS",
    "BirthRecord",
    "Candidate",
    "Incarnations",
    "incarnations_from_wire",
]

MAX_FOUNDERS = 1024
_CLUSTER_ID_KEY = b"dynacache birth record 1"

Incarnations = tuple[tuple[NodeId, int], ...]
"""Node ids with one incarnation each, in order of node id."""


def incarnations_from_wire(wire: object, name: str) -> Incarnations:
    """Return the incarnations that a list of pairs stands for; raises ``WireValueError`` naming what is wrong."""
    found: list[tuple[NodeId, int]] = []
    for item in sequence(wire, name, 1, MAX_FOUNDERS):
        pair = sequence(item, name, 2, 2)
        node_id = text(pair[0], "node id", 1, NODE_ID_LIMIT_CHARACTERS)
        found.append((node_id, integer(pair[1], f"incarnation of {node_id}", 0, U64_MAX)))
    if any(first[0] >= second[0] for first, second in pairwise(found)):
        raise WireValueError(f"{name}: expected different node ids in their order")
    return tuple(found)


@attrs.frozen(order=True)
class Candidate:
    """One process that would found a cluster, and the place that it would take."""

    node_id: NodeId
    incarnation: int  # u64, new at every start of a process
    host: str
    port: int
    zone: str
    weight: int

    def entry(self, state: MemberState) -> MemberEntry:
        """Return the first entry of this incarnation in a member table."""
        return MemberEntry(self.node_id, self.incarnation, 1, state, self.zone, self.weight, self.host, self.port)

    def to_wire(self) -> list[object]:
        """Return the candidate as a list that msgpack can carry."""
        return [self.node_id, self.incarnation, self.host, self.port, self.zone, self.weight]

    @classmethod
    def from_wire(cls, wire: object) -> "Candidate":
        """Return the candidate that a list stands for; raises ``WireValueError`` naming what is wrong."""
        fields = sequence(wire, "candidate", 6, 6)
        node_id = text(fields[0], "node id", 1, NODE_ID_LIMIT_CHARACTERS)
        return cls(
            node_id=node_id,
            incarnation=integer(fields[1], f"incarnation of {node_id}", 0, U64_MAX),
            host=text(fields[2], f"host of {node_id}", 1, HOST_LIMIT_CHARACTERS),
            port=integer(fields[3], f"port of {node_id}", 1, 65_535),
            zone=text(fields[4], f"zone of {node_id}", 0, ZONE_LIMIT_CHARACTERS),
            weight=integer(fields[5], f"weight of {node_id}", 1, MAX_WEIGHT),
        )


@attrs.frozen
class BirthRecord:
    """What a cluster is born with and keeps for life."""

    cluster_id: bytes
    partition_count: int
    replication_factor: int
    founders: Incarnations

    @classmethod
    def derive(cls, founders: Incarnations, partition_count: int, replication_factor: int) -> "BirthRecord":
        """Return the record of these founders, which stand in order of node id."""
        packed = msgpack.packb([partition_count, replication_factor, founders])
        cluster_id = blake2b(packed, digest_size=CLUSTER_ID_BYTES, key=_CLUSTER_ID_KEY).digest()
        return cls(cluster_id, partition_count, replication_factor, founders)

    @classmethod
    def of_candidates(
        cls, candidates: Iterable[Candidate], partition_count: int, replication_factor: int
    ) -> "BirthRecord":
        """Return the record of these candidates, in whatever order they come."""
        founders = tuple(sorted((candidate.node_id, candidate.incarnation) for candidate in candidates))
        return cls.derive(founders, partition_count, replication_factor)

    def is_founded_by(self, node_id: NodeId, incarnation: int) -> bool:
        """Return whether this very process is a founder; a later start of the same node is not."""
        return (node_id, incarnation) in self.founders

    def first_table(self, founders: Iterable[Candidate]) -> MemberTable:
        """Return the member table of the new-born cluster: its founders, all NORMAL."""
        entries = (founder.entry(MemberState.NORMAL) for founder in founders)
        return MemberTable.of(self.cluster_id, self.partition_count, self.replication_factor, entries)

    def to_wire(self) -> list[object]:
        """Return the record as nested lists that msgpack can carry."""
        founders = [list(founder) for founder in self.founders]
        return [self.cluster_id, self.partition_count, self.replication_factor, founders]

    @classmethod
    def from_wire(cls, wire: object) -> "BirthRecord":
        """Return the record that nested lists stand for.

        Raises ``WireValueError`` naming what is wrong, also where the cluster id does not follow from the rest.
        """
        fields = sequence(wire, "birth record", 4, 4)
        cluster_id = octets(fields[0], "cluster id", CLUSTER_ID_BYTES)
        partition_shift(fields[1])
        replication_factor = integer(fields[2], "replication factor", 1, MAX_REPLICATION_FACTOR)
        record = cls.derive(incarnations_from_wire(fields[3], "founders"), fields[1], replication_factor)
        if record.cluster_id != cluster_id:
            found, expected = cluster_id.hex(), record.cluster_id.hex()
            raise WireValueError(f"cluster id: got {found}, expected {expected}, which follows from the founders")
        return record
