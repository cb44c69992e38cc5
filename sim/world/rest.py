"""Whether a cluster has come to rest: nothing is under way any more, and the owners of each partition hold the same.

What: ``unfinished`` names the first thing that is still to come, in words, or returns nothing; ``differing`` names two
owners of a partition whose trees differ although neither has settled a difference there.

Invariant: looking changes nothing. A cluster of which ``unfinished`` says nothing has one member table, no change of
it under way, no hint, no request, no partition that is filled, stale or departing, every clock trusted, one catalogue,
every store swept, and trees that are equal wherever they are not known to differ for good (a full store).

Why trees as well as records: a judge compares the records; what is forgotten, evicted or deleted shows in trees alone,
and a tree that differs makes repair work for ever.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from pyroaring import BitMap

from dynacache.namespaces.names import without_factor
from dynacache.node import Node
from dynacache.placement.partitions import partition_of_key
from dynacache.placement.table import MemberState
from dynacache.repair.ring_rules import TRANSITIONS
from dynacache.storage.records import is_tombstone
from dynacache.wire.epoch_names import EPOCH_PREFIX

from .gauges import inside_of

__all__ = ["differing", "lasting_entries", "settled_partitions", "unfinished"]

_CHANGING = TRANSITIONS | {MemberState.REMOVING}


def unfinished(nodes: Sequence[Node], refused: Mapping[str, Collection[bytes]], *, trees: bool = True) -> str:
    """Return what these nodes, all that run, have not finished; ``trees``: also compare what they hold.

    ``refused`` are the keys that each node's full store had no room to merge: what waits for that is no work left, as
    long as there is no room.
    """
    full = {
        partition_of_key(inside_of(node, key), node.members.placement.shift)
        for node in nodes
        for key in refused.get(node.node_id, ())
    }
    waited_for = {node.node_id: (node.engine.admits(), refused.get(node.node_id, ())) for node in nodes}
    for node in nodes:
        left = _own(node, waited_for, full)
        if left:
            return f"{node.node_id}: {left}"
    if len({node.members.table.digest for node in nodes}) > 1:
        return "there are different member tables"
    now_ms = max(node.shared.now_ms for node in nodes)
    if any(lasting_entries(node, now_ms) != lasting_entries(nodes[0], now_ms) for node in nodes):
        return "the nodes' catalogues differ"
    return differing(nodes, full) if trees else ""


def _own(node: Node, waited_for: Mapping[str, tuple[bool, Collection[bytes]]], full: set[int]) -> str:
    """Return what one node has still to do; ``waited_for``: whether each has room now, and what it has refused."""
    engine, ring = node.engine, node.ring.progress()
    counts = {
        "hints": sum(
            not _waits_for_room(without_factor(key), hint.record, *waited_for.get(target, (True, ())))
            for target, key, hint in node.hints.items()
        ),
        "requests under way": len(node.shared.pending),
        "partitions to be filled": len(engine.warming),
        "stale partitions": len(engine.stale - BitMap(full)),
        "departing partitions": len(node.exchange.departing),
    }
    for name, count in counts.items():
        if count:
            return f"{count} {name}"
    if node.closing.is_ending:
        return "it is stopping"
    if not engine.is_swept:
        return "it has not been swept since the last invalidation"
    if not node.shared.clock_safe:
        return "its clock is in doubt"
    if ring["wants"]:
        return f"it wants to be {ring['wants']}, and waits for {ring['waiting_for']}"
    for entry in node.members.table.entries.values():
        if entry.state in _CHANGING or entry.removal in (1, 2):
            return f"{entry.node_id} is {entry.state.name.lower()} (removal {entry.removal}); {ring['waiting_for']}"
    return ""


def _waits_for_room(key: bytes, record: bytes, admits: bool, refused: Collection[bytes]) -> bool:
    """Return whether a hint waits until its target has room. One that has room again will be brought what it refused,
    when the pause before the hints has passed (seed 673); tombstones have a share of their own, which may be full."""
    return key in refused and (not admits or is_tombstone(record))


def lasting_entries(node: Node, now_ms: int) -> dict[bytes, tuple[int, bytes]]:
    """Return a node's catalogue without epochs whose time is over: each node forgets those when it comes to it."""
    least = now_ms - node.invalidator.retention_ms
    entries = node.shared.catalogue.entries
    return {name: entry for name, entry in entries.items() if name[:1] != EPOCH_PREFIX or entry[0] >> 16 >= least}


def differing(nodes: Iterable[Node], full: Collection[int] = ()) -> str:
    """Return two owners whose trees of a partition differ for no settled reason, and not for want of room."""
    by_name = {node.node_id: node for node in nodes}
    settled = {name: settled_partitions(node) for name, node in by_name.items()}
    placement = next(iter(by_name.values())).members.placement
    for partition, owners in enumerate(placement.owners_by_partition):
        present = [name for name in owners if name in by_name]
        roots = {name: by_name[name].engine.root(partition) for name in present}
        for name in present[1:]:
            first = present[0]
            known = (first, name, partition) in settled[first] or (name, first, partition) in settled[name]
            if roots[name] != roots[first] and not known and partition not in full:
                return f"the trees of {first} and {name} differ in partition {partition}"
    return ""


def settled_partitions(node: Node) -> set[tuple[str, str, int]]:
    """Return (node, peer, partition) of every partition in which the node has settled a difference with a peer."""
    views = node.exchange.ground.peers
    return {(node.node_id, name, partition) for name, view in views.items() for partition in view.settled._trees}
