"""From an operation of the workload to calls of the product's client, one after the other.

What: ``first_call`` builds the call with which an operation begins. ``following`` looks at the answer to a call and
returns what comes next, and after how long: a fill is a read whose miss gives a token, a pause in which the value is
loaded, and a set with that token; a scan is as many calls as it has pages.

Invariant: an operation whose ``following`` is None has ended. Calls are those of ``dynacache.client.requests``, where
it has one of the kind.
"""

from collections.abc import Mapping
from typing import Any

from dynacache.client.calls import Call
from dynacache.client.requests import Requests
from dynacache.client.results import read_applied, read_report
from dynacache.errors import ProtocolError
from dynacache.namespaces.names import split
from dynacache.types import WriteCondition
from dynacache.wire.epoch_names import FLUSH, PATTERN, TAG
from dynacache.wire.messages import INVALIDATE, MISS, SCAN, SCANNED, SET

from ..history import OperationKind
from ..workload import Operation

__all__ = ["LEVELS", "PAGE_KEYS", "first_call", "following"]

LEVELS = {1: "one", 2: "quorum", 3: "strict_quorum", 4: "all", 5: "strong"}
"""Levels by number, as the client names them."""

PAGE_KEYS = 3
"""Keys of a page of a scan; few, so that a scan takes several calls."""

_EPOCHS = {
    OperationKind.INVALIDATE_TAG: TAG, OperationKind.INVALIDATE_PATTERN: PATTERN, OperationKind.FLUSH: FLUSH,
}  # fmt: skip
_CONDITION_AT = 6
_INVALIDATE_TIMEOUT = 6
_TAGS_AT = 12
_FILL_AT = 13
_SCAN_TIMEOUT = 6


def first_call(requests: Requests, operation: Operation, kind: OperationKind, version: bytes | None) -> Call[Any]:
    """Return the call with which an operation begins, as this kind."""
    given = operation.arguments
    requests, key = _named(requests, operation.key)
    level: Any = LEVELS[given["level"]] if given.get("level") else None
    if kind is OperationKind.GET:
        if given.get("full", True):
            return requests.fetch(key, siblings=True, receipt=True, level=level)
        return requests.get(key, level=level)
    if kind is OperationKind.FILL:
        return requests.fetch(key, level=level)
    if kind is OperationKind.DELETE:
        return requests.delete(key, level=level)
    if kind is OperationKind.DELETE_IF_VERSION:
        return requests.delete(key, version=version, receipt=True, level=level)
    if kind is OperationKind.INVALIDATE_VERSION:
        call = requests.delete(key, version=version, receipt=True, level=level)
        call.message[_CONDITION_AT] = WriteCondition.NONE.value
        return call
    if kind in _EPOCHS:
        return _invalidate(_EPOCHS[kind], given, given["level"])
    if kind is OperationKind.TOUCH:
        return requests.touch(key, given["ttl_s"], level=level)
    if kind is OperationKind.INCREMENT:
        return requests.increment(key, given["delta"], level=level)
    if kind is OperationKind.SCAN:
        return _scan_page(given["prefix"], b"")
    if kind is OperationKind.CONFIGURE:
        return _configure(requests, given)
    return _write(requests, operation, kind, version, level)


def _write(
    requests: Requests, operation: Operation, kind: OperationKind, version: bytes | None, level: Any
) -> Call[Any]:
    given = operation.arguments
    key = split(operation.key)[1]
    value, ttl = given.get("value"), given.get("ttl_s")
    lasting: dict[str, Any] = {"ttl": ttl, "sliding": given.get("sliding", False), "level": level}
    if kind is OperationKind.SET:
        call: Call[Any] = requests.set(key, value, receipt=bool(operation.number & 1), **lasting)
    elif kind is OperationKind.SET_IF_ABSENT:
        call = requests.set(key, value, only_if_absent=True, receipt=True, **lasting)
    elif kind is OperationKind.SET_IF_PRESENT:
        call = requests.set(key, value, only_if_present=True, receipt=True, **lasting)
    elif kind is OperationKind.SET_IF_VERSION:
        call = requests.set(key, value, version=version, receipt=True, **lasting)
    else:
        call = requests.set(key, value, previous=True, receipt=True, **lasting)
    _attach(call, given.get("tags"))
    return call


def _named(requests: Requests, qualified: bytes) -> tuple[Requests, bytes]:
    """Return what builds calls in the namespace of a key, and the key as an application would name it."""
    if not qualified:
        return requests, qualified
    name, key = split(qualified)
    return (requests.of_namespace(name) if name else requests), key


def _attach(call: Call[Any], tags: Any, token: bytes | None = None) -> None:
    """Add the trailing fields of a SET."""
    if call.message[0] != SET or not (tags or token):
        return
    message = call.message
    message += [None] * (_TAGS_AT - len(message))
    message.append(list(tags or ()))
    if token is not None:
        message.append(token)


def following(requests: Requests, operation: Operation, call: Call[Any]) -> tuple[Call[Any], float] | None:
    """Return the next call after one that was answered, and after how many seconds; None if there is none.

    The result of a scan gathers in the ``default`` of its calls, of a fill's set nothing does.
    """
    reply = call.reply
    assert reply is not None
    if operation.kind is OperationKind.SCAN and reply[0] == SCANNED:
        call.default.extend(reply[3])
        return (_scan_page(operation.arguments["prefix"], reply[2], call.default), 0.0) if reply[2] else None
    if operation.kind is OperationKind.FILL and reply[0] == MISS:
        told = reply[3] if len(reply) > 3 and type(reply[3]) is dict else {}
        token = told.get("f")
        if token is not None:
            given = operation.arguments
            level: Any = LEVELS[given["level"]]
            requests, key = _named(requests, operation.key)
            filling = requests.set(key, given["value"], receipt=True, level=level)
            _attach(filling, given.get("tags"), token)
            return filling, given["think_s"]
    return None


def _invalidate(kind: int, given: Mapping[str, Any], level: int) -> Call[Any]:
    argument = given.get("tag") or given.get("pattern") or b""
    message = [INVALIDATE, 0, kind, given.get("namespace", b""), argument, level, 0]
    return Call(message, _INVALIDATE_TIMEOUT, None, read_applied, False, True)


def _configure(requests: Requests, given: Mapping[str, Any]) -> Call[Any]:
    name = given.get("namespace", b"").decode()
    call = requests.of_namespace(name).configure(given["settings"], level=LEVELS[given["level"]])
    call.decode = _version_of
    return call


def _version_of(reply: Any, default: Any, wall_ms: int) -> int:
    version: int = read_report(reply, default, wall_ms)["version"]
    return version


def _scan_page(prefix: bytes, cursor: bytes, found: list[bytes] | None = None) -> Call[Any]:
    message = [SCAN, 0, cursor, prefix, None, PAGE_KEYS, 0]
    return Call(message, _SCAN_TIMEOUT, None, _scanned, True, False, default=[] if found is None else found)


def _scanned(reply: Any, default: Any, wall_ms: int) -> list[bytes]:
    if reply[0] != SCANNED:
        raise ProtocolError(f"an answer of kind {reply[0]!r} to a scan")
    keys: list[bytes] = default
    return keys
