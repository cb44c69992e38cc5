"""Sliding lives: a read of a value renews its time to live.

What: a sliding value carries the time to live that its write asked for (``versioning.attachments``). Reads leave what
they met in ``Shared.sliding``; at the end of the turn ``Slider`` looks at each key once. If less than seven eighths of
the life are left, it reads the owners at the strict quorum and raises the expiry of the version that they agree on, as
a touch does.

Invariants: a read never waits for any of this and never fails by it. No dot is minted and no order changes; what has
been deleted, overwritten or invalidated meanwhile is not seen by the strict read, so nothing comes back (I3). A life
never becomes shorter, and never longer than its own time to live, or its namespace's maximum, from now. Of a key at
most one renewal is under way, and after it the next one waits for another eighth of the life; one that failed is not
tried again for ``PATIENCE_S``.

Why coarsely: renewed to the millisecond each read would be a write at every owner. So at most eight renewals in a
life are, however often it is read. Why only what is one value: of concurrent ones each would have to be renewed on its
own, and they are rare and soon resolved. DESIGN sections 7 and 8.
"""

from collections.abc import Iterable

import attrs

from dynacache.coordination.read import Reader
from dynacache.coordination.read_operation import ReadOperation
from dynacache.coordination.read_reply import Concluded
from dynacache.coordination.shared import Shared
from dynacache.coordination.write import Writer
from dynacache.errors import DynacacheError
from dynacache.placement.partitions import partition_of_key
from dynacache.types import Level
from dynacache.versioning import packed
from dynacache.versioning.attachments import SLIDING_BYTES
from dynacache.versioning.layout import ENTRY_BYTES, HEADER_BYTES
from dynacache.wire.messages import DONE

__all__ = ["NOBODY", "PATIENCE_S", "SLIDES_LIMIT", "Slider", "life_of"]

NOBODY = 0
"""The connection whose messages nobody is waiting for."""

PATIENCE_S = 1.0
"""How long a renewal is given, and how long its key is left alone when it failed."""

SLIDES_LIMIT = 10_000
"""Renewals under way at one node; beyond it reads renew nothing, and are counted."""

_SHARE = 8
_TIMEOUT_MS = 1_000


def life_of(record: bytes) -> tuple[int, int]:
    """Return (time to live, expiry), both in ms, of a record that is one sliding value; (0, 0) for any other."""
    if record[1] != packed.VALUE or not record[2] & packed.SLIDING:
        return 0, 0
    start = HEADER_BYTES + ENTRY_BYTES * record[3]
    return int.from_bytes(record[start : start + SLIDING_BYTES], "big"), packed.HEADER.unpack_from(record)[6]


@attrs.define(eq=False)
class Slider:
    """Renews what was read."""

    shared: Shared
    reader: Reader
    writer: Writer
    _under_way: dict[bytes, float] = attrs.field(factory=dict)
    """Until when each key is left alone, earliest first."""

    def flush(self) -> None:
        """Look at what this turn has read."""
        shared = self.shared
        if not shared.sliding:
            return
        read, shared.sliding = shared.sliding, {}
        self._forget_old()
        self._renew(read.items())

    def prepared(self, operation: ReadOperation, outcome: Concluded) -> None:
        """Raise the expiry of the version that a strict quorum shows."""
        shared, key, record = self.shared, operation.key, outcome.record
        if outcome.error is not None or outcome.unrepaired or outcome.degraded or record is None:
            return
        partition = operation.partition
        route = shared.routes.route(partition)
        expire_ms = self._later_end(key, record)
        if not expire_ms or not route.is_owner:
            return
        touched = packed.touch(record, expire_ms)
        held = self.writer.held(route, partition, key)
        try:
            self.writer.check(route, Level.QUORUM)
            local = touched if held is None else packed.merge(held, packed.strip_local(touched))
            self.writer.keep(route, partition, key, local)
        except DynacacheError:
            return
        self._under_way.pop(key, None)
        shared.counters.slid += 1
        reply = (NOBODY, (DONE, 0, True))
        self.writer.replicate(route, partition, key, packed.strip_local(touched), Level.QUORUM, _TIMEOUT_MS, reply)

    def _renew(self, read: Iterable[tuple[bytes, bytes]]) -> None:
        shared, under_way = self.shared, self._under_way
        for key, record in read:
            if key in under_way or not self._later_end(key, record):
                continue
            if len(under_way) >= SLIDES_LIMIT:
                shared.counters.slides_skipped += 1
                continue
            partition = partition_of_key(key, shared.partition_shift)
            route = shared.routes.route(partition)
            if not route.is_owner:
                continue
            under_way[key] = shared.now_s + PATIENCE_S
            try:
                self.reader.start(
                    NOBODY, 0, key, partition, route, Level.STRICT_QUORUM, _TIMEOUT_MS, flags=0, waiter=self
                )
            except DynacacheError:
                continue

    def _later_end(self, key: bytes, record: bytes) -> int:
        """Return the expiry that a read gives to a record now; 0 if it leaves it as it is."""
        shared = self.shared
        ttl_ms, expire_ms = life_of(record)
        if not expire_ms or expire_ms <= shared.now_ms:
            return 0
        if not key[0] or shared.namespaces.default is not None:
            maximum_ms = shared.namespaces.of(key).maximum_ttl_ms
            ttl_ms = min(ttl_ms, maximum_ms) if maximum_ms else ttl_ms
        if expire_ms - shared.now_ms >= ttl_ms - ttl_ms // _SHARE:
            return 0
        return shared.now_ms + ttl_ms

    def _forget_old(self) -> None:
        under_way, now_s = self._under_way, self.shared.now_s
        while under_way:
            key = next(iter(under_way))
            if under_way[key] > now_s:
                return
            del under_way[key]
