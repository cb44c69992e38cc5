"""Scans at the client: which keys are wanted, one page of them, and the walk through all pages.

What: a `Selection` says which keys; `page_call` asks for one page behind a cursor, of one owner of the partition that
the cursor stands in. `ScanWalk` goes from page to page: `calls` are the questions of the next step, `take` turns their
ends into keys.

Invariants: a key that was there throughout, in every copy asked, is returned, and none twice in one walk. At level one
an owner of each partition is asked, a complete copy or the scan fails. At ``quorum`` and ``all`` every owner that can
be reached is asked partition by partition, at least a majority or all of them must answer, and what any has is
returned, so that a write which was acknowledged at quorum is not missed because one owner lacks it so far.

Why pages of several owners are cut to the shortest: one of them may stop earlier in the partition than another; behind
the place where the first of them stopped, nobody has said yet what is there.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs

from dynacache.client.calls import Call
from dynacache.client.options import checked_timeout_s, level_of
from dynacache.client.results import Reply
from dynacache.client.routing import Endpoint
from dynacache.client.values import Key
from dynacache.errors import DynacacheError, InvalidRequest, ProtocolError, UnavailableError
from dynacache.types import Level
from dynacache.wire.cursors import PAGE_LIMIT_COUNT, pack_cursor, unpack_cursor
from dynacache.wire.messages import FLAG_ONE_PARTITION, SCAN, SCANNED, USER_KEY_LIMIT_BYTES
from dynacache.wire.patterns import compile_pattern, literal_prefix

__all__ = [
    "AHEAD_COUNT",
    "ScanPage",
    "ScanWalk",
    "Selection",
    "page_call",
    "prefix_bytes",
    "qualified_prefix",
    "read_scanned",
    "selection",
]

AHEAD_COUNT: Final = 32
"""Partitions asked for at once above level one."""

_PAGE_COUNT: Final = 1_000
_SCAN_TIMEOUT: Final = 6
_Page = tuple[bytes, Sequence[bytes]]
_LEVELS: Final = (Level.ONE, Level.QUORUM, Level.ALL)


@attrs.frozen
class ScanPage:
    """Some keys, and the cursor with which the scan goes on: None when it is over."""

    keys: tuple[bytes, ...]
    cursor: bytes | None


@attrs.frozen
class Selection:
    """Which keys: those of a namespace (``head`` is what its qualified keys begin with) with a prefix and, if there is
    one, of a pattern. ``prefix`` is qualified."""

    head: bytes
    prefix: bytes
    pattern: bytes | None
    count: int

    def plain(self, key: bytes) -> bytes:
        """Return the application's key of a qualified one."""
        return key[len(self.head) :] if self.head else key if key[0] else key[2:]


def selection(head: bytes, prefix: Key, pattern: Key | None, count: int | None) -> Selection:
    """Return what a caller wants of a namespace. Raises InvalidRequest that names what is wrong."""
    wanted = prefix_bytes("prefix", prefix)
    glob = None if pattern is None else prefix_bytes("pattern", pattern)
    if glob is not None:
        compile_pattern(glob)
        if not wanted:
            wanted = literal_prefix(glob)[:USER_KEY_LIMIT_BYTES]
    if count is not None and (type(count) is not int or not 0 < count <= PAGE_LIMIT_COUNT):
        raise InvalidRequest(f"count: got {count!r}, expected 1 to {PAGE_LIMIT_COUNT}")
    return Selection(head, qualified_prefix(head, wanted), glob, count or _PAGE_COUNT)


def qualified_prefix(head: bytes, prefix: bytes) -> bytes:
    """Return with what the qualified keys begin whose own keys begin with a prefix."""
    return head + prefix if head or prefix[:1] != b"\0" else b"\0\0" + prefix


def prefix_bytes(name: str, value: object) -> bytes:
    """Return the bytes of a prefix or a pattern. Raises InvalidRequest that names it."""
    encoded = value.encode() if isinstance(value, str) else value
    if not isinstance(encoded, bytes) or len(encoded) > USER_KEY_LIMIT_BYTES:
        raise InvalidRequest(
            f"{name}: got {value!r:.80}, expected str or bytes of at most {USER_KEY_LIMIT_BYTES} bytes"
        )
    return encoded


def page_call(wanted: Selection, cursor: bytes | None, timeout: float | None, flags: int = 0) -> Call[ScanPage]:
    """Ask for the page behind a cursor (None: the first). Raises InvalidRequest."""
    place = cursor or b""
    partition, _ = unpack_cursor(place)
    message = [SCAN, 0, place, wanted.prefix, wanted.pattern, wanted.count, 0, flags]

    def decode(reply: Reply, _: Any, __: int) -> ScanPage:
        following, keys = read_scanned(reply)
        return ScanPage(tuple(map(wanted.plain, keys)), following or None)

    timeout_s = None if timeout is None else checked_timeout_s(timeout)
    return Call(message, _SCAN_TIMEOUT, None, decode, True, False, timeout_s, partition=partition)


def read_scanned(reply: Reply) -> tuple[bytes, Sequence[bytes]]:
    """Return (cursor, qualified keys) of an answer."""
    if reply[0] != SCANNED or type(reply[2]) is not bytes or not all(type(key) is bytes and key for key in reply[3]):
        raise ProtocolError(f"an answer of kind {reply[0]!r} that does not fit a scan")
    return reply[2], reply[3]


def _any_number(head: bytes) -> range:
    return range(0)


@attrs.define(eq=False)
class ScanWalk:
    """One walk through a namespace. ``owners`` gives a partition's owners, those that can be reached first;
    ``numbers`` gives the partitions of a namespace by its ``head``, as far as is known."""

    wanted: Selection
    level: int
    timeout: float | None
    owners: Callable[[int], Sequence[tuple[Endpoint, bool]]]
    numbers: Callable[[bytes], range] = _any_number
    cursor: bytes = b""
    finished: bool = False
    _needed: dict[int, int] = attrs.field(factory=dict)
    """Answers needed of each partition of the present step."""

    @classmethod
    def of(
        cls,
        wanted: Selection,
        level: Level | str | None,
        timeout: float | None,
        owners: Callable[[int], Sequence[tuple[Endpoint, bool]]],
        numbers: Callable[[bytes], range] = _any_number,
    ) -> "ScanWalk":
        """Begin a walk. Raises InvalidRequest for a level that scans do not have."""
        chosen = Level(level_of(level)) if level is not None else Level.ONE
        if chosen not in _LEVELS:
            expected = ", ".join(each.name.lower() for each in _LEVELS)
            raise InvalidRequest(f"level: got {chosen.name.lower()}, expected one of {expected}")
        return cls(wanted, chosen, timeout, owners, numbers)

    def calls(self) -> list[Call[Any]]:
        """Return the questions of the next step; none when the walk is over."""
        if self.finished:
            return []
        if self.level == Level.ONE:
            return [self._call(self.cursor, 0)]
        numbers = self.numbers(self.wanted.head)
        if not self.cursor and numbers.start:
            self.cursor = pack_cursor(numbers.start)
        first, _ = unpack_cursor(self.cursor)
        if not self.owners(first):
            raise UnavailableError("no node has told yet who owns what; scan at level one, or again in a moment")
        self._needed = {}
        calls = []
        for partition in range(first, min(first + AHEAD_COUNT, numbers.stop or first + AHEAD_COUNT)):
            owners = self.owners(partition)
            if owners:
                calls += self._ask(partition, self.cursor if partition == first else pack_cursor(partition), owners)
        return calls

    def take(self, calls: Sequence[Call[Any]], wall_ms: int) -> list[bytes]:
        """Return the keys of a step whose calls have ended. Raises what kept it from its level."""
        if self.level == Level.ONE:
            (call,) = calls
            self.cursor, keys = call.result(wall_ms)
            found = list(keys)
        else:
            found = []
            for partition in self._needed:
                asked = [call for call in calls if call.partition == partition]
                found += self._join(partition, self._answered(partition, asked, wall_ms))
                if unpack_cursor(self.cursor)[0] == partition:
                    break  # its page was full: the next step goes on within it
        self.finished = not self.cursor
        return [self.wanted.plain(key) for key in found]

    def _ask(self, partition: int, cursor: bytes, owners: Sequence[tuple[Endpoint, bool]]) -> list[Call[Any]]:
        """Ask the owners of a partition, or those that seem well if they are enough."""
        needed = self._needed[partition] = len(owners) if self.level == Level.ALL else len(owners) // 2 + 1
        usable = [endpoint for endpoint, is_usable in owners if is_usable]
        calls = []
        for endpoint in usable if len(usable) >= needed else [endpoint for endpoint, _ in owners]:
            call = self._call(cursor, FLAG_ONE_PARTITION)
            call.address = endpoint.address
            calls.append(call)
        return calls

    def _call(self, cursor: bytes, flags: int) -> Call[Any]:
        call: Call[Any] = page_call(self.wanted, cursor, self.timeout, flags)
        call.decode = _decode_raw
        return call

    def _answered(
        self, partition: int, calls: Sequence[Call[Any]], wall_ms: int
    ) -> list[tuple[bytes, Sequence[bytes]]]:
        pages: list[tuple[bytes, Sequence[bytes]]] = []
        failures: list[DynacacheError] = []
        for call in calls:
            try:
                pages.append(call.result(wall_ms))
            except DynacacheError as error:
                failures.append(error)
        if len(pages) < self._needed[partition]:
            raise failures[0]
        return pages

    def _join(self, partition: int, pages: Sequence[_Page]) -> list[bytes]:
        """Put pages of one partition together, up to where the shortest ends, and move the cursor there."""
        stops = [unpack_cursor(cursor) if cursor else (partition + 1, b"") for cursor, _ in pages]
        is_last = not any(cursor for cursor, _ in pages)
        stop = min(stops)
        keys = {key for _, page in pages for key in page if (partition, key) <= stop}
        self.cursor = b"" if is_last else pack_cursor(*stop)
        return sorted(keys)


def _decode_raw(reply: Reply, _: Any, __: int) -> tuple[bytes, Sequence[bytes]]:
    return read_scanned(reply)
