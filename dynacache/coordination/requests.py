"""A client's request with every field checked.

What: ``parse`` turns a message into a ``Request`` or raises ``InvalidRequest`` naming the field, the value and what was
expected. The hot path (plain get and set) checks the same limits inline and comes here only to explain a failure.

Invariant: a ``Request`` that exists is within every limit of ``wire.messages``; nothing was changed before it exists.

Why two paths: an object per request costs more than the whole of a plain read; clarity is needed where options are.
"""

from typing import Any

import attrs

from dynacache.errors import InvalidRequest, LevelNotAvailable
from dynacache.events import Message
from dynacache.namespaces.settings import NEVER_MS
from dynacache.types import Level, WriteCondition
from dynacache.versioning.attachments import pack_tags
from dynacache.wire.messages import (
    DELETE,
    GET,
    INCREMENT,
    KEY_LIMIT_BYTES,
    PAYLOAD_COMPRESSED,
    PAYLOAD_RAW,
    PAYLOAD_SLIDING,
    SET,
    TOUCH,
    USER_KEY_LIMIT_BYTES,
    VALUE_LIMIT_BYTES,
)

__all__ = ["CONTEXT_LIMIT_BYTES", "NOTHING_SLIDES", "OPERATION_ID_LIMIT_BYTES", "TTL_LIMIT_MS", "Request", "parse"]

CONTEXT_LIMIT_BYTES = 8_192
NOTHING_SLIDES = (
    "sliding: got no time to live beside it, expected one, from the request or as its namespace's default_ttl: there is"
    " nothing that reads could renew"
)
"""Why a value that asks to slide and would live for ever is refused."""

OPERATION_ID_LIMIT_BYTES = 32
TTL_LIMIT_MS = 100 * 365 * 24 * 3600 * 1000
"""A time to live is at most a hundred years, so that instants fit their 64-bit field."""

_FIELDS: dict[int, tuple[str, ...]] = {
    GET: ("level", "timeout_ms", "flags", "context"),
    SET: (
        "payload_flags",
        "payload",
        "level",
        "timeout_ms",
        "ttl_ms",
        "flags",
        "condition",
        "context",
        "operation_id",
        "tags",
        "fill",
    ),
    DELETE: ("level", "timeout_ms", "flags", "condition", "context", "operation_id"),
    TOUCH: ("ttl_ms", "level", "timeout_ms"),
    INCREMENT: ("delta", "level", "timeout_ms", "ttl_ms", "operation_id"),
}


@attrs.frozen
class Request:
    """One client request: what is asked of which key, at which level, within which time."""

    operation: int
    rid: int
    key: bytes
    level: int
    timeout_ms: int
    flags: int = 0
    payload_flags: int = 0
    payload: bytes = b""
    ttl_ms: int = 0
    condition: int = WriteCondition.NONE
    context: bytes | None = None
    operation_id: bytes | None = None
    delta: int | float = 0
    tags: tuple[bytes, ...] = ()
    fill: bytes | None = None


def parse(message: Message, default_level: int, default_timeout_ms: int, longest_timeout_ms: int) -> Request:
    """Check a client's message field by field; raises ``InvalidRequest`` or ``LevelNotAvailable``."""
    operation, rid = message[0], message[1]
    names = _FIELDS[operation]
    if not 3 <= len(message) <= 3 + len(names):
        raise InvalidRequest(f"message {operation}: got {len(message)} fields, expected 3 to {3 + len(names)}")
    key = message[2]
    limit = KEY_LIMIT_BYTES if type(key) is bytes and key[:1] == b"\x00" else USER_KEY_LIMIT_BYTES
    if type(key) is not bytes or not 1 <= len(key) <= limit:
        raise InvalidRequest(f"key: got {_shown(key)}, expected 1 to {USER_KEY_LIMIT_BYTES} bytes")
    fields = {name: value for name, value in zip(names, message[3:], strict=False) if value is not None}
    for name, value in fields.items():
        _CHECKS[name](name, value)
    if operation == SET and "payload" not in fields:
        raise InvalidRequest("payload: got nothing, expected bytes")
    if operation == INCREMENT and "delta" not in fields:
        raise InvalidRequest("delta: got nothing, expected a number")
    level = fields.pop("level", 0) or default_level
    if level == Level.STRONG:
        raise LevelNotAvailable("level strong: this namespace is of mode causal, expected one of mode strong")
    timeout_ms = fields.pop("timeout_ms", 0) or default_timeout_ms
    if timeout_ms > longest_timeout_ms:
        raise InvalidRequest(f"timeout_ms: got {timeout_ms}, expected at most {longest_timeout_ms}")
    if "tags" in fields:
        fields["tags"] = tuple(fields["tags"])
    if "fill" in fields and ("context" in fields or fields.get("condition")):
        raise InvalidRequest("fill: got a condition or a version beside it, expected neither")
    request = Request(operation, rid, key, level, timeout_ms, **fields)
    if request.condition == WriteCondition.IF_VERSION and request.context is None:
        raise InvalidRequest("context: got nothing, expected the version that condition 3 demands")
    return request


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return repr(value)[:80]


def _whole(low: int, high: int) -> Any:
    def check(name: str, value: Any) -> None:
        if type(value) is not int or not low <= value <= high:
            raise InvalidRequest(f"{name}: got {_shown(value)}, expected a whole number from {low} to {high}")

    return check


def _bytes(high: int) -> Any:
    def check(name: str, value: Any) -> None:
        if type(value) is not bytes or len(value) > high:
            raise InvalidRequest(f"{name}: got {_shown(value)}, expected at most {high} bytes")

    return check


def _number(name: str, value: Any) -> None:
    if type(value) not in (int, float):
        raise InvalidRequest(f"{name}: got {_shown(value)}, expected a whole number or a float")


def _tags(name: str, value: Any) -> None:
    if value != []:
        pack_tags(value)


def _payload_flags(name: str, value: Any) -> None:
    known = PAYLOAD_RAW | PAYLOAD_SLIDING | PAYLOAD_COMPRESSED
    if type(value) is not int or value & ~known:
        raise InvalidRequest(
            f"{name}: got {_shown(value)}, expected 0, or the sum of any of {PAYLOAD_RAW},"
            f" {PAYLOAD_SLIDING} and {PAYLOAD_COMPRESSED}"
        )


_CHECKS: dict[str, Any] = {
    "level": _whole(0, max(Level)),
    "timeout_ms": _whole(0, 2**31),
    "ttl_ms": _whole(NEVER_MS, TTL_LIMIT_MS),
    "flags": _whole(0, 255),
    "payload_flags": _payload_flags,
    "payload": _bytes(VALUE_LIMIT_BYTES),
    "condition": _whole(0, max(WriteCondition)),
    "context": _bytes(CONTEXT_LIMIT_BYTES),
    "operation_id": _bytes(OPERATION_ID_LIMIT_BYTES),
    "delta": _number,
    "tags": _tags,
    "fill": _bytes(CONTEXT_LIMIT_BYTES),
}
