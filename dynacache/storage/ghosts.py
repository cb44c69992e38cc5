"""Ghosts: what this node remembers of the entries it evicted.

What: for each shard, the fingerprints of evicted keys with the hybrid time of the version that went and the second at
which it would have expired, in three parallel arrays sorted by fingerprint.

Invariants: a key that is stored has no ghost. A shard holds at most ``shard_limit`` ghosts and all together
``limit_bytes``; one more makes its shard drop the quarter whose versions are oldest, expired ones first, and if any
of those could still matter the shard is marked ``forgot``: from then on a miss there may be an eviction that is no
longer remembered.

Why: a reader must tell "was never here" from "was thrown out" (DESIGN section 9), and repair must not pour back what
memory pressure threw out (section 8). Arrays take 21 bytes a ghost where a dictionary of numbers takes over 110; the
price is half a microsecond an eviction. The version hash joins when Merkle trees arrive.
"""

from array import array
from bisect import bisect_left

import attrs
import mmh3
from pyroaring import BitMap

__all__ = ["GHOST_BYTES", "GHOST_SHARD_BYTES", "Ghosts"]

GHOST_BYTES = 21
"""Bytes of one ghost: 8 + 8 + 4 and what arrays keep in reserve."""

GHOST_SHARD_BYTES = 384
"""Bytes of a shard that has ghosts, beside the ghosts."""

_digest = mmh3.mmh3_x64_128_uintdigest
_FINGERPRINT_MASK = 2**64 - 1
_Shard = tuple["array[int]", "array[int]", "array[int]"]


@attrs.define(eq=False)
class Ghosts:
    """The ghosts of every shard. ``count`` is their number, ``size_bytes`` what they occupy."""

    shard_limit: int
    limit_bytes: int
    count: int = 0
    size_bytes: int = 0
    forgot: BitMap = attrs.field(factory=BitMap)
    _shards: dict[int, _Shard] = attrs.field(factory=dict)

    @classmethod
    def of_share(cls, limit_bytes: int, partition_count: int) -> "Ghosts":
        """Return an empty store of ghosts in which each partition may have its part of ``limit_bytes``."""
        return cls(max(0, (limit_bytes // partition_count - GHOST_SHARD_BYTES) // GHOST_BYTES), limit_bytes)

    def add(self, shard: int, key: bytes, time: int, expire_ms: int, now_ms: int) -> int:
        """Remember that the version of hybrid ``time`` of ``key`` was evicted; return by how many bytes that grew."""
        if self.shard_limit < 1:
            self.forgot.add(shard)
            return 0
        before = self.size_bytes
        held = self._shards.get(shard)
        if held is None:
            self._shards[shard] = held = (array("Q"), array("Q"), array("I"))
            self.size_bytes += GHOST_SHARD_BYTES
        fingerprint = _digest(key) & _FINGERPRINT_MASK
        fingerprints, times, seconds = held
        place = bisect_left(fingerprints, fingerprint)
        second = -(-expire_ms // 1000) & 0xFFFFFFFF
        if place < len(fingerprints) and fingerprints[place] == fingerprint:
            times[place] = max(time, times[place])
            seconds[place] = second
            return 0
        fingerprints.insert(place, fingerprint)
        times.insert(place, time)
        seconds.insert(place, second)
        self.count += 1
        self.size_bytes += GHOST_BYTES
        if len(fingerprints) > self.shard_limit or self.size_bytes > self.limit_bytes:
            self._forget_oldest(shard, now_ms // 1000)
        return self.size_bytes - before

    def find(self, shard: int, key: bytes, now_ms: int) -> int | None:
        """Return the hybrid time of the evicted version of ``key``, None if there is no ghost or it has expired."""
        held = self._shards.get(shard)
        if held is None:
            return None
        place = self._place(held[0], key)
        if place is None or 0 < held[2][place] * 1000 <= now_ms:
            return None
        return held[1][place]

    def discard(self, shard: int, key: bytes) -> int:
        """Forget the ghost of ``key`` if there is one, as the key is stored again; return the growth in bytes."""
        held = self._shards.get(shard)
        if held is None:
            return 0
        place = self._place(held[0], key)
        if place is None:
            return 0
        for column in held:
            del column[place]
        self.count -= 1
        growth = -GHOST_BYTES
        if not held[0]:
            del self._shards[shard]
            growth -= GHOST_SHARD_BYTES
        self.size_bytes += growth
        return growth

    def recount_bytes(self) -> int:
        """Return ``size_bytes`` by visiting every shard."""
        return sum(GHOST_SHARD_BYTES + GHOST_BYTES * len(held[0]) for held in self._shards.values())

    @staticmethod
    def _place(fingerprints: "array[int]", key: bytes) -> int | None:
        fingerprint = _digest(key) & _FINGERPRINT_MASK
        place = bisect_left(fingerprints, fingerprint)
        return place if place < len(fingerprints) and fingerprints[place] == fingerprint else None

    def _forget_oldest(self, shard: int, now_s: int) -> None:
        fingerprints, times, seconds = self._shards[shard]

        def age(place: int) -> tuple[bool, int]:
            return not 0 < seconds[place] <= now_s, times[place]

        order = sorted(range(len(times)), key=age)
        dropped = max(1, len(order) // 4)
        if any(age(place)[0] for place in order[:dropped]):
            self.forgot.add(shard)
        kept = sorted(order[dropped:])
        self.count -= dropped
        self.size_bytes -= dropped * GHOST_BYTES
        if not kept:
            del self._shards[shard]
            self.size_bytes -= GHOST_SHARD_BYTES
            return
        self._shards[shard] = (
            array("Q", [fingerprints[place] for place in kept]),
            array("Q", [times[place] for place in kept]),
            array("I", [seconds[place] for place in kept]),
        )
