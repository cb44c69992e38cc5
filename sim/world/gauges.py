"""Looking at nodes: gauges along the way, and what each holds at the end.

What: ``gauge`` reads the sizes that have limits; ``snapshot`` copies everything a node holds.

Invariant: looking changes nothing, neither in the node nor in the trace. What is read here is never asked of the node
itself: its own report could share its own mistake.

Why a recount only now and then: it visits every entry.
"""

from collections.abc import Iterable
from itertools import chain

from dynacache.coordination.catalogue import ENTRIES_LIMIT
from dynacache.coordination.namespaces import SETTINGS_KIND
from dynacache.namespaces.names import namespace_of, with_factor, without_factor
from dynacache.namespaces.settings import NamespaceSettings
from dynacache.node import Node
from dynacache.placement.partitions import partition_of_key
from dynacache.storage.accounting import object_bytes
from dynacache.storage.engine import Engine
from dynacache.storage.records import is_tombstone
from dynacache.storage.replica import ADMIT_SHARE
from dynacache.storage.statistics import StorageStatistics
from dynacache.versioning.layout import decode

from ..evidence import Gauge, NodeSnapshot
from ..ledger import is_spent
from .machine import Machine

__all__ = ["gauge", "inside_of", "refused", "repair_spent", "snapshot"]


def gauge(machine: Machine, node: Node, at_s: float, *, recount: bool) -> Gauge:
    """Return the sizes of one node now."""
    engine, hints, config = node.engine, node.hints, machine.config
    statistics = engine.statistics()
    return Gauge(
        at_s=at_s,
        node_id=machine.name,
        used_bytes=statistics.usage.total_bytes,
        limit_bytes=statistics.limit_bytes,
        recounted_bytes=engine.recount().total_bytes if recount else None,
        tombstone_bytes=_deleted_bytes(engine, statistics),
        tombstone_limit_bytes=statistics.tombstone_limit_bytes,
        hint_bytes=hints.total_bytes,
        hint_limit_bytes=config.hints.limit_bytes,
        hint_bytes_by_target=dict(hints._bytes_by_target),
        hint_target_limit_bytes=config.hints.target_limit_bytes,
        hint_count_by_target=hints.counts(),
        hint_target_limit_count=config.hints.target_limit_count,
        hint_recounted_bytes=hints.recount_bytes() if recount else None,
        pending=len(node.shared.pending),
        pending_limit=config.coordination.pending_limit,
        operation_ids=len(node.operations),
        operation_id_limit=config.coordination.operation_id_limit,
        ghosts=statistics.ghosts,
        catalogue=len(node.shared.catalogue.entries),
        catalogue_limit=2 * ENTRIES_LIMIT,
        trees=sum(map(len, engine.partitions)),
        trees_right=sum(map(engine.check_trees, chain(*engine.partitions))) if recount else None,
        largest_entry_bytes=_largest_bytes(engine) if statistics.usage.total_bytes > statistics.limit_bytes else 0,
        group_bytes=_group_bytes(node),
        group_limit_bytes=_group_limits(node, statistics),
    )


def _shares(node: Node) -> dict[str, float]:
    """Return the namespaces that have a share of the memory of their own, by the node's own catalogue."""
    found = {}
    for name, (_, value) in _settings(node).items():
        share = NamespaceSettings.from_value(value).memory_share
        if share:
            found[name[1:].decode()] = share
    return found


def _group_bytes(node: Node) -> dict[str, int]:
    """Return what keys and values take of each namespace with a share, by visiting everything."""
    shares = _shares(node)
    sizes = dict.fromkeys(shares, 0)
    if not sizes:
        return sizes
    engine = node.engine
    for partition in chain(*engine.partitions):
        for key, record in engine.items(partition):
            name = namespace_of(key) if not key[0] else ""
            if name in sizes and not is_tombstone(record):
                sizes[name] += object_bytes(len(key)) + object_bytes(len(record))
    return sizes


def _group_limits(node: Node, statistics: StorageStatistics) -> dict[str, int]:
    """Return what those may take at most of the bytes that entries may have beside all else."""
    entries_bytes = max(0, statistics.limit_bytes - statistics.usage.total_bytes + node.engine.held()[1])
    return {name: int(share * entries_bytes) for name, share in _shares(node).items()}


def _without_room(node: Node) -> frozenset[str]:
    limits = _group_limits(node, node.engine.statistics())
    return frozenset(name for name, size in _group_bytes(node).items() if size >= ADMIT_SHARE * limits[name])


def _settings(node: Node) -> dict[bytes, tuple[int, bytes]]:
    entries = node.shared.catalogue.entries
    return {name: entry for name, entry in entries.items() if name[:1] == SETTINGS_KIND}


def repair_spent(nodes: Iterable[Node]) -> dict[str, int]:
    """Return what repair has cost and found at these nodes since they began."""
    counters = [node.exchange.ground.counters for node in nodes]
    return {
        "repair_bytes": sum(each.bytes_sent for each in counters),
        "differences": sum(each.differences for each in counters),
        "exchanges": sum(each.exchanges for each in counters),
    }


def _deleted_bytes(engine: Engine, statistics: StorageStatistics) -> int:
    """Return what tombstones take that deletes have left; those of expired values may pass their share."""
    total_bytes = statistics.usage.tombstones_bytes
    if total_bytes <= statistics.tombstone_limit_bytes:
        return total_bytes
    return sum(
        object_bytes(len(key)) + object_bytes(len(record))
        for table in engine._tombstones.tables
        for key, record in table.entries.items()
        if not any(is_spent(version) for version in decode(record).dots.values())
    )


def _largest_bytes(engine: Engine) -> int:
    """Return what the largest entry costs: by so much a store may pass its limit."""
    sizes = (
        object_bytes(len(key)) + object_bytes(len(record))
        for partition in chain(*engine.partitions)
        for key, record in engine.items(partition)
    )
    return max(sizes, default=0)


def snapshot(machine: Machine, node: Node, left_out: Iterable[bytes] = ()) -> NodeSnapshot:
    """Return all that one node holds, what it remembers of the keys that were ``left_out`` somewhere, evicted or only
    witnessed, and which of them it had no room for itself."""
    engine, members = node.engine, node.members
    items = (item for partition in chain(*engine.partitions) for item in engine.items(partition))
    records = {without_factor(key): record for key, record in items}
    return NodeSnapshot(
        node_id=machine.name,
        incarnation=node.shared.issuer.incarnation,
        hybrid_ms=node.shared.now_ms,
        records=records,
        complete=not len(engine.warming),
        warming_partitions=tuple(engine.warming),
        hints=tuple((target, without_factor(key), hint.record) for target, key, hint in node.hints.items()),
        pending=len(node.shared.pending),
        used_bytes=engine.usage().total_bytes,
        recounted_bytes=engine.recount().total_bytes,
        evicted=engine.evicted,
        table_digest=members.table.digest,
        catalogue_digest=node.shared.catalogue.digest,
        settings=_settings(node),
        without_room=_without_room(node),
        member_states=members.states(),
        counters=_counters(node),
        refused=refused(machine) | _witnessed(machine, node, left_out),
        remembered=_remembered(node, left_out),
    )


def inside_of(node: Node, key: bytes) -> bytes:
    """Return a client's key as a node knows it."""
    factor = 0 if key[0] else node.shared.namespaces.factor(namespace_of(key))
    return with_factor(key, factor) if factor else key


def _remembered(node: Node, keys: Iterable[bytes]) -> dict[bytes, int]:
    """Return, of those keys that a node does not hold, the time of the version that it knows to be evicted."""
    shift = node.members.placement.shift
    inside = {key: inside_of(node, key) for key in keys}
    times = {key: node.engine.missing(partition_of_key(each, shift), each) for key, each in inside.items()}
    return {key: time for key, time in times.items() if time}


def refused(machine: Machine) -> frozenset[bytes]:
    """Return the keys for which the store of a machine's process last refused what it was to merge."""
    observer = machine.process.observer if machine.process is not None else None
    return frozenset() if observer is None else frozenset(map(without_factor, observer.refused))


def _witnessed(machine: Machine, node: Node, keys: Iterable[bytes]) -> frozenset[bytes]:
    """Return which of these keys repair asked a full store to remember, which it still does without holding them."""
    observer = machine.process.observer if machine.process is not None else None
    if observer is None or not observer.witnessed:
        return frozenset()
    shift, engine = node.members.placement.shift, node.engine
    inside = {key: inside_of(node, key) for key in keys}
    places = [(partition_of_key(each, shift), each, key) for key, each in inside.items()]
    asked = [place for place in places if engine.fingerprint(*place[:2]) in observer.witnessed]
    return frozenset(key for partition, each, key in asked if engine.missing(partition, each))


def _counters(node: Node) -> dict[str, int]:
    """Return what a node has counted since its start, of requests, of repair and of its store."""
    statistics = node.engine.statistics()
    stored = {f"storage_{name}": getattr(statistics, name) for name in ("reaped_early", "witnessed", "refused")}
    repair = {name: value for name, value in node.upkeep.statistics().items() if type(value) is int}
    return node.counters.snapshot() | repair | stored
