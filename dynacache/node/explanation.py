"""What one node knows of one key: the data of ``dynacache explain``.

What: ``explain`` gathers this node's copy (its clock, versions, expiry, what is remembered when there is none), the
state of its partition here, the hints held for other owners, when the partition last agreed with another owner, and the
last read through this node that found nothing.

Invariant: looking changes nothing: no use is marked, nothing expires by it. Everything is a plain value that msgpack
can carry: times in milliseconds since 1970 (0 for never or unknown), actors as text, payloads only by their length.

Why on each node and not gathered here: a node answers for itself; who asks joins the answers, and sees who is silent.
"""

from typing import TYPE_CHECKING, Any

from dynacache.datatypes.reading import read
from dynacache.placement.partitions import partition_of_key
from dynacache.storage.records import deleted_ms, is_tombstone
from dynacache.types import NodeId
from dynacache.versioning import kernel
from dynacache.versioning.layout import decode

if TYPE_CHECKING:
    from dynacache.node.core import Node

__all__ = ["explain", "told_of_record"]

_KINDS = {kernel.REGISTER: "value", kernel.TOMBSTONE: "tombstone", kernel.COUNTER: "counter"}


def explain(node: "Node", key: bytes) -> dict[str, Any]:
    """Return what a node knows of a key."""
    shared, placement = node.shared, node.members.placement
    partition = partition_of_key(key, shared.partition_shift)
    readers = placement.owners(partition)
    return {
        "node": node.node_id,
        "partition": partition,
        "at_ms": shared.now_ms,
        "role": _role(node, partition),
        "owners": list(readers),
        "write_owners": list(placement.write_owners(partition)),
        "fallbacks": list(placement.preference(partition)[len(placement.write_owners(partition)) :]),
        "copy": _copy(node, partition, key),
        "warming": partition in node.engine.warming,
        "stale": partition in node.engine.stale,
        "repair_pending": partition in node.engine.dirty,
        "last_sync_ms": node.exchange.last_sync_ms(partition),
        "clock": node.quarantine.watch.trust.value,
        "hints": [
            {
                "target": target,
                "age_ms": max(0, shared.now_ms - hint.stored_ms),
                "counted": hint.counted,
                "record": told_of_record(hint.record, shared.now_ms),
            }
            for target, hint in node.hints.of_key(key)
        ],
        "last_miss": shared.misses.last(key),
    }


def told_of_record(record: bytes, now_ms: int) -> dict[str, Any]:
    """Return a record in words: what a reader sees of it, its clock, and each version that lives."""
    state, view = decode(record), read(record, now_ms)
    return {
        "found": view.found,
        "updated_ms": view.time >> 16,
        "created_ms": view.created_ms,
        "expire_ms": view.expire_ms,
        "tombstone_age_ms": max(0, now_ms - deleted_ms(record)) if is_tombstone(record) else None,
        "bytes": len(record),
        "context": {_actor(actor): n for actor, n in sorted(state.context.items())},
        "versions": [
            {
                "dot": f"{_actor(actor)}:{n}",
                "kind": _KINDS.get(version.kind, str(version.kind)),
                "time_ms": version.time >> 16,
                "expire_ms": version.expire_ms,
                "payload_bytes": len(version.payload),
            }
            for (actor, n), version in sorted(state.dots.items(), key=lambda each: each[1].time, reverse=True)
        ],
    }


def _role(node: "Node", partition: int) -> str:
    placement = node.members.placement
    if node.node_id in placement.owners(partition):
        return "owner"
    return "writes only" if node.node_id in placement.write_owners(partition) else "not an owner"


def _copy(node: "Node", partition: int, key: bytes) -> dict[str, Any]:
    """Return what this node's store holds of the key, or why it holds nothing."""
    record = node.engine.peek(partition, key)
    if record is not None:
        return {"held": True, "record": told_of_record(record, node.shared.now_ms)}
    evicted, before = node.engine.missing(partition, key), node.engine.superseded_before(partition, key)
    return {
        "held": False,
        "evicted": evicted is not None,
        "evicted_version_ms": (evicted or 0) >> 16,
        "deleted_before_ms": before >> 16 if before is not None and evicted is None else 0,
        "gone": node.engine.why_gone(partition, key).name.lower(),
    }


def _actor(actor: tuple[int, int]) -> NodeId:
    incarnation, base = actor
    return f"{incarnation:x}.{base}"
