"""The messages of the membership protocol as lists of plain values, and their strict reading.

A message is a list whose first element is its kind. Kinds and the positions of fields are append-only: a reader takes
the fields it knows, ignores what follows them, and skips kinds it does not know, so releases side by side understand
each other. The same lists travel in datagrams (several in one packet) and in peer messages over TCP (one each).

    1 PING          sequence, target id               are you there, under that name
    2 PING_REQUEST  sequence, target id, host, port   ask it for me
    3 ACK           sequence                          it is there
    4 NACK          sequence                          it did not answer me, but I am here
    5 CLAIM         state, id, generation, incarnation, host, port, source, stopped, zone, weight,
                    oldest protocol, newest protocol
    6 PUSH          cluster id, [claim fields ...]    my whole table, send me yours
    7 PULL          cluster id, [claim fields ...]    here it is

Invariant: a reader returns a value or None, for anything whatever; nothing it returns is out of the limits of
`state`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import attrs
import msgpack

from dynacache.membership.state import Claim, Member, NodeState

__all__ = [
    "ACK",
    "CLAIM",
    "CLUSTER_ID_LIMIT_BYTES",
    "NACK",
    "PING",
    "PING_REQUEST",
    "PULL",
    "PUSH",
    "SEQUENCE_LIMIT",
    "Ack",
    "Exchange",
    "Message",
    "Nack",
    "Ping",
    "PingRequest",
    "claim_fields",
    "encode_claim",
    "exchange_payload",
    "read_claim",
    "read_message",
    "read_messages",
    "read_stream",
]

PING: Final = 1
PING_REQUEST: Final = 2
ACK: Final = 3
NACK: Final = 4
CLAIM: Final = 5
PUSH: Final = 6
PULL: Final = 7

SEQUENCE_LIMIT: Final = 2**32
CLUSTER_ID_LIMIT_BYTES: Final = 64
_CLAIM_FIELDS: Final = 12
_CLAIM_LENGTH: Final = 1 + _CLAIM_FIELDS
_CLAIMS_REMEMBERED: Final = 8_192
_STATES: Final = {int(state): state for state in NodeState}


@attrs.frozen
class Ping:
    """Asks `target_id` for an ACK; whoever else gets it stays silent."""

    sequence: int
    target_id: str


@attrs.frozen
class PingRequest:
    """Asks the receiver to ping `target_id` at `host`, `port` and to pass on the ACK, or to send a NACK."""

    sequence: int
    target_id: str
    host: str
    port: int


@attrs.frozen
class Ack:
    """Answers the PING or PING_REQUEST of that sequence."""

    sequence: int


@attrs.frozen
class Nack:
    """The relay of that PING_REQUEST has had no answer yet."""

    sequence: int


@attrs.frozen
class Exchange:
    """A whole member table; `is_answer` tells PULL from PUSH, `refused` counts claims that could not be read."""

    cluster_id: bytes
    claims: list[Claim]
    is_answer: bool
    refused: int = 0


Message = Ping | PingRequest | Ack | Nack | Claim
"""What may stand in a datagram."""


def claim_fields(member: Member, source: str) -> list[object]:
    """The fields of a claim in their order on the wire, without the kind."""
    return [
        int(member.state),
        member.node_id,
        member.generation,
        member.incarnation,
        member.host,
        member.port,
        source,
        int(member.stopped),
        member.zone,
        member.weight,
        member.protocol_minimum,
        member.protocol_maximum,
    ]


def encode_claim(member: Member, source: str) -> bytes:
    """A CLAIM as msgpack."""
    fields = claim_fields(member, source)
    key = tuple(fields)
    encoded = _encodings.get(key)
    if encoded is None:
        encoded = msgpack.packb([CLAIM, *fields])
        if len(_encodings) >= _CLAIMS_REMEMBERED:
            _encodings.clear()
        _encodings[key] = encoded
    return encoded


def read_claim(fields: object) -> Claim | None:
    """The claim in these fields (without the kind), or None if they are none."""
    if type(fields) is not list or len(fields) < _CLAIM_FIELDS:
        return None
    key = tuple(fields) if len(fields) == _CLAIM_FIELDS else tuple(fields[:_CLAIM_FIELDS])
    try:
        claim = _claims.get(key)
    except TypeError:
        return None  # a field that is a list or a map cannot be looked up, and is no claim
    state, _, generation, incarnation, _, port, _, stopped, _, weight, oldest, newest = key
    # Equal keys may still differ in the types of numbers: True and 1.0 equal 1, and are refused all the same.
    if not (
        type(state) is type(generation) is type(incarnation) is type(port) is int
        and type(stopped) is type(weight) is type(oldest) is type(newest) is int
    ):
        return None
    if claim is None:
        claim = _claim_of(*key)
        if claim is not None:
            if len(_claims) >= _CLAIMS_REMEMBERED:
                _claims.clear()
            _claims[key] = claim
    return claim


def read_message(fields: object) -> Message | None:
    """The message in this list of a datagram, or None if it is malformed or of a kind that this release does not
    know."""
    if type(fields) is not list or not fields or type(fields[0]) is not int:
        return None
    reader = _READERS.get(fields[0])
    return None if reader is None else reader(fields[1:])


def read_messages(lists: list[object]) -> tuple[list[Message], int]:
    """The messages in these lists of a datagram, and how many of the lists were none."""
    messages: list[Message] = []
    for fields in lists:
        if type(fields) is list and len(fields) == _CLAIM_LENGTH and fields[0] == CLAIM and type(fields[0]) is int:
            message: Message | None = read_claim(fields[1:])  # most of what is sent while there is news
        else:
            message = read_message(fields)
        if message is not None:
            messages.append(message)
    return messages, len(lists) - len(messages)


def exchange_payload(cluster_id: bytes, table: Iterable[tuple[Member, str]], *, is_answer: bool) -> list[object]:
    """PUSH or PULL with every member of `table` and the source of what is said about it."""
    return [PULL if is_answer else PUSH, cluster_id, [claim_fields(member, source) for member, source in table]]


def read_stream(payload: object, members_limit: int) -> Message | Exchange | None:
    """The message in a peer message over TCP, or None; a table of more than `members_limit` claims is refused whole."""
    if type(payload) is tuple:
        payload = list(payload)
    if type(payload) is not list or not payload or type(payload[0]) is not int:
        return None
    if payload[0] in (PUSH, PULL):
        return _read_exchange(payload, members_limit)
    return read_message(payload)


def _read_exchange(payload: Sequence[object], members_limit: int) -> Exchange | None:
    if len(payload) < 3:
        return None
    kind, cluster_id, table = payload[:3]
    if type(cluster_id) is not bytes or len(cluster_id) > CLUSTER_ID_LIMIT_BYTES:
        return None
    if not isinstance(table, list | tuple) or len(table) > members_limit:
        return None
    claims = [read_claim(list(fields) if type(fields) is tuple else fields) for fields in table]
    good = [claim for claim in claims if claim is not None]
    return Exchange(cluster_id, good, kind == PULL, len(claims) - len(good))


_encodings: Final[dict[tuple[object, ...], bytes]] = {}
"""Claims as bytes, by the same key: what is told on is mostly what was heard a moment ago."""
_claims: Final[dict[tuple[object, ...], Claim]] = {}
"""Claims by their fields: whole tables, and rumours, repeat the same ones over and over. What is found here depends on
nothing but the key, so it is no state. At the limit it is emptied."""


def _claim_of(
    state: object,
    node_id: str,
    generation: int,
    incarnation: int,
    host: str,
    port: int,
    source: object,
    stopped: object,
    zone: str,
    weight: int,
    oldest: int,
    newest: int,
) -> Claim | None:
    """The claim in fields of any type."""
    if type(state) is not int or type(source) is not str or type(stopped) is not int:
        return None
    known_state = _STATES.get(state)
    if known_state is None or stopped not in (0, 1) or not 1 <= len(source) <= 64:
        return None
    try:
        member = _member_of(
            known_state, node_id, generation, incarnation, host, port, stopped == 1, zone, weight, oldest, newest
        )
        source.encode()
    except ValueError:
        return None
    return Claim(member, source)


@functools.lru_cache(maxsize=_CLAIMS_REMEMBERED, typed=True)
def _member_of(
    state: NodeState,
    node_id: str,
    generation: int,
    incarnation: int,
    host: str,
    port: int,
    stopped: bool,
    zone: str,
    weight: int,
    oldest: int,
    newest: int,
) -> Member:
    """The record in these fields, the same object whoever says it, so that most comparisons end at identity."""
    return Member(node_id, host, port, generation, incarnation, state, stopped, zone, weight, oldest, newest)


def _is_sequence(value: object) -> bool:
    return type(value) is int and 0 <= value < SEQUENCE_LIMIT


def _is_text(value: object, limit: int) -> bool:
    return type(value) is str and 1 <= len(value) <= limit


def _read_ping(fields: Sequence[object]) -> Ping | None:
    if len(fields) < 2:
        return None
    sequence, target_id = fields[:2]
    if not isinstance(sequence, int) or not isinstance(target_id, str):
        return None
    return Ping(sequence, target_id) if _is_sequence(sequence) and _is_text(target_id, 64) else None


def _read_ping_request(fields: Sequence[object]) -> PingRequest | None:
    if len(fields) < 4:
        return None
    sequence, target_id, host, port = fields[:4]
    if not isinstance(sequence, int) or not isinstance(target_id, str):
        return None
    if not isinstance(host, str) or not isinstance(port, int):
        return None
    if not (_is_sequence(sequence) and _is_text(target_id, 64) and _is_text(host, 255)):
        return None
    return PingRequest(sequence, target_id, host, port) if _is_sequence(port) and port < 65_536 else None


def _read_ack(fields: Sequence[object]) -> Ack | None:
    sequence = fields[0] if fields else None
    return Ack(sequence) if isinstance(sequence, int) and _is_sequence(sequence) else None


def _read_nack(fields: Sequence[object]) -> Nack | None:
    sequence = fields[0] if fields else None
    return Nack(sequence) if isinstance(sequence, int) and _is_sequence(sequence) else None


_READERS: Final[dict[int, Callable[[list[object]], Message | None]]] = {
    PING: _read_ping,
    PING_REQUEST: _read_ping_request,
    ACK: _read_ack,
    NACK: _read_nack,
    CLAIM: read_claim,
}
