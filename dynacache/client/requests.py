"""One operation as a wire message, with what a retry and the decoding of its answer need.

What: `Requests` builds a `Call` for each operation from the caller's arguments and the client's defaults. A call holds
the message (its request id and timeout are filled in at each attempt) and then its own fate.

Invariant: arguments are checked here, so a call that exists can be sent. `repeatable` is true only for what may be
applied twice without anyone noticing: reads, touch, and unconditional set and delete, which carry one operation id
through all their attempts so that a coordinator that saw it reuses the version it minted. Increments, conditional
writes and writes that return the previous value are never repeatable.

Why: one mutable slotted object for a call's whole life costs a third of separate request, attempt and result objects;
pipelines, batches and single operations are lists of it.

What concurrent conditional writes promise: below level STRONG a condition is evaluated by one coordinator on what it
can see. Two callers at different coordinators may both be told that ``only_if_absent``, the same expected ``version``
or a ``get_and_set`` succeeded; both values are then kept as concurrent versions, and reads settle on the same winner
everywhere. While no node is failing, all clients ask the same coordinator for a key, and one of the two is refused.
"""

import itertools
from collections.abc import Iterator
from typing import Any, Final

import attrs

from dynacache.client import results
from dynacache.client.options import Options, ttl_ms_of
from dynacache.client.results import Decoder
from dynacache.client.values import Key, encode_key, encode_value
from dynacache.errors import DynacacheError, InvalidRequest
from dynacache.types import Level, WriteCondition
from dynacache.wire.messages import (
    DELETE,
    FLAG_METADATA,
    FLAG_NO_PAYLOAD,
    FLAG_PREVIOUS,
    FLAG_RECEIPT,
    FLAG_SIBLINGS,
    GET,
    INCREMENT,
    PING,
    REPORT,
    SET,
    TOUCH,
)

__all__ = ["CLIENT_ID_BYTES", "DELTA_LIMIT", "Call", "Requests"]

CLIENT_ID_BYTES: Final = 8
DELTA_LIMIT: Final = 2**63 - 1
"""Largest step of an increment, either way."""

_NO_TIMEOUT: Final = 0
_GET_TIMEOUT: Final = 4
_SET_TIMEOUT: Final = 6
_DELETE_TIMEOUT: Final = 4
_TOUCH_TIMEOUT: Final = 5
_INCREMENT_TIMEOUT: Final = 5


@attrs.define(eq=False)
class Call:
    """One operation from the caller to its end. Fields after ``default`` are its fate, kept by retries and shells."""

    message: list[Any]
    timeout_position: int
    """Where the message carries its timeout; 0 for messages without one."""
    key: bytes | None
    """Decides which nodes are asked first; None for whichever node."""
    decode: Decoder
    repeatable: bool
    changes: bool
    """Whether it may change anything; an unknown fate of one that does must be told."""
    spread: bool = False
    """Any owner will do."""
    default: Any = None

    attempts: int = 0
    tried: tuple[Any, ...] = ()
    """Endpoints that failed this call; others are preferred."""
    endpoint: Any = None
    reply: list[Any] | None = None
    error: DynacacheError | None = None
    uncertain: DynacacheError | None = None
    """The first attempt of unknown fate: if no later one succeeds, this is what the caller must hear."""
    batch: Any = None
    """What the shell waits on."""

    def result(self, wall_ms: int) -> Any:
        """The decoded answer; raises what the call ended with."""
        if self.error is not None:
            raise self.error
        assert self.reply is not None
        return self.decode(self.reply, self.default, wall_ms)


def _condition(only_if_absent: bool, only_if_present: bool, version: bytes | None) -> WriteCondition:
    if only_if_absent + only_if_present + (version is not None) > 1:
        raise InvalidRequest("only one of only_if_absent, only_if_present and version can be demanded")
    if only_if_absent:
        return WriteCondition.IF_ABSENT
    if only_if_present:
        return WriteCondition.IF_PRESENT
    if version is None:
        return WriteCondition.NONE
    if not isinstance(version, bytes):
        raise InvalidRequest(f"version: got {type(version).__name__}, expected the bytes of an earlier answer")
    return WriteCondition.IF_VERSION


def _checked_delta(delta: object) -> int:
    if not isinstance(delta, int) or not -DELTA_LIMIT <= delta <= DELTA_LIMIT:
        raise InvalidRequest(f"delta: got {delta!r}, expected an integer within 64 bits")
    return int(delta)


@attrs.define(eq=False)
class Requests:
    """Builds calls for one client. ``client_id`` (8 random bytes) makes its operation ids its own."""

    options: Options
    client_id: bytes
    _sequence: Iterator[int] = attrs.field(factory=itertools.count, init=False)

    def _operation_id(self) -> bytes:
        return self.client_id + next(self._sequence).to_bytes(8, "big")

    def _read(
        self,
        key: Key,
        flags: int,
        decode: Decoder,
        default: Any,
        level: Level | str | None,
        max_staleness: float | None,
    ) -> Call:
        encoded = encode_key(key)
        wire_level, spread = self.options.read(level, max_staleness)
        message = [GET, 0, encoded, wire_level, 0, flags]
        return Call(message, _GET_TIMEOUT, encoded, decode, True, False, spread, default)

    def get(
        self, key: Key, default: Any = None, *, level: Level | str | None = None, max_staleness: float | None = None
    ) -> Call:
        """Read a value."""
        return self._read(key, 0, results.read_value, default, level, max_staleness)

    def exists(self, key: Key, *, level: Level | str | None = None, max_staleness: float | None = None) -> Call:
        """Ask whether there is a value."""
        return self._read(key, FLAG_NO_PAYLOAD, results.read_found, None, level, max_staleness)

    def ttl(self, key: Key, *, level: Level | str | None = None, max_staleness: float | None = None) -> Call:
        """Ask for the time to live."""
        return self._read(key, FLAG_NO_PAYLOAD | FLAG_METADATA, results.read_ttl, None, level, max_staleness)

    def fetch(
        self,
        key: Key,
        default: Any = None,
        *,
        siblings: bool = False,
        receipt: bool = False,
        level: Level | str | None = None,
        max_staleness: float | None = None,
    ) -> Call:
        """Read a value with all that is known about it."""
        flags = FLAG_METADATA | (FLAG_SIBLINGS if siblings else 0) | (FLAG_RECEIPT if receipt else 0)
        return self._read(key, flags, results.read_fetched, default, level, max_staleness)

    def set(
        self,
        key: Key,
        value: Any,
        *,
        ttl: float | None = None,
        only_if_absent: bool = False,
        only_if_present: bool = False,
        version: bytes | None = None,
        previous: bool = False,
        receipt: bool = False,
        level: Level | str | None = None,
    ) -> Call:
        """Write a value."""
        encoded = encode_key(key)
        payload_flags, payload = encode_value(value)
        wire_level = self.options.write(level)
        ttl_ms = 0 if ttl is None else ttl_ms_of(ttl)
        if only_if_absent or only_if_present or version is not None or previous:
            condition = _condition(only_if_absent, only_if_present, version)
            flags = FLAG_METADATA | (FLAG_PREVIOUS if previous else 0) | (FLAG_RECEIPT if receipt else 0)
            tail = [ttl_ms, flags, condition.value, version]
            repeatable = False
        else:
            flags = FLAG_METADATA | FLAG_RECEIPT if receipt else 0
            tail = [ttl_ms, flags, 0, None, self._operation_id()]
            repeatable = True
        message = [SET, 0, encoded, payload_flags, payload, wire_level, 0, *tail]
        return Call(message, _SET_TIMEOUT, encoded, results.read_written, repeatable, True)

    def get_and_set(
        self,
        key: Key,
        value: Any,
        default: Any = None,
        *,
        ttl: float | None = None,
        level: Level | str | None = None,
    ) -> Call:
        """Write a value and return the one it replaced."""
        call = self.set(key, value, ttl=ttl, previous=True, level=level)
        call.decode, call.default = results.read_previous, default
        return call

    def delete(
        self,
        key: Key,
        *,
        version: bytes | None = None,
        previous: bool = False,
        receipt: bool = False,
        level: Level | str | None = None,
    ) -> Call:
        """Delete a value."""
        encoded = encode_key(key)
        condition = _condition(False, False, version)
        flags = FLAG_PREVIOUS if previous else 0
        if receipt or condition:
            flags |= FLAG_METADATA | (FLAG_RECEIPT if receipt else 0)
        repeatable = not condition and not previous
        tail = [flags, condition.value, version, self._operation_id() if repeatable else None]
        message = [DELETE, 0, encoded, self.options.write(level), 0, *tail]
        return Call(message, _DELETE_TIMEOUT, encoded, results.read_written, repeatable, True)

    def get_and_delete(self, key: Key, default: Any = None, *, level: Level | str | None = None) -> Call:
        """Delete a value and return it."""
        call = self.delete(key, previous=True, level=level)
        call.decode, call.default = results.read_previous, default
        return call

    def touch(self, key: Key, ttl: float, *, level: Level | str | None = None) -> Call:
        """Extend the time to live."""
        encoded = encode_key(key)
        if ttl is None:
            raise InvalidRequest("touch extends an expiry by seconds; to remove it, write the value without a ttl")
        message = [TOUCH, 0, encoded, ttl_ms_of(ttl), self.options.write(level), 0]
        return Call(message, _TOUCH_TIMEOUT, encoded, results.read_applied, True, True)

    def increment(
        self, key: Key, delta: int = 1, *, ttl: float | None = None, level: Level | str | None = None
    ) -> Call:
        """Add to a counter."""
        encoded = encode_key(key)
        message = [INCREMENT, 0, encoded, _checked_delta(delta), self.options.write(level), 0, ttl_ms_of(ttl)]
        return Call(message, _INCREMENT_TIMEOUT, encoded, results.read_number, False, True)

    def report(self, topic: str, argument: Any = None) -> Call:
        """Ask whichever node answers for one of its reports."""
        return Call([REPORT, 0, topic, argument], _NO_TIMEOUT, None, results.read_report, True, False)

    def owners(self, key: Key) -> Call:
        """Ask which nodes own a key."""
        encoded = encode_key(key)
        return Call([REPORT, 0, "owners", encoded], _NO_TIMEOUT, encoded, results.read_report, True, False)

    def ping(self) -> Call:
        """Ask for a sign of life."""
        return Call([PING, 0], _NO_TIMEOUT, None, results.read_nothing, True, False)
