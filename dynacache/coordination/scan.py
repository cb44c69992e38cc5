"""Scans: the keys of one namespace, page by page, in the order of partitions and, within one, of the keys.

What: a question brings a cursor, a prefix, perhaps a pattern, and how many keys it wants; the answer is a page of keys
and the cursor behind it. A node answers for the partitions of which its copy is complete, and stops before the first of
which it is not; a question that begins there is passed on to an owner.

Invariants: a key that is held throughout the scan by every copy that is asked is returned once, whatever is evicted,
written, moved or lost meanwhile: keys are passed in one order that depends on them alone, and nothing is kept here
about a scan. Nothing that has expired, was deleted or is invalidated is returned. One call puts about
``LOOKED_LIMIT_COUNT`` keys in order, and returns ``PAGE_LIMIT_COUNT`` keys or ``PAGE_LIMIT_BYTES`` at most; beyond that
it only lists the keys of one partition, which costs some 50 nanoseconds a key.

Why sort in every call: an order that is kept would cost each entry some 60 bytes for what is asked rarely; to sort what
is left of a partition of a thousand keys takes a fifth of a millisecond. Looking marks nothing as used, so that a scan
does not push out what is. What one owner lacks, since a write reached only the others, a scan at level one does not
see; the client asks more of them (``client.scanning``).
"""

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from dynacache.coordination.forward import Forwarder
from dynacache.coordination.shared import Shared
from dynacache.datatypes.reading import read
from dynacache.errors import InvalidRequest, NotEnoughReplicas
from dynacache.events import ConnectionId, Message
from dynacache.namespaces.names import check_prefix, namespace_of, with_factor, without_factor
from dynacache.versioning.packed import HEADER, VALUE
from dynacache.wire.cursors import PAGE_LIMIT_COUNT, pack_cursor, unpack_cursor
from dynacache.wire.messages import FLAG_ONE_PARTITION, KEY_LIMIT_BYTES, SCANNED
from dynacache.wire.patterns import compile_pattern

__all__ = ["LOOKED_LIMIT_COUNT", "PAGE_COUNT", "PAGE_LIMIT_BYTES", "Scanner"]

PAGE_COUNT = 1_000
"""Keys of a page when the client names no number."""

PAGE_LIMIT_BYTES = 1024 * 1024
"""Bytes of keys in a page after which it ends."""

LOOKED_LIMIT_COUNT = 5_000
"""Entries looked at in one call after which it ends with its partition; keys of one partition, at most, that one call
puts in order."""

_SAMPLE_COUNT = 256
"""Keys by which the place of others is judged."""


@attrs.define(eq=False)
class _Page:
    """One page while it fills."""

    prefix: bytes
    match: Callable[[bytes], object] | None
    count: int
    now_ms: int
    left: Callable[[bytes, bytes], bytes | None]
    """What invalidations leave of the record of a key."""
    keys: list[bytes] = attrs.field(factory=list)
    size_bytes: int = 0
    looked: int = 0

    @property
    def is_full(self) -> bool:
        """Whether it shall end here."""
        return len(self.keys) >= self.count or self.size_bytes >= PAGE_LIMIT_BYTES or self.looked >= LOOKED_LIMIT_COUNT

    def take(self, entries: Mapping[bytes, bytes], after: bytes) -> bytes | None:
        """Take the keys of a partition behind one; return the last one looked at, None if that was the partition."""
        self.looked += len(entries)
        prefix = self.prefix
        if prefix:
            wanted = [key for key in entries if key.startswith(prefix) and key > after]
        else:  # the default namespace: keys of others begin with a zero byte and the length of a name
            wanted = [key for key in entries if key > after and (key[0] or key[1:2] == b"\0")]
        # A pattern may leave out any number of them, so more are put in order for it.
        most = LOOKED_LIMIT_COUNT if self.match is not None else 2 * (self.count - len(self.keys)) + _SAMPLE_COUNT
        last = None
        if len(wanted) > most:
            last = _about_the_first(wanted, most)
            wanted = [key for key in wanted if key <= last]
        for key in sorted(wanted):
            if self._is_wanted(key, entries[key]):
                self.keys.append(key)
                self.size_bytes += len(key)
            if len(self.keys) >= self.count or self.size_bytes >= PAGE_LIMIT_BYTES:
                return key
        return last

    def _is_wanted(self, key: bytes, record: bytes) -> bool:
        if self.match is not None and not self.match(key if key[0] else key[2 + key[1] :]):
            return False
        left = self.left(key, record)
        if left is None or left[1] != VALUE:
            return left is not None and read(left, self.now_ms).found
        expire_ms: int = HEADER.unpack_from(left)[6]
        return not 0 < expire_ms <= self.now_ms


def _about_the_first(keys: list[bytes], count: int) -> bytes:
    """Return a key up to which there are about so many of the keys."""
    sample = sorted(keys[:: max(1, len(keys) // _SAMPLE_COUNT)])
    return sample[len(sample) * count // len(keys)]


@attrs.define(eq=False)
class Scanner:
    """Serves SCAN."""

    shared: Shared
    forwarder: Forwarder

    def serve(self, connection: ConnectionId, message: Message, hops: int) -> None:
        """Answer with a page, or pass it on. Raises ``InvalidRequest``, ``NotReady``, ``NotEnoughReplicas``."""
        shared = self.shared
        rid, cursor, prefix, pattern, count, timeout_ms, flags = _fields(message)
        partition, after = unpack_cursor(cursor)
        numbers = self._numbers(prefix, partition, cursor, hops)
        if not cursor:
            partition, message = numbers.start, (*message[:2], pack_cursor(numbers.start), *message[3:])
        if timeout_ms > shared.settings.longest_timeout_ms:
            raise InvalidRequest(f"timeout_ms: got {timeout_ms}, expected at most {shared.settings.longest_timeout_ms}")
        match = None if pattern is None else compile_pattern(pattern)
        if not shared.routes.route(partition).complete:
            if hops or flags & FLAG_ONE_PARTITION:
                raise NotEnoughReplicas(f"scan: this copy of partition {partition} is not complete")
            self.forwarder.forward(connection, message, timeout_ms or shared.settings.read_timeout_ms, hops)
            return
        shared.counters.scans += 1
        factor = partition // shared.routes.placement.partition_count
        if factor:
            prefix, after = with_factor(prefix, factor), with_factor(after, factor) if after else after
        page = _Page(prefix, match, count or PAGE_COUNT, shared.now_ms, shared.store.left)
        following = self._fill(page, partition, after, flags & FLAG_ONE_PARTITION, numbers.stop)
        keys = [without_factor(key) for key in page.keys] if factor else page.keys
        shared.effects.send(connection, (SCANNED, rid, following, keys))

    def _numbers(self, prefix: bytes, partition: int, cursor: bytes, hops: int) -> range:
        """Return the partitions in which keys with a prefix are: those of the replication factor of their namespace. A
        peer that passes a question on has begun it by what it knows. Raises ``NotReady`` where nobody knows: an empty
        answer would say that the namespace is."""
        namespaces, placement = self.shared.namespaces, self.shared.routes.placement
        factor = 0
        if hops and cursor:
            factor = partition // placement.partition_count
        elif prefix[:1] == b"\0":
            namespaces.require_known()
            factor = namespaces.factor(namespace_of(prefix))
        first = factor * placement.partition_count
        numbers = range(first, first + placement.partition_count)
        if not placement.has(first) or (cursor and partition not in numbers) or (factor and not prefix):
            raise InvalidRequest(
                f"cursor: got partition {partition}, expected {first} to {numbers.stop - 1}; begin the scan anew"
            )
        return numbers

    def _fill(self, page: _Page, partition: int, after: bytes, one: int, stop: int) -> bytes:
        """Fill a page from a place on, before the partition ``stop``; return the cursor behind it."""
        routes, store = self.shared.routes, self.shared.store
        while True:
            reached = page.take(store.live(partition), after)
            if reached is not None:
                return pack_cursor(partition, without_factor(reached))
            partition, after = partition + 1, b""
            if partition == stop:
                return b""
            if page.is_full or one or not routes.route(partition).complete:
                return pack_cursor(partition)


def _fields(message: Message) -> tuple[int, bytes, bytes, bytes | None, int, int, int]:
    """Return the checked fields of a question; what the cursor and the pattern hold is checked by who reads them."""
    given: list[Any] = [*message[1:8], *(None,) * (8 - len(message))]
    rid, cursor, prefix, pattern, count, timeout_ms, flags = given
    if len(message) > 8:
        raise InvalidRequest(f"scan: got {len(message)} fields, expected at most 8")
    if type(prefix) is not bytes or len(prefix) > KEY_LIMIT_BYTES:
        raise InvalidRequest(f"scan: prefix: got {prefix!r:.80}, expected at most {KEY_LIMIT_BYTES} bytes")
    check_prefix(prefix)
    for name, value, most in (
        ("count", count, PAGE_LIMIT_COUNT),
        ("timeout_ms", timeout_ms, 2**31),
        ("flags", flags, 255),
    ):
        if value is not None and (type(value) is not int or not 0 <= value <= most):
            raise InvalidRequest(f"scan: {name}: got {value!r:.80}, expected a whole number from 0 to {most}")
    return rid, cursor, prefix, pattern, count or 0, timeout_ms or 0, flags or 0
