"""The four messages of the birth exchange, each a plain map that msgpack can carry.

What: ``Standing`` (a candidate and all it knows), ``Asking`` (a later start that founds nothing), ``Born`` (the birth
record and the present member table), ``Refused`` (a sentence why the request was not served).

Invariant: ``decode`` returns one of them or raises ``WireValueError`` naming the value; nothing half-checked gets in.
Keys it does not know are ignored, so that a later release can add some.

Why one shape for request and reply: every message tells the sender's whole state, so any of them may be lost, repeated
or late, and the exchange needs no request numbers.
"""

from collections.abc import Callable, Mapping

import attrs

from dynacache.placement.birth_record import (
    MAX_FOUNDERS,
    BirthRecord,
    Candidate,
    Incarnations,
    incarnations_from_wire,
)
from dynacache.placement.checks import WireValueError, integer, sequence, shown, text
from dynacache.placement.partitions import partition_shift
from dynacache.placement.table import MAX_REPLICATION_FACTOR, NODE_ID_LIMIT_CHARACTERS, MemberTable
from dynacache.types import NodeId

__all__ = [
    "MAX_CANDIDATES",
    "REASON_LIMIT_CHARACTERS",
    "Asking",
    "BirthMessage",
    "Known",
    "Lock",
    "Numbers",
    "Promise",
    "Refused",
    "Standing",
    "decode",
    "encode",
]

MAX_CANDIDATES = 2 * MAX_FOUNDERS
REASON_LIMIT_CHARACTERS = 500


@attrs.frozen
class Numbers:
    """What all founders must have been started with alike."""

    founders: int
    partition_count: int
    replication_factor: int


@attrs.frozen
class Lock:
    """A round that all its members promised, and the founders that it settled on."""

    round: Incarnations
    value: tuple[Candidate, ...]


@attrs.frozen
class Promise:
    """One process's word to take part in no earlier round, with the latest lock that it knew of when giving it."""

    round: Incarnations
    reported: Lock | None


@attrs.frozen
class Standing:
    """A candidate's whole state. ``candidates`` holds the sender itself too."""

    node_id: NodeId
    numbers: Numbers
    candidates: tuple[Candidate, ...]
    promise: Promise | None
    lock: Lock | None


@attrs.frozen
class Asking:
    """A node that would join what exists and founds nothing."""

    node_id: NodeId


@attrs.frozen
class Known:
    """The cluster exists: its record and the sender's member table."""

    node_id: NodeId
    record: BirthRecord
    table: MemberTable


@attrs.frozen
class Refused:
    """The request was not served."""

    reason: str


BirthMessage = Standing | Asking | Known | Refused


def encode(message: BirthMessage) -> dict[str, object]:
    """Return the map for a message."""
    if isinstance(message, Standing):
        return {
            "kind": "standing",
            "node": message.node_id,
            "numbers": list(attrs.astuple(message.numbers)),
            "candidates": [candidate.to_wire() for candidate in message.candidates],
            "promise": _promise_to_wire(message.promise),
            "lock": _lock_to_wire(message.lock),
        }
    if isinstance(message, Known):
        record, table = message.record.to_wire(), message.table.to_wire()
        return {"kind": "known", "node": message.node_id, "record": record, "table": table}
    if isinstance(message, Asking):
        return {"kind": "asking", "node": message.node_id}
    return {"kind": "refused", "reason": message.reason}


def decode(wire: object) -> BirthMessage:
    """Return the message for a map; raises ``WireValueError`` naming what is wrong."""
    if not isinstance(wire, dict):
        raise WireValueError(f"birth message: got {shown(wire)}, expected a map")
    kind = wire.get("kind")
    decoder = _DECODERS.get(kind) if isinstance(kind, str) else None
    if decoder is None:
        raise WireValueError(f"kind of birth message: got {shown(kind)}, expected one of {', '.join(_DECODERS)}")
    return decoder(wire)


def _node_id(wire: Mapping[object, object]) -> NodeId:
    return text(wire.get("node"), "node id", 1, NODE_ID_LIMIT_CHARACTERS)


def _standing(wire: Mapping[object, object]) -> Standing:
    numbers = sequence(wire.get("numbers"), "numbers", 3, 3)
    partition_shift(numbers[1])
    return Standing(
        node_id=_node_id(wire),
        numbers=Numbers(
            integer(numbers[0], "founders", 1, MAX_FOUNDERS),
            numbers[1],
            integer(numbers[2], "replication factor", 1, MAX_REPLICATION_FACTOR),
        ),
        candidates=_candidates(wire.get("candidates"), MAX_CANDIDATES),
        promise=_promise_from_wire(wire.get("promise")),
        lock=_lock_from_wire(wire.get("lock")),
    )


def _asking(wire: Mapping[object, object]) -> Asking:
    return Asking(_node_id(wire))


def _known(wire: Mapping[object, object]) -> Known:
    record = BirthRecord.from_wire(wire.get("record"))
    table = MemberTable.from_wire(wire.get("table"))
    numbers = (record.cluster_id, record.partition_count, record.replication_factor)
    if numbers != (table.cluster_id, table.partition_count, table.replication_factor):
        raise WireValueError(f"member table: of cluster {table.cluster_id.hex()}, expected {record.cluster_id.hex()}")
    return Known(_node_id(wire), record, table)


def _refused(wire: Mapping[object, object]) -> Refused:
    return Refused(text(wire.get("reason"), "reason", 0, REASON_LIMIT_CHARACTERS))


_DECODERS: dict[str, Callable[[Mapping[object, object]], BirthMessage]] = {
    "standing": _standing,
    "asking": _asking,
    "known": _known,
    "refused": _refused,
}


def _candidates(wire: object, limit: int) -> tuple[Candidate, ...]:
    found = [Candidate.from_wire(item) for item in sequence(wire, "candidates", 1, limit)]
    if len({candidate.node_id for candidate in found}) != len(found):
        raise WireValueError("candidates: expected different node ids")
    return tuple(found)


def _lock_to_wire(lock: Lock | None) -> list[object] | None:
    return None if lock is None else [lock.round, [candidate.to_wire() for candidate in lock.value]]


def _lock_from_wire(wire: object) -> Lock | None:
    if wire is None:
        return None
    fields = sequence(wire, "lock", 2, 2)
    return Lock(incarnations_from_wire(fields[0], "round"), _candidates(fields[1], MAX_FOUNDERS))


def _promise_to_wire(promise: Promise | None) -> list[object] | None:
    return None if promise is None else [promise.round, _lock_to_wire(promise.reported)]


def _promise_from_wire(wire: object) -> Promise | None:
    if wire is None:
        return None
    fields = sequence(wire, "promise", 2, 2)
    return Promise(incarnations_from_wire(fields[0], "round"), _lock_from_wire(fields[1]))
