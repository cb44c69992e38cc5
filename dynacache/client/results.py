"""What the caller gets: replies of the wire as frozen values.

What: one decoder per shape of answer, named in the `Call` that asks, and the values `Fetched`, `Written`, `Receipt` and
`Sibling`.

Invariant: a decoder returns the value of a well-formed reply of a kind it expects, and raises a ProtocolError for every
other; ERROR replies never come here, because retries are decided from them first (`client/retries.py`).

Why: the two shells and the pipeline share the decoders, so an operation means the same in all of them. Versions stay
opaque bytes. Instants come from the cluster's hybrid clock; the time to live is the distance from this machine's clock
to the entry's expiry, so it is as good as the agreement of the two clocks, and never below `TTL_MINIMUM_S` for an entry
that the cluster still returned.
"""

from collections.abc import Callable
from typing import Any, Final

import attrs

from dynacache.client.values import decode_value
from dynacache.errors import DynacacheError, ProtocolError, UncertainError, error_from_code
from dynacache.types import NO_EXPIRY, Level, MissReason
from dynacache.wire.codec import Message
from dynacache.wire.messages import DONE, ERROR, MISS, NUMBER, PONG, REPORTED, VALUE

__all__ = [
    "TTL_MINIMUM_S",
    "Decoder",
    "Fetched",
    "Receipt",
    "Reply",
    "Sibling",
    "Written",
    "error_of",
    "read_applied",
    "read_fetched",
    "read_found",
    "read_nothing",
    "read_number",
    "read_previous",
    "read_report",
    "read_ttl",
    "read_value",
    "read_written",
]

TTL_MINIMUM_S: Final = 0.001

Reply = Message
Decoder = Callable[[Reply, Any, int], Any]
"""Takes the reply, the caller's default and this machine's clock (milliseconds since 1970); returns the result."""


@attrs.frozen
class Receipt:
    """What the cluster did to answer, as its coordinator tells it.

    ``coordinator`` is the node that decided: two conditional writes can both be applied only if their receipts name
    different ones, or if one of these lost its memory in between. ``asked`` and ``answered`` name the nodes that were
    asked and that answered completely, ``unknown`` those whose memory is incomplete; ``stood_in`` the owners for which
    fallbacks stood in. ``level`` is the level reached. ``unrepaired``: the value is the newest of the answers, but not
    yet on as many replicas as the level asks for. ``degraded``: the level's promise held only in its weaker form.
    What the coordinator did not tell is empty, None or False.
    """

    coordinator: str
    level: Level | None
    asked: tuple[str, ...]
    answered: tuple[str, ...]
    unknown: tuple[str, ...]
    stood_in: tuple[str, ...]
    unrepaired: bool
    degraded: bool


@attrs.frozen
class Sibling:
    """One of several concurrent versions of a value; ``last_updated`` in seconds since 1970."""

    value: Any
    last_updated: float


@attrs.frozen
class Fetched:
    """A value with all that is known about it.

    ``found`` is False for a miss, which has a ``miss_reason`` and the caller's default as ``value``. ``version`` is
    what a conditional write may demand. ``created_at`` and ``last_updated`` are seconds since 1970; ``ttl`` seconds
    left, None for never. ``siblings`` holds every concurrent version when it was asked for and there are several.
    ``tags`` are those that the value was written with, as bytes. ``fill`` is the token of a miss: what is loaded after
    it is written with ``set(..., fill=...)``. ``size_bytes`` is what key, value and version take in one copy.
    """

    value: Any
    found: bool
    version: bytes | None = None
    created_at: float | None = None
    last_updated: float | None = None
    ttl: float | None = None
    siblings: tuple[Sibling, ...] = ()
    receipt: Receipt | None = None
    miss_reason: MissReason | None = None
    tags: tuple[bytes, ...] = ()
    fill: bytes | None = None
    size_bytes: int | None = None


@attrs.frozen
class Written:
    """The answer to a write; true exactly when it was applied.

    ``version`` (of what is stored now) comes with conditional writes and with ``receipt=True``; ``previous`` is the
    value replaced, when it was asked for and there was one.
    """

    applied: bool
    version: bytes | None = None
    previous: Any = None
    receipt: Receipt | None = None

    def __bool__(self) -> bool:
        return self.applied


_LEVELS: Final = frozenset(int(level) for level in Level)
_REASONS: Final = frozenset(int(reason) for reason in MissReason)
_APPLIED: Final = Written(True)
_REFUSED: Final = Written(False)


def error_of(reply: Reply) -> DynacacheError | None:
    """The error a reply stands for; None for any other reply. A malformed one says nothing about what happened."""
    if reply[0] != ERROR:
        return None
    if len(reply) < 4 or type(reply[2]) is not int:
        return UncertainError("a malformed ERROR reply")
    return error_from_code(reply[2], str(reply[3]))


def read_value(reply: Reply, default: Any, _: int) -> Any:
    """The value, or the default for a miss."""
    kind = reply[0]
    if kind == VALUE:
        return decode_value(reply[2], reply[3])
    if kind == MISS:
        return default
    raise _unexpected(reply)


def read_found(reply: Reply, _: Any, __: int) -> bool:
    """Whether there is a value."""
    if reply[0] not in (VALUE, MISS):
        raise _unexpected(reply)
    return bool(reply[0] == VALUE)


def read_ttl(reply: Reply, _: Any, wall_ms: int) -> float | None:
    """Seconds left, None for never, 0.0 for a miss."""
    if reply[0] == MISS:
        return 0.0
    if reply[0] != VALUE:
        raise _unexpected(reply)
    return _ttl_s(_metadata(reply, 4), wall_ms)


def read_fetched(reply: Reply, default: Any, wall_ms: int) -> Fetched:
    """The value with its metadata."""
    if reply[0] == MISS:
        metadata = _metadata(reply, 3)
        reason = MissReason(reply[2]) if reply[2] in _REASONS else MissReason.UNKNOWN
        version, fill = metadata.get("c"), metadata.get("f")
        return Fetched(default, False, version, receipt=_receipt(metadata), miss_reason=reason, fill=fill)
    if reply[0] != VALUE:
        raise _unexpected(reply)
    metadata = _metadata(reply, 4)
    return Fetched(
        decode_value(reply[2], reply[3]),
        True,
        metadata.get("c"),
        _seconds(metadata.get("b")),
        _seconds(metadata.get("t")),
        _ttl_s(metadata, wall_ms),
        tuple(Sibling(decode_value(flags, payload), ms / 1000) for flags, payload, ms in metadata.get("s") or ()),
        _receipt(metadata),
        tags=tuple(metadata.get("g") or ()),
        size_bytes=metadata.get("n"),
    )


def read_written(reply: Reply, default: Any, _: int) -> Written:
    """Whether the write was applied, with what else was asked for."""
    if reply[0] != DONE:
        raise _unexpected(reply)
    if len(reply) < 4 or not reply[3]:
        return _APPLIED if reply[2] else _REFUSED
    metadata = _metadata(reply, 3)
    return Written(bool(reply[2]), metadata.get("c"), _previous(metadata, default), _receipt(metadata))


def read_applied(reply: Reply, _: Any, __: int) -> bool:
    """Whether the operation found something to act on."""
    if reply[0] != DONE:
        raise _unexpected(reply)
    return bool(reply[2])


def read_previous(reply: Reply, default: Any, _: int) -> Any:
    """The value that was replaced, or the default."""
    if reply[0] != DONE:
        raise _unexpected(reply)
    return _previous(_metadata(reply, 3), default)


def read_number(reply: Reply, _: Any, __: int) -> int:
    """The counter's value."""
    if reply[0] != NUMBER or type(reply[2]) is not int:
        raise _unexpected(reply)
    return reply[2]


def read_report(reply: Reply, _: Any, __: int) -> Any:
    """What the node reports, as plain maps and lists."""
    if reply[0] != REPORTED:
        raise _unexpected(reply)
    return reply[2]


def read_nothing(reply: Reply, _: Any, __: int) -> None:
    """Nothing: the node answered a ping."""
    if reply[0] != PONG:
        raise _unexpected(reply)


def _unexpected(reply: Reply) -> ProtocolError:
    return ProtocolError(f"an answer of kind {reply[0]!r} that does not fit the request")


def _metadata(reply: Reply, position: int) -> dict[str, Any]:
    metadata = reply[position] if len(reply) > position else None
    if metadata is None:
        return {}
    if type(metadata) is not dict:
        raise ProtocolError(f"metadata is a map, got {type(metadata).__name__}")
    return metadata


def _previous(metadata: dict[str, Any], default: Any) -> Any:
    previous = metadata.get("p")
    return default if previous is None else decode_value(previous[0], previous[1])


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _ttl_s(metadata: dict[str, Any], wall_ms: int) -> float | None:
    expiry_ms = metadata.get("e") or NO_EXPIRY
    if expiry_ms == NO_EXPIRY:
        return None
    return float(max((expiry_ms - wall_ms) / 1000, TTL_MINIMUM_S))


def _receipt(metadata: dict[str, Any]) -> Receipt | None:
    told = metadata.get("r")
    if told is None:
        return None
    level = told.get("level")
    return Receipt(
        coordinator=told.get("coordinator") or "",
        level=Level(level) if level in _LEVELS else None,
        asked=tuple(told.get("asked") or ()),
        answered=tuple(told.get("answered") or ()),
        unknown=tuple(told.get("unknown") or ()),
        stood_in=tuple(told.get("stood_in") or ()),
        unrepaired=bool(told.get("unrepaired")),
        degraded=bool(told.get("degraded")),
    )
