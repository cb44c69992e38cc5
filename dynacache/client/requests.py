"""The operations, each written down once: arguments checked, wire message made, retry and decoding named.

What: `Requests` builds a `Call` for each operation from the caller's arguments and the client's defaults. The clients
and pipelines take their methods, signatures and documentation from here (`runtime/clients`), so the docstrings speak to
the application: where one says "returns", the asynchronous client returns it when awaited, the synchronous one at once,
and a pipeline among its results.

Invariant: a call that exists can be sent; whatever is wrong with the arguments is an InvalidRequest here. Repeatable
are reads, touch, and unconditional set and delete, which carry one operation id through all their attempts so that a
coordinator that saw it reuses the version it minted. Increments, conditional writes and writes that return the previous
value are never repeatable.

What concurrent conditional writes promise: below level "strong" a condition is judged by one coordinator on what it can
see. Two callers at different coordinators may both be told that ``only_if_absent``, the same expected ``version`` or a
``get_and_set`` succeeded; both values are then kept as concurrent versions, and reads settle on the same winner
everywhere. While no node fails, all clients ask the same coordinator for a key, and one of the two is refused.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import attrs

from dynacache.client import results
from dynacache.client.addresses import parse_addresses
from dynacache.client.calls import Call
from dynacache.client.compression import compress
from dynacache.client.invalidations import Invalidations, appendix
from dynacache.client.options import Options, checked_timeout_s, condition_of, level_of, ttl_ms_of
from dynacache.client.results import Decoder, Fetched, Written
from dynacache.client.values import Key, encode_key, encode_value
from dynacache.errors import InvalidRequest
from dynacache.namespaces.names import DEFAULT, check_name, prefix
from dynacache.types import Level
from dynacache.wire.messages import (
    COMMAND,
    DELETE,
    FLAG_METADATA,
    FLAG_NO_PAYLOAD,
    FLAG_PREVIOUS,
    FLAG_RECEIPT,
    FLAG_SIBLINGS,
    GET,
    INCREMENT,
    PAYLOAD_SLIDING,
    PING,
    REPORT,
    SET,
    TOUCH,
)

__all__ = ["CLIENT_ID_BYTES", "DELTA_LIMIT", "LevelName", "Requests"]

CLIENT_ID_BYTES: Final = 8
DELTA_LIMIT: Final = 2**63 - 1
"""Largest step of an increment, either way."""
LevelName = Level | str
"""A `Level`, or its name: one, quorum, strict_quorum, all, strong."""

_NO_TIMEOUT: Final = 0
_TAIL_FIELDS: Final = 5
_GET_TIMEOUT: Final = 4
_SET_TIMEOUT: Final = 6
_DELETE_TIMEOUT: Final = 4
_TOUCH_TIMEOUT: Final = 5
_INCREMENT_TIMEOUT: Final = 5


def _checked_delta(delta: object) -> int:
    if not isinstance(delta, int) or not -DELTA_LIMIT <= delta <= DELTA_LIMIT:
        raise InvalidRequest(f"delta: got {delta!r}, expected an integer within 64 bits")
    return int(delta)


def _timeout_s(timeout: float | None) -> float | None:
    return None if timeout is None else checked_timeout_s(timeout)


@attrs.define(eq=False)
class Requests(Invalidations):
    """Builds calls for one client, in one namespace. ``client_id`` (8 random bytes) makes its operation ids its own;
    ``compressions`` is what the cluster says of namespaces (`client/routing.py`)."""

    options: Options
    client_id: bytes
    namespace: str = attrs.field(default=DEFAULT, converter=check_name)
    compressions: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    _sequence: Iterator[int] = attrs.field(factory=itertools.count, repr=False)
    head: bytes = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Keep what every key of the namespace begins with."""
        self.head = prefix(self.namespace)

    def of_namespace(self, name: str) -> "Requests":
        """Return what builds the same client's calls in another namespace; raises InvalidRequest for a name that is
        none."""
        return Requests(self.options, self.client_id, name, self.compressions, self._sequence)

    def _key(self, key: Key) -> bytes:
        return encode_key(key, self.head)

    def _operation_id(self) -> bytes:
        return self.client_id + next(self._sequence).to_bytes(8, "big")

    def _read(
        self,
        key: Key,
        flags: int,
        decode: Decoder,
        default: Any,
        level: LevelName | None,
        timeout: float | None,
        max_staleness: float | None,
    ) -> Call[Any]:
        encoded = self._key(key)
        wire_level, spread = self.options.read(level, max_staleness)
        message = [GET, 0, encoded, wire_level, 0, flags]
        return Call(message, _GET_TIMEOUT, encoded, decode, True, False, _timeout_s(timeout), spread, default)

    def get(
        self,
        key: Key,
        default: Any = None,
        *,
        level: LevelName | None = None,
        timeout: float | None = None,
        max_staleness: float | None = None,
    ) -> Call[Any]:
        """Return the value of a key, or ``default`` when there is none; `fetch` tells why there is none."""
        return self._read(key, 0, results.read_value, default, level, timeout, max_staleness)

    def exists(
        self,
        key: Key,
        *,
        level: LevelName | None = None,
        timeout: float | None = None,
        max_staleness: float | None = None,
    ) -> Call[bool]:
        """Return whether the key has a value."""
        return self._read(key, FLAG_NO_PAYLOAD, results.read_found, None, level, timeout, max_staleness)

    def ttl(
        self,
        key: Key,
        *,
        level: LevelName | None = None,
        timeout: float | None = None,
        max_staleness: float | None = None,
    ) -> Call[float | None]:
        """Return the seconds left to live: None when it never expires, 0.0 when the key has no value."""
        flags = FLAG_NO_PAYLOAD | FLAG_METADATA
        return self._read(key, flags, results.read_ttl, None, level, timeout, max_staleness)

    def fetch(
        self,
        key: Key,
        default: Any = None,
        *,
        siblings: bool = False,
        receipt: bool = False,
        level: LevelName | None = None,
        timeout: float | None = None,
        max_staleness: float | None = None,
    ) -> Call[Fetched]:
        """Return the value with its version, times and time to live, or the reason of the miss.

        On demand also every concurrent version (``siblings``) and what the cluster did to answer (``receipt``).
        """
        flags = FLAG_METADATA | (FLAG_SIBLINGS if siblings else 0) | (FLAG_RECEIPT if receipt else 0)
        return self._read(key, flags, results.read_fetched, default, level, timeout, max_staleness)

    def entry(self, key: Key, *, level: LevelName | None = None, timeout: float | None = None) -> Call[Fetched]:
        """Return all that is known of an entry, as `fetch` without options does: value, version, times, size, ..."""
        return self.fetch(key, level=level, timeout=timeout)

    def set(
        self,
        key: Key,
        value: Any,
        *,
        ttl: float | None = None,
        sliding: bool = False,
        only_if_absent: bool = False,
        only_if_present: bool = False,
        version: bytes | None = None,
        previous: bool = False,
        receipt: bool = False,
        tags: Iterable[Key] = (),
        fill: bytes | None = None,
        level: LevelName | None = None,
        timeout: float | None = None,
    ) -> Call[Written]:
        """Write a value, to live ``ttl`` seconds; return a `Written`, true when it was applied.

        Without ``ttl`` it lives as long as its namespace says, for ever where that says nothing; `math.inf` asks for
        ever where the namespace has a default. The namespace's maximum, if it has one, cuts either. With ``sliding`` a
        read that finds less than seven eighths of that life left renews it, in the background; a value that would live
        for ever has nothing to renew, and is refused (`InvalidRequest`).

        At most one condition: ``only_if_absent``, ``only_if_present``, or the ``version`` of an earlier answer. It is
        judged by the node that coordinates the write, on what it can see. At every level below "strong", two callers
        whose requests reach different coordinators (while a node fails or cannot be reached) may both be told that
        ``only_if_absent`` or the same ``version`` was applied; both values are then kept as siblings, and all reads
        settle on the same winner. ``receipt=True`` tells who coordinated, and at what level. ``previous=True`` returns
        the value replaced.

        ``tags`` (up to 64, text or bytes) are words by which `invalidate_tag` ends the value. ``fill`` is the token of
        the miss (`Fetched.fill`) after which the value was loaded: it is stored only if nothing was written, deleted
        or invalidated since, and false says so. No condition goes with it.

        An unconditional write is retried under one operation id. A conditional one, or one that asks for the previous
        value, is not retried when its fate is unknown: it raises an UncertainError.
        """
        encoded = self._key(key)
        payload_flags, payload = encode_value(value)
        if self.namespace in self.compressions:
            payload_flags, payload = compress(payload_flags, payload)
        payload_flags |= PAYLOAD_SLIDING if sliding else 0
        ttl_ms = 0 if ttl is None else ttl_ms_of(ttl)
        if only_if_absent or only_if_present or version is not None or previous:
            condition = condition_of(only_if_absent, only_if_present, version)
            flags = FLAG_METADATA | (FLAG_PREVIOUS if previous else 0) | (FLAG_RECEIPT if receipt else 0)
            tail = [ttl_ms, flags, condition.value, version]
            repeatable = False
        else:
            flags = FLAG_METADATA | FLAG_RECEIPT if receipt else 0
            tail = [ttl_ms, flags, 0, None, self._operation_id() if fill is None else None]
            repeatable = fill is None
        tail += appendix(tags, fill, conditional=len(tail) < _TAIL_FIELDS)
        message = [SET, 0, encoded, payload_flags, payload, self.options.write(level), 0, *tail]
        return Call(message, _SET_TIMEOUT, encoded, results.read_written, repeatable, True, _timeout_s(timeout))

    def get_and_set(
        self,
        key: Key,
        value: Any,
        default: Any = None,
        *,
        ttl: float | None = None,
        level: LevelName | None = None,
        timeout: float | None = None,
    ) -> Call[Any]:
        """Write a value and return the one it replaced, or ``default``.

        Below level "strong", two callers at different coordinators may both be given the same previous value; both new
        values are then kept as siblings. Use ``set(..., previous=True, receipt=True)`` to learn who coordinated.
        """
        call = self.set(key, value, ttl=ttl, previous=True, level=level, timeout=timeout)
        call.decode, call.default = results.read_previous, default
        return call

    def delete(
        self,
        key: Key,
        *,
        version: bytes | None = None,
        previous: bool = False,
        receipt: bool = False,
        level: LevelName | None = None,
        timeout: float | None = None,
    ) -> Call[Written]:
        """Delete a key; on demand only while it has the ``version`` of an earlier answer, judged as in `set`.

        Returns a `Written` that is true when there was a value and it was deleted. A plain delete is retried under one
        operation id; after a retry at another coordinator it may be false although the first attempt deleted a value.
        """
        encoded = self._key(key)
        condition = condition_of(False, False, version)
        flags = FLAG_PREVIOUS if previous else 0
        if receipt or condition:
            flags |= FLAG_METADATA | (FLAG_RECEIPT if receipt else 0)
        repeatable = not condition and not previous
        tail = [flags, condition.value, version, self._operation_id() if repeatable else None]
        message = [DELETE, 0, encoded, self.options.write(level), 0, *tail]
        return Call(message, _DELETE_TIMEOUT, encoded, results.read_written, repeatable, True, _timeout_s(timeout))

    def get_and_delete(
        self,
        key: Key,
        default: Any = None,
        *,
        level: LevelName | None = None,
        timeout: float | None = None,
    ) -> Call[Any]:
        """Delete a key and return the value it had, or ``default``; two callers may both get it: see `get_and_set`."""
        call = self.delete(key, previous=True, level=level, timeout=timeout)
        call.decode, call.default = results.read_previous, default
        return call

    def touch(
        self, key: Key, ttl: float | None, *, level: LevelName | None = None, timeout: float | None = None
    ) -> Call[bool]:
        """Give the value ``ttl`` seconds to live from now, as in `set`; return False when the key has no value.

        Extending a life makes no new version, so it never undoes another client's write; shortening or ending its limit
        is a write over the version that was found. Raises WrongType where only extending is possible (counters).
        """
        encoded = self._key(key)
        message = [TOUCH, 0, encoded, ttl_ms_of(ttl), self.options.write(level), 0]
        return Call(message, _TOUCH_TIMEOUT, encoded, results.read_applied, True, True, _timeout_s(timeout))

    def increment(
        self,
        key: Key,
        delta: int = 1,
        *,
        ttl: float | None = None,
        level: LevelName | None = None,
        timeout: float | None = None,
    ) -> Call[int]:
        """Add ``delta`` to a counter, which starts at 0; return its value as its coordinator sees it.

        Concurrent increments all count, whoever coordinates them. One of unknown fate is never retried: it raises an
        UncertainError, and the counter may or may not have moved. Raises WrongType for a key that holds something else.
        """
        encoded = self._key(key)
        message = [INCREMENT, 0, encoded, _checked_delta(delta), self.options.write(level), 0, ttl_ms_of(ttl)]
        return Call(message, _INCREMENT_TIMEOUT, encoded, results.read_number, False, True, _timeout_s(timeout))

    def owners(self, key: Key, *, timeout: float | None = None) -> Call[Any]:
        """Return what a node reports of the owners of a key: a map of plain values."""
        encoded = self._key(key)
        message = [REPORT, 0, "owners", encoded]
        return Call(message, _NO_TIMEOUT, encoded, results.read_report, True, False, _timeout_s(timeout))

    def report(
        self, topic: str, argument: Any = None, *, address: str | None = None, timeout: float | None = None
    ) -> Call[Any]:
        """Return a node's report on a topic ("status", "owners", "ready", "statistics", ...): a map of plain values.

        ``address``: ask exactly this node ("host:port"); None asks whichever answers.
        """
        call: Call[Any] = Call([REPORT, 0, topic, argument], _NO_TIMEOUT, None, results.read_report, True, False)
        call.timeout_s = _timeout_s(timeout)
        call.address = None if address is None else parse_addresses(address)[0]
        return call

    def command(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        address: str | None = None,
        timeout: float | None = None,
    ) -> Call[Any]:
        """Order a node to do something ("join", "leave", "drain", "remove", "repair", "handoff_limit"); return a map
        that tells what has begun.

        ``address``: the node meant ("host:port"); None means whichever answers, for orders that any member can carry
        out. An order given twice is as good as one, so it is repeated when its fate is unknown. Raises InvalidRequest
        for one that cannot be carried out, with nothing changed.
        """
        message = [COMMAND, 0, name, None if arguments is None else dict(arguments)]
        call: Call[Any] = Call(message, _NO_TIMEOUT, None, results.read_report, True, True, _timeout_s(timeout))
        call.address = None if address is None else parse_addresses(address)[0]
        return call

    def settings(self, *, timeout: float | None = None) -> Call[Any]:
        """Return the settings of the namespace and what the node asked holds of it: a map with ``version``,
        ``settings``, ``entries``, ``bytes``."""
        return self.report("namespaces", self.namespace, timeout=timeout)

    def configure(
        self,
        options: Mapping[str, Any],
        *,
        version: int | None = None,
        level: LevelName = "quorum",
        timeout: float | None = None,
    ) -> Call[Any]:
        """Change some settings of the namespace; return its settings then, as `settings` does.

        ``version``: the one that these options were chosen for; refused if another change came before. ``level``: where
        the change must have arrived. Raises InvalidRequest, with nothing changed, for an option that cannot be, and an
        UncertainError when the level was not reached: the change then spreads on.
        """
        arguments = {"name": self.namespace, "options": dict(options), "write_level": level_of(level)}
        if version is not None:
            arguments["version"] = version
        return self.command("namespace_set", arguments, timeout=timeout)

    def status(self, *, address: str | None = None, timeout: float | None = None) -> Call[Any]:
        """Return a node's view of the cluster: a map of plain values. ``address``: of exactly this node."""
        return self.report("status", address=address, timeout=timeout)

    def ping(self) -> Call[None]:
        """Return nothing, once the node has given a sign of life."""
        return Call([PING, 0], _NO_TIMEOUT, None, results.read_nothing, False, False)
