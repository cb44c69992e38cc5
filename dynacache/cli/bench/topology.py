"""Which server owns which keys, from the topology that a node tells its clients.

What: `topology_of` says hello to one node and turns its TOPOLOGY message into the addresses of the members that hold
keys and, for each partition, which of them own it.

Invariant: the generator asks each node only for keys that it owns, exactly as the partition-aware client does, so the
bench measures what an application would see.

Why None for a cluster in which everybody owns everything: then one stream serves all connections, and the very same
bytes go to Redis.
"""

import contextlib

import attrs

from dynacache.cli.bench.connect import greeted
from dynacache.config.cluster import parse_address
from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberTable

__all__ = ["Topology", "topology_from_wire", "topology_of"]


@attrs.frozen
class Topology:
    """Servers and who of them owns what."""

    targets: tuple[tuple[str, int], ...]
    owners: tuple[tuple[int, ...], ...] | None
    """For each partition the positions of its owners in `targets`; None: every target owns everything."""


def topology_of(address: str, secret: str, timeout_s: float = 5.0) -> Topology:
    """Ask one node; raises OSError or an error of the tree."""
    with contextlib.ExitStack() as stack:
        _, message = greeted(parse_address(address, "--server"), secret, timeout_s, stack)
    return topology_from_wire(message[2])


def topology_from_wire(table_wire: object) -> Topology:
    """The topology that a member table means."""
    table = MemberTable.from_wire(table_wire)
    by_partition = Placement.from_table(table).owners_by_partition
    names = sorted({node_id for owners in by_partition for node_id in owners})
    position_of = {node_id: position for position, node_id in enumerate(names)}
    targets = tuple((table.entries[node_id].host, table.entries[node_id].port) for node_id in names)
    if all(len(owners) == len(names) for owners in by_partition):
        return Topology(targets, None)
    return Topology(targets, tuple(tuple(position_of[node_id] for node_id in owners) for owners in by_partition))
