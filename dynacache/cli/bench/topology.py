"""Which server owns which keys, from the topology that a node tells its clients.

What: `topology_of` says hello to one node and turns its TOPOLOGY message into the addresses of the members that hold
keys and, for each partition, which of them own it.

Invariant: the generator asks for a key at the first of its owners, exactly as `client.routing` does while all nodes are
well, so the bench measures what an application would see.

Why the first and not any: all clients then meet at one coordinator for a key, whose versions follow each other; with
several coordinators the bench would measure concurrent versions that our clients do not make.
"""

import contextlib

import attrs

from dynacache.cli.bench.connect import greeted
from dynacache.config.cluster import parse_address
from dynacache.errors import UnavailableError
from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberTable

__all__ = ["Topology", "topology_from_wire", "topology_of"]


@attrs.frozen
class Topology:
    """Servers and who of them owns what."""

    targets: tuple[tuple[str, int], ...]
    owners: tuple[tuple[int, ...], ...]
    """For each partition the positions in `targets` of those that are asked for it: its first owner."""


def topology_of(address: str, secret: str, timeout_s: float = 5.0) -> Topology:
    """Ask one node; raises UnavailableError where it cannot be reached, or the error that its hello ended in."""
    with contextlib.ExitStack() as stack:
        try:
            _, message = greeted(parse_address(address, "--server"), secret, timeout_s, stack)
        except OSError as error:
            raise UnavailableError(f"cannot reach {address}: {error}") from error
    return topology_from_wire(message[2])


def topology_from_wire(table_wire: object) -> Topology:
    """The topology that a member table means."""
    table = MemberTable.from_wire(table_wire)
    by_partition = Placement.from_table(table).owners_by_partition
    names = sorted({node_id for owners in by_partition for node_id in owners})
    position_of = {node_id: position for position, node_id in enumerate(names)}
    targets = tuple((table.entries[node_id].host, table.entries[node_id].port) for node_id in names)
    return Topology(targets, tuple((position_of[owners[0]],) for owners in by_partition))
