"""What a read tells the client: value or miss with its reason, metadata, siblings, receipt.

What: ``reply_to_read`` turns an operation's outcome into one message.

Invariant: a miss always has a reason; a receipt says who was asked, who answered, and what is weaker than the level's
full promise (a fallback stood in, repair not confirmed, fewer complete replicas than asked for).

Why apart: the operation decides, this module only words it (promise P9).
"""

from typing import TYPE_CHECKING, Any

import attrs

from dynacache.coordination.fills import fill_token
from dynacache.datatypes.reading import View, read
from dynacache.errors import DynacacheError
from dynacache.events import Message
from dynacache.placement.partitions import fingerprint
from dynacache.types import MissReason, NodeId
from dynacache.versioning.context import make_context
from dynacache.versioning.hybrid_clock import milliseconds
from dynacache.versioning.kernel import EXPIRED, SLIDING
from dynacache.wire.messages import (
    FLAG_METADATA,
    FLAG_NO_PAYLOAD,
    FLAG_RECEIPT,
    FLAG_SIBLINGS,
    MISS,
    PAYLOAD_FLAGS,
    VALUE,
)

if TYPE_CHECKING:
    from dynacache.coordination.read_operation import ReadOperation

__all__ = ["Concluded", "absence_reason", "answers_of", "metadata_of", "miss_reason", "reply_to_read"]


@attrs.frozen
class Concluded:
    """What a read found: the merged record (None for none), the reason if it is a miss, and the promise kept."""

    record: bytes | None
    reason: MissReason
    unrepaired: bool = False
    degraded: bool = False
    error: DynacacheError | None = None


def reply_to_read(operation: "ReadOperation", outcome: Concluded) -> None:
    """Send the client its value or miss."""
    shared = operation.shared
    view = read(outcome.record, shared.now_ms) if outcome.record is not None else None
    metadata = _metadata(operation, outcome, view)
    message: Message
    if view is not None and view.found:
        shared.counters.hits += 1
        shared.counters.conflicts_seen += bool(view.siblings)
        payload = b"" if operation.flags & FLAG_NO_PAYLOAD else view.payload
        if view.flags & SLIDING and not operation.flags & FLAG_NO_PAYLOAD and outcome.record is not None:
            shared.sliding[operation.key] = outcome.record
        shared.turn_reply_bytes += len(payload)
        message = (VALUE, operation.rid, view.flags & PAYLOAD_FLAGS, payload)
    else:
        shared.counters.misses += 1
        reason = miss_reason(outcome, view)
        if reason == MissReason.EXPIRED and view is not None and view.tombstone:
            gone = shared.store.why_gone(operation.partition, operation.key)
            reason = gone if gone == MissReason.INVALIDATED else reason
        answers = answers_of(operation)
        shared.misses.fresh.append((operation.key, shared.now_ms, operation.level, reason, shared.node_id, answers))
        message = (MISS, operation.rid, reason)
    shared.effects.send(operation.connection, message if metadata is None else (*message, metadata))


def absence_reason(operation: "ReadOperation", degraded: bool) -> MissReason:
    """Return why there is nothing, if there is nothing, as far as the answers tell."""
    if operation.ended is not None:
        return MissReason.INVALIDATED
    if operation.evicted:
        return MissReason.EVICTED
    if degraded:
        return MissReason.UNKNOWN
    if operation.merged is None:
        return operation.shared.store.why_gone(operation.partition, operation.key)
    return MissReason.NEVER_WRITTEN


def miss_reason(outcome: Concluded, view: View | None) -> MissReason:
    """Return why there is no value to show."""
    if view is None or outcome.reason == MissReason.INVALIDATED:
        return outcome.reason
    return MissReason.DELETED if view.tombstone and not view.flags & EXPIRED else MissReason.EXPIRED


def answers_of(operation: "ReadOperation") -> dict[NodeId, str]:
    """Return in a word what each machine asked has answered."""
    now_ms = operation.shared.now_ms
    told = dict.fromkeys(operation.asked, "silent") | dict.fromkeys(operation.unknown, "unknown")
    for node_id, record in operation.records.items():
        told[node_id] = "found" if read(record, now_ms).found else "deleted or expired"
    return told | dict.fromkeys(operation.absent, "absent") | dict.fromkeys(operation.evicted, "evicted")


def metadata_of(record: bytes, view: View, key: bytes) -> dict[str, Any]:
    """Return context, timestamps (ms), expiry (ms), size (bytes of key and record in one copy) and tags of a record."""
    metadata = {
        "c": make_context(record, fingerprint(key)),
        "t": milliseconds(view.time),
        "b": view.created_ms,
        "e": view.expire_ms,
        "n": len(key) + len(record),
    }
    tags = view.tags
    if tags:
        metadata["g"] = list(tags)
    return metadata


def _metadata(operation: "ReadOperation", outcome: Concluded, view: View | None) -> dict[str, Any] | None:
    flags = operation.flags
    if not flags & (FLAG_METADATA | FLAG_RECEIPT | FLAG_SIBLINGS):
        return None
    metadata: dict[str, Any] = {}
    if outcome.record is not None and view is not None and flags & FLAG_METADATA:
        metadata = metadata_of(outcome.record, view, operation.key)
    if flags & FLAG_METADATA and not flags & FLAG_NO_PAYLOAD and not (view is not None and view.found):
        metadata["f"] = fill_token(operation.shared, operation.key, operation.ended or outcome.record)
    if view is not None and flags & FLAG_SIBLINGS:
        metadata["s"] = [[each.flags & PAYLOAD_FLAGS, each.payload, milliseconds(each.time)] for each in view.siblings]
    if flags & FLAG_RECEIPT:
        metadata["r"] = _receipt(operation, outcome)
    return metadata


def _receipt(operation: "ReadOperation", outcome: Concluded) -> dict[str, Any]:
    own = operation.shared.node_id
    complete = [*operation.records, *operation.absent, *operation.evicted]
    stood_in = [each.stands_for for each in operation.asked.values() if each.stands_for != each.node_id]
    if operation.route.self_stands_for not in ("", own):
        stood_in.insert(0, operation.route.self_stands_for)
    return {
        "asked": [own, *operation.asked],
        "answered": complete,
        "unknown": operation.unknown,
        "stood_in": stood_in,
        "level": operation.level,
        "coordinator": own,
        "unrepaired": outcome.unrepaired,
        "degraded": outcome.degraded,
    }
