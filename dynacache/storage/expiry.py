"""The wheel: which entries end when.

What: buckets by the instant at which everything in them has expired. A bucket is a second for lives of up to an hour,
a minute up to two days, an hour up to sixty days, a day beyond; the width follows from the record alone (its write
time and its expiry), so that an entry's bucket is known without being stored. A bucket is a list of small
dictionaries from key to shard. ``take`` hands out what is due, a bounded number at a time.

Invariants: every live record with an expiry is in exactly one bucket, no other key is in any, and the key object is
the one in the store's dictionary. A key is handed out at the first ``take`` at or after its bucket's instant. Readers
never rely on this: they check the record, to the millisecond.

Why buckets: adding and removing are O(1), where a heap costs log n and cannot remove; coarser buckets for long lives
bound the number of buckets at some 15,000 a year of lives. Why dictionaries, and removal at once: a list of keys, or
a log that is validated later, would keep the keys of every overwritten or evicted entry until its hour comes, which
in a cache under pressure is most of them, and lists of a million keys are seen by the garbage collector where
dictionaries of bytes and numbers are not. Chunks are filled to the point where a dictionary would grow, so an entry
costs 27 to 34 bytes, and no insertion ever rebuilds a large one. Brief rule R12.6.
"""

import sys
from heapq import heappop, heappush

import attrs

from dynacache.storage.accounting import capacity, dictionary_bytes

__all__ = ["BUCKET_BYTES", "FINE_LIFE_MS", "ExpiryWheel", "due_second"]

BUCKET_BYTES = 272
"""Bytes of a bucket beside its chunks: a slot, a list, a number, a place in the heap."""

FINE_LIFE_MS = 3_600_000
"""The longest life that is kept to the second."""

_WIDTHS_S = ((48 * FINE_LIFE_MS, 60), (60 * 24 * FINE_LIFE_MS, 3_600), (sys.maxsize, 86_400))
_CHUNK_ROOMS = (170, 341, 682, 1_365, 2_730, 5_461, 10_922, 21_845, 43_690)
_CHUNK_ROOM = [0, 85, 85, 85, 85, *(room for room in _CHUNK_ROOMS for _ in range(2))]
"""Keys that the last of so many chunks of a bucket may hold: as many as a dictionary takes in between two sizes, so
that full ones waste nothing. A few small ones first, as most buckets are small; never more than the last, as a larger
one would take longer than a millisecond to grow."""

_CHUNK_STEPS = len(_CHUNK_ROOM) - 1
_SPARSE = 4
"""A chunk is rebuilt when it has fewer keys than its room divided by this."""

_Bucket = list[dict[bytes, int]]


def due_second(time: int, expire_ms: int) -> int:
    """Return the second at which the bucket of a record is due, for its hybrid ``time`` and its expiry."""
    life_ms = expire_ms - (time >> 16)
    if life_ms <= FINE_LIFE_MS:
        return -(-expire_ms // 1000)
    width_s = next(width for longest_ms, width in _WIDTHS_S if life_ms <= longest_ms or longest_ms == sys.maxsize)
    return -(-expire_ms // (1000 * width_s)) * width_s


@attrs.define(eq=False)
class ExpiryWheel:
    """The buckets. ``count`` is the number of keys, ``size_bytes`` what the wheel occupies, without keys."""

    count: int = 0
    size_bytes: int = 0
    _buckets: dict[int, _Bucket] = attrs.field(factory=dict)
    _due: list[int] = attrs.field(factory=list)
    _shards: list[int] = attrs.field(factory=list)
    """One number object for each shard, which all entries share."""

    def extend(self, shards: int) -> None:
        """Make room for ``shards`` more shards."""
        self._shards.extend(range(len(self._shards), len(self._shards) + shards))

    def add(self, shard: int, key: bytes, due: int) -> int:
        """Put a key that is not in the wheel into the bucket of second ``due``; return the growth in bytes."""
        bucket = self._buckets.get(due)
        growth = 0
        if bucket is None:
            bucket = self._buckets[due] = []
            heappush(self._due, due)
            growth = BUCKET_BYTES
        chunks = len(bucket)
        room = _CHUNK_ROOM[chunks] if chunks < _CHUNK_STEPS else _CHUNK_ROOMS[-1]
        if not chunks or len(bucket[-1]) >= room:
            bucket.append({})
            growth += dictionary_bytes(bucket[-1])
        chunk = bucket[-1]
        before = dictionary_bytes(chunk)
        chunk[key] = self._shards[shard]
        growth += dictionary_bytes(chunk) - before
        self.count += 1
        self.size_bytes += growth
        return growth

    def remove(self, shard: int, key: bytes, due: int) -> int:
        """Take a key out of the bucket of second ``due``, where it was put; return the growth in bytes (negative)."""
        bucket = self._buckets[due]
        place = len(bucket) - 1
        while key not in bucket[place]:
            place -= 1
            assert place >= 0, "a key is in the bucket of its due second"
        chunk = bucket[place]
        del chunk[key]
        size = dictionary_bytes(chunk)
        growth = 0
        if not chunk:
            del bucket[place]
            growth = -size
        elif len(chunk) * _SPARSE < capacity(size):
            bucket[place] = chunk = dict(chunk)
            growth = dictionary_bytes(chunk) - size
        self.count -= 1
        self.size_bytes += growth
        return growth

    def take(self, now_ms: int, count: int) -> list[tuple[bytes, int]]:
        """Take up to ``count`` (key, shard) out of buckets that are due, earliest bucket first."""
        taken: list[tuple[bytes, int]] = []
        while self._due and self._due[0] * 1000 <= now_ms and len(taken) < count:
            bucket = self._buckets[self._due[0]]
            while bucket and len(taken) < count:
                chunk = bucket[-1]
                pop = chunk.popitem
                taken += [pop() for _ in range(min(len(chunk), count - len(taken)))]
                if not chunk:
                    self.size_bytes -= dictionary_bytes(bucket.pop())
            if not bucket:
                del self._buckets[heappop(self._due)]
                self.size_bytes -= BUCKET_BYTES
        self.count -= len(taken)
        return taken

    def due_count(self, now_ms: int) -> int:
        """Return how many keys are in buckets that are due: a walk over the top of the heap, as far as that is due."""
        due, buckets, total, limit = self._due, self._buckets, 0, now_ms // 1000
        places = [0] if due else []
        for place in places:
            second = due[place]
            if second <= limit:
                total += sum(map(len, buckets[second]))
                places += [child for child in (2 * place + 1, 2 * place + 2) if child < len(due)]
        return total

    def next_due_ms(self) -> int | None:
        """Return the instant of the earliest bucket, None without any."""
        return self._due[0] * 1000 if self._due else None

    def recount_bytes(self) -> int:
        """Return ``size_bytes`` by visiting every chunk."""
        chunks = [chunk for bucket in self._buckets.values() for chunk in bucket]
        return len(self._buckets) * BUCKET_BYTES + sum(map(sys.getsizeof, chunks))

    def contents(self) -> dict[tuple[int, bytes], int]:
        """Return the due second of every (shard, key), for checkers."""
        return {
            (shard, key): due
            for due, bucket in self._buckets.items()
            for chunk in bucket
            for key, shard in chunk.items()
        }
