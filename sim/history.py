"""What clients asked and heard: one record for each operation, with real intervals.

What: ``OperationRecord`` is one call of one client from its start to its end, retries included. ``StoreEvent`` is one
change of one node's store. The ledger of dots (``ledger``) is derived from the second, checkers read both.

Invariant: ``sequence`` numbers are global and strictly increasing over the whole run: every call, return and store
event has its own, so two events at the same virtual moment still have an order. An operation that never returned has
outcome ``UNKNOWN`` and ``return_sequence`` None; it may have taken effect at any time after its call.

Why outcomes of three kinds: a client that heard "maybe" must not be counted as refused nor as acknowledged
(brief section 10). ``FAILED`` means definite: nothing was changed.
"""

import enum
from typing import Any

import attrs

__all__ = ["HINT", "OperationKind", "OperationRecord", "Outcome", "StoreCause", "StoreEvent"]

HINT = "hint:"
"""A hint's place is this and its target; the place of an owner's record is the empty string."""


class OperationKind(enum.StrEnum):
    """What an operation does; every write of a value writes a value that no other operation writes."""

    GET = "get"
    SET = "set"
    SET_IF_ABSENT = "set_if_absent"
    SET_IF_PRESENT = "set_if_present"
    SET_IF_VERSION = "set_if_version"
    GET_AND_SET = "get_and_set"
    DELETE = "delete"
    DELETE_IF_VERSION = "delete_if_version"
    TOUCH = "touch"
    INCREMENT = "increment"
    FILL = "fill"
    """A read that misses, and later a set with the token that the miss gave; one that finds a value is a GET."""
    INVALIDATE_TAG = "invalidate_tag"
    INVALIDATE_PATTERN = "invalidate_pattern"
    FLUSH = "flush"
    INVALIDATE_VERSION = "invalidate_version"
    SCAN = "scan"
    CONFIGURE = "configure"
    """Settings of a namespace are changed."""
    SUBSCRIBE = "subscribe"
    """A subscriber begins; it leaves no record, but what it was told."""


class Outcome(enum.StrEnum):
    """How an operation ended."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


class StoreCause(enum.StrEnum):
    """Why a node's store changed for a key."""

    PUT = "put"
    """Stored as given: the coordinator's own write, or one that follows what was held."""
    MERGE = "merge"
    """Merged from elsewhere: replication, hint, read repair."""
    EXPIRE = "expire"
    """The entry's time had come; ``after`` is what is left of it, a tombstone or None."""
    EVICT = "evict"
    REAP = "reap"
    """A tombstone was dropped by age."""
    DISCARD = "discard"
    """A copy that was out of touch for too long dropped what is old; what is younger stays, knowing of nothing else."""
    INVALIDATE = "invalidate"
    """An epoch ended it; ``after`` is what that left of it."""
    REMOVE = "remove"
    CLEANSE = "cleanse"
    """Removed by a node whose clock had run ahead, since it was dated in the future: as if it had been lost there."""
    LOST = "lost"
    """The node lost its memory: one event for each key it held."""


@attrs.frozen
class StoreEvent:
    """One change of what one node holds for one key; ``before`` and ``after`` are packed records or None."""

    sequence: int
    at_s: float
    node_id: str
    incarnation: int
    key: bytes
    before: bytes | None
    after: bytes | None
    cause: StoreCause
    hybrid_ms: int
    """The node's hybrid clock in milliseconds (what it judges expiry by)."""
    place: str = ""
    """Empty for the store; ``hint:`` and the target for a record kept for an absent owner."""


@attrs.frozen
class OperationRecord:
    """One operation of one client.

    ``number`` is its place in the workload. ``arguments`` are as in the workload, plus: ``value`` written (bytes),
    ``delta`` of an increment, ``ttl_s``, ``version`` demanded (the bytes of an earlier answer), ``tags`` of a write,
    ``tag`` or ``pattern`` invalidated, ``namespace`` of what concerns no single key (then ``key`` is empty),
    ``settings`` of a namespace.
    ``level`` is the level in force (a ``dynacache.types.Level`` as int). ``result``: of reads the value (bytes, int for
    counters) or None for a miss; of writes whether it was applied; of increments the new value. ``metadata`` holds what
    else was told: ``version`` (context), ``miss_reason`` (int), ``expiry_ms``, ``updated_ms``, ``siblings`` (list of
    values), ``previous``, ``receipt`` (map, see wire.messages), ``error`` (class name and text), ``attempts``; of fills
    ``token_sequence``, when its token came. The result of a scan is its keys, qualified, in the order they came; that
    of a change of settings is their version.
    """

    number: int
    client: int
    kind: OperationKind
    key: bytes
    level: int
    call_sequence: int
    call_s: float
    return_sequence: int | None = None
    return_s: float | None = None
    outcome: Outcome = Outcome.UNKNOWN
    result: Any = None
    arguments: dict[str, Any] = attrs.field(factory=dict)
    metadata: dict[str, Any] = attrs.field(factory=dict)

    @property
    def writes(self) -> bool:
        """Whether it may change what is stored (a touch included)."""
        return self.kind not in (OperationKind.GET, OperationKind.SCAN)
