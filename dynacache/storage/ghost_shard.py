"""The ghosts of one shard: four sorted columns, and the latest in the order of their arrival.

What: ``GhostShard`` holds ghosts as rows of ``fingerprints``, ``times``, ``contributions`` and ``seconds``, sorted by
the first. ``leave`` appends to ``tail``; ``settle`` sorts the tail in.

Invariants: every ghost is in the columns or in the tail, not in both; ``count``, ``deleted`` and ``earliest_s`` speak
of all. Whoever reads columns settles first. The tail holds at most ``TAIL_COUNT`` ghosts; two different keys with one
fingerprint may both have a ghost.

Why a tail: the shard of a victim is any of a thousand, so all of it comes from main memory; to insert into four
arrays costs ten cache misses, to append to one costs three. Sixteen inserted together meet them once.
"""

import struct
from array import array
from bisect import bisect_left
from collections.abc import Collection
from itertools import compress

import attrs

from dynacache.storage.contributions import DELETED

__all__ = ["NEVER_S", "TAIL_COUNT", "Ghost", "GhostShard"]

NEVER_S = 2**32 - 1
"""A second that does not come: ``earliest_s`` of a shard in which nothing ends."""

TAIL_COUNT = 16
"""Ghosts that wait to be sorted in."""

Ghost = tuple[int, int, int, int]
"""(fingerprint, hybrid time, contribution with the bit ``DELETED``, second at which it goes or 0)."""

_ROW = struct.Struct("=QQQI")
_ROW_BYTES = _ROW.size
_pack_row = _ROW.pack
_pack_number = struct.Struct("=Q").pack


@attrs.define(eq=False)
class GhostShard:
    """The rows. The caller counts bytes and keeps trees."""

    count: int = 0
    earliest_s: int = NEVER_S
    """No ghost here goes before it."""

    deleted: int = 0
    """How many of the ghosts are marked ``DELETED``."""

    tail: bytearray = attrs.field(factory=bytearray)
    fingerprints: "array[int]" = attrs.field(factory=lambda: array("Q"))
    times: "array[int]" = attrs.field(factory=lambda: array("Q"))
    contributions: "array[int]" = attrs.field(factory=lambda: array("Q"))
    seconds: "array[int]" = attrs.field(factory=lambda: array("I"))

    def leave(self, number: int, time: int, contribution: int, second: int) -> bool:
        """Add a ghost to the tail; True if that is full now."""
        tail = self.tail
        tail += _pack_row(number, time, contribution, second)
        self.count += 1
        if contribution & DELETED:
            self.deleted += 1
        if 0 < second < self.earliest_s:
            self.earliest_s = second
        return len(tail) >= TAIL_COUNT * _ROW_BYTES

    def recount(self) -> int:
        """Return ``count`` by counting."""
        return len(self.times) + len(self.tail) // _ROW_BYTES

    def settle(self) -> None:
        """Sort the tail in."""
        if not self.tail:
            return
        fingerprints, times, contributions, seconds = self.fingerprints, self.times, self.contributions, self.seconds
        for number, time, contribution, second in _ROW.iter_unpack(self.tail):
            place = bisect_left(fingerprints, number)
            fingerprints.insert(place, number)
            times.insert(place, time)
            contributions.insert(place, contribution)
            seconds.insert(place, second)
        self.tail = bytearray()

    def find(self, number: int) -> Ghost | None:
        """Return a ghost by its fingerprint."""
        at = self._tail_at(number) if self.tail else -1
        if at >= 0:
            found: Ghost = _ROW.unpack_from(self.tail, at)
            return found
        place = self.place(number)
        return None if place is None else self.ghost(place)

    def take(self, number: int) -> int:
        """Delete a ghost by its fingerprint; return its contribution with its mark, 0 if there is none."""
        at = self._tail_at(number) if self.tail else -1
        if at >= 0:
            contribution: int = _ROW.unpack_from(self.tail, at)[2]
            del self.tail[at : at + _ROW_BYTES]
        else:
            place = self.place(number)
            if place is None:
                return 0
            contribution = self.contributions[place]
            for column in (self.fingerprints, self.times, self.contributions, self.seconds):
                del column[place]
        self.count -= 1
        self.deleted -= contribution & DELETED
        return contribution

    def _tail_at(self, number: int) -> int:
        """Return where the row of a fingerprint begins in the tail, -1 without one."""
        tail, packed = self.tail, _pack_number(number)
        at = tail.find(packed)
        while at >= 0 and at % _ROW_BYTES:
            at = tail.find(packed, at + 1)
        return at

    # Of the columns alone.

    def place(self, number: int) -> int | None:
        """Return the row of a fingerprint."""
        fingerprints = self.fingerprints
        place = bisect_left(fingerprints, number)
        return place if place < len(fingerprints) and fingerprints[place] == number else None

    def ghost(self, place: int) -> Ghost:
        """Return a row."""
        return self.fingerprints[place], self.times[place], self.contributions[place], self.seconds[place]

    def drop(self, places: Collection[int]) -> None:
        """Delete rows."""
        stay = bytearray(b"\1") * len(self.times)
        for place in places:
            stay[place] = 0
        self.fingerprints = array("Q", list(compress(self.fingerprints, stay)))
        self.times = array("Q", list(compress(self.times, stay)))
        self.contributions = array("Q", list(compress(self.contributions, stay)))
        self.seconds = array("I", list(compress(self.seconds, stay)))
        self.count -= len(places)
        if self.deleted:
            self.deleted = sum(contribution & DELETED for contribution in self.contributions)
