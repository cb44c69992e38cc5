"""Ghosts: what this node remembers of entries that it no longer holds.

What: for each shard, four parallel arrays sorted by the first: the fingerprints of keys, the hybrid time of the version
that went, its contribution to the repair tree, and the second at which that contribution goes. A ghost is left by an
eviction, by an entry that a full node witnessed but did not take, and, marked ``DELETED``, by a tombstone that was
reaped early and by a value that was evicted between its expiry and its second.

Invariants: a key that is stored has no ghost. A ghost's contribution is in its tree from the moment it is there until
the moment it is not; ``Ghosts`` takes it out when it drops one. At its second a ghost goes, as the entry would have; if
the entry would have left a tombstone, the ghost becomes one that is ``DELETED`` and goes with that. A shard holds at
most ``shard_limit`` ghosts and all together ``limit_bytes``; one more makes its shard drop the quarter whose versions
are oldest, expired ones first, tombstones last. If any eviction is among them that could still matter the shard is
marked ``forgot``: from then on a miss there may be an eviction that is no longer remembered.

Why: a reader must tell "was never here" from "was thrown out" (DESIGN section 9), repair must not pour back what
memory pressure threw out (section 8), and an old version that arrives late must be recognised after its successor, even
a delete, has gone. Arrays take 28 bytes a ghost where a dictionary of numbers takes over 150.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import attrs
from pyroaring import BitMap

from dynacache.storage.contributions import DELETED, LEAVES_TOMBSTONE, PREFIX_BITS
from dynacache.storage.trees import Trees

__all__ = ["GHOST_BYTES", "GHOST_SHARD_BYTES", "NEVER_S", "Ghost", "Ghosts"]

GHOST_BYTES = 29
"""Bytes of one ghost: 8 + 8 + 8 + 4 and what arrays keep in reserve."""

GHOST_SHARD_BYTES = 600
"""Bytes of a shard that has ghosts, beside the ghosts."""

NEVER_S = 2**32 - 1
"""A second that does not come: ``earliest_s`` of a shard in which nothing ends."""

Ghost = tuple[int, int, int, int]
"""(fingerprint, hybrid time, contribution with the bit ``DELETED``, second at which it goes or 0)."""

_PREFIX_SHIFT = 64 - PREFIX_BITS


@attrs.define(eq=False)
class _Shard:
    fingerprints: "array[int]" = attrs.field(factory=lambda: array("Q"))
    times: "array[int]" = attrs.field(factory=lambda: array("Q"))
    contributions: "array[int]" = attrs.field(factory=lambda: array("Q"))
    seconds: "array[int]" = attrs.field(factory=lambda: array("I"))
    earliest_s: int = NEVER_S
    """No ghost here goes before it."""

    deleted: int = 0
    """How many of the ghosts are marked ``DELETED``."""

    def place(self, fingerprint: int) -> int | None:
        fingerprints = self.fingerprints
        place = bisect_left(fingerprints, fingerprint)
        return place if place < len(fingerprints) and fingerprints[place] == fingerprint else None

    def ghost(self, place: int) -> Ghost:
        return self.fingerprints[place], self.times[place], self.contributions[place], self.seconds[place]

    def insert(self, place: int, ghost: Ghost) -> None:
        fingerprint, time, contribution, second = ghost
        self.fingerprints.insert(place, fingerprint)
        self.times.insert(place, time)
        self.contributions.insert(place, contribution)
        self.seconds.insert(place, second)
        self.deleted += contribution & DELETED
        if 0 < second < self.earliest_s:
            self.earliest_s = second

    def delete(self, place: int) -> None:
        self.deleted -= self.contributions[place] & DELETED
        for column in (self.fingerprints, self.times, self.contributions, self.seconds):
            del column[place]

    def keep(self, places: list[int]) -> None:
        for name in ("fingerprints", "times", "contributions", "seconds"):
            column: array[int] = getattr(self, name)
            setattr(self, name, array(column.typecode, [column[place] for place in places]))
        self.deleted = sum(contribution & DELETED for contribution in self.contributions)


@attrs.define(eq=False)
class Ghosts:
    """The ghosts of every shard. ``count`` is their number, ``size_bytes`` what they occupy, ``grace_s`` how long a
    tombstone is kept."""

    trees: Trees
    shard_limit: int
    limit_bytes: int
    grace_s: int = 0
    count: int = 0
    size_bytes: int = 0
    forgot: BitMap = attrs.field(factory=BitMap)
    _shards: dict[int, _Shard] = attrs.field(factory=dict)

    @classmethod
    def of_share(cls, trees: Trees, limit_bytes: int, partition_count: int, grace_s: int) -> "Ghosts":
        """Return an empty store of ghosts in which each partition may have its part of ``limit_bytes``."""
        shard_limit = max(0, (limit_bytes // partition_count - GHOST_SHARD_BYTES) // GHOST_BYTES)
        return cls(trees, shard_limit, limit_bytes, grace_s)

    def add(self, shard: int, ghost: Ghost, now_s: int) -> None:
        """Remember a version that is no longer held, whose contribution is in the tree already. One of the same
        fingerprint is taken out of the tree, and so is this one if it cannot be kept."""
        if self.shard_limit < 1:
            self._forget(shard, ghost, now_s)
            return
        held = self._shards.get(shard)
        if held is None:
            self._shards[shard] = held = _Shard()
            self.size_bytes += GHOST_SHARD_BYTES
        place = bisect_left(held.fingerprints, ghost[0])
        if place < len(held.fingerprints) and held.fingerprints[place] == ghost[0]:
            self._toggle(shard, held.ghost(place))
            held.delete(place)
            held.insert(place, ghost)
            return
        held.insert(place, ghost)
        self.count += 1
        self.size_bytes += GHOST_BYTES
        if len(held.fingerprints) > self.shard_limit or self.size_bytes > self.limit_bytes:
            self._forget_oldest(shard, held, now_s)

    def find(self, shard: int, fingerprint: int, now_s: int) -> Ghost | None:
        """Return a ghost as it is at a second, None if there is none or it has gone."""
        held = self._shards.get(shard)
        if held is None:
            return None
        place = held.place(fingerprint)
        return None if place is None else self._at(held.ghost(place), now_s)

    def has(self, shard: int) -> bool:
        """Tell whether a shard has any ghost."""
        return shard in self._shards

    def has_values(self, shard: int) -> bool:
        """Tell whether a shard has a ghost of a value, not only of deletes."""
        held = self._shards.get(shard)
        return held is not None and held.deleted < len(held.fingerprints)

    def has_room(self, shard: int) -> bool:
        """Tell whether a shard can have one more ghost without forgetting any."""
        held = self._shards.get(shard)
        count = 0 if held is None else len(held.fingerprints)
        wanted = GHOST_BYTES if held is not None else GHOST_BYTES + GHOST_SHARD_BYTES
        return count < self.shard_limit and self.size_bytes + wanted <= self.limit_bytes

    def has_room_for_deleted(self, shard: int) -> bool:
        """Tell whether a shard can have one more ghost of a tombstone: they take half of it at most, so that what is
        forgotten for want of room is evictions."""
        held = self._shards.get(shard)
        return self.has_room(shard) and (held is None or 2 * held.deleted < self.shard_limit)

    def take(self, shard: int, fingerprint: int) -> int:
        """Forget the ghost of a key that is stored again, say; return its contribution, 0 if there was none. That is
        still in the tree: the caller takes it out."""
        held = self._shards.get(shard)
        if held is None:
            return 0
        place = held.place(fingerprint)
        if place is None:
            return 0
        contribution = held.contributions[place]
        held.delete(place)
        self._shrunk(shard, held, 1)
        return contribution & ~DELETED

    def discard(self, shard: int, fingerprint: int) -> bool:
        """Forget a ghost, its contribution with it; False if there was none."""
        contribution = self.take(shard, fingerprint)
        if contribution:
            self.trees.toggle(shard, fingerprint >> _PREFIX_SHIFT, contribution)
        return contribution != 0

    def clear(self, shard: int) -> None:
        """Forget all of a shard, and that it ever forgot. The trees are the caller's to change."""
        held = self._shards.pop(shard, None)
        if held is not None:
            self.count -= len(held.fingerprints)
            self.size_bytes -= GHOST_SHARD_BYTES + GHOST_BYTES * len(held.fingerprints)
        self.forgot.discard(shard)

    def count_of(self, shard: int) -> int:
        """Return the number of ghosts of a shard."""
        held = self._shards.get(shard)
        return 0 if held is None else len(held.fingerprints)

    def of(self, shard: int, prefixes: range | None = None) -> Iterator[Ghost]:
        """Yield the ghosts of a shard, or those of its prefixes in a range, in order. Must not change meanwhile."""
        held = self._shards.get(shard)
        if held is None:
            return
        first, last = 0, len(held.fingerprints)
        if prefixes is not None:
            first = bisect_left(held.fingerprints, prefixes.start << _PREFIX_SHIFT)
            last = bisect_right(held.fingerprints, (prefixes.stop << _PREFIX_SHIFT) - 1)
        for place in range(first, last):
            yield held.ghost(place)

    # Time.

    def due_shards(self, now_s: int) -> list[int]:
        """Return the shards in which a ghost may have reached its second."""
        return [shard for shard, held in self._shards.items() if held.earliest_s <= now_s]

    def sweep(self, shard: int, now_s: int) -> int:
        """Let the ghosts of a shard go that have reached their second; return how many were looked at."""
        held = self._shards.get(shard)
        if held is None or held.earliest_s > now_s:
            return 0
        looked = len(held.seconds)
        due = [place for place, second in enumerate(held.seconds) if 0 < second <= now_s]
        gone = set()
        for place in due:
            ghost = held.ghost(place)
            later = self._at(ghost, now_s)
            if later is None:
                self._toggle(shard, ghost, marked=False)
                gone.add(place)
            else:
                held.contributions[place], held.seconds[place] = later[2], later[3]
                held.deleted += 1
        if len(gone) > 8:
            held.keep([place for place in range(looked) if place not in gone])
        else:
            for place in sorted(gone, reverse=True):
                held.delete(place)
        held.earliest_s = min((second for second in held.seconds if second), default=NEVER_S)
        if gone:
            self._shrunk(shard, held, len(gone))
        return looked

    def _at(self, ghost: Ghost, now_s: int) -> Ghost | None:
        """Return what a ghost is at a second."""
        fingerprint, time, contribution, second = ghost
        if not 0 < second <= now_s:
            return ghost
        if contribution & LEAVES_TOMBSTONE and not contribution & DELETED:
            ghost = fingerprint, time, contribution | DELETED, min(second + self.grace_s, NEVER_S)
            return ghost if ghost[3] > now_s else None
        return None

    # Room.

    def recount_bytes(self) -> int:
        """Return ``size_bytes`` by visiting every shard."""
        return sum(GHOST_SHARD_BYTES + GHOST_BYTES * len(held.fingerprints) for held in self._shards.values())

    def _shrunk(self, shard: int, held: _Shard, dropped: int) -> None:
        self.count -= dropped
        self.size_bytes -= dropped * GHOST_BYTES
        if not held.fingerprints:
            del self._shards[shard]
            self.size_bytes -= GHOST_SHARD_BYTES

    def _toggle(self, shard: int, ghost: Ghost, marked: bool = True) -> None:
        self.trees.toggle(shard, ghost[0] >> _PREFIX_SHIFT, ghost[2] & ~DELETED, marked)

    def _forget(self, shard: int, ghost: Ghost, now_s: int) -> None:
        """Take a ghost out of its tree before its time, and mark the shard if the ghost could still matter."""
        later = self._at(ghost, now_s)
        self._toggle(shard, ghost, later is not None)
        if later is not None and not later[2] & DELETED:
            self.forgot.add(shard)

    def _forget_oldest(self, shard: int, held: _Shard, now_s: int) -> None:
        def age(place: int) -> tuple[bool, int, int]:
            is_left = self._at(held.ghost(place), now_s) is not None
            return is_left, held.contributions[place] & DELETED, held.times[place]

        plain = not held.deleted and held.earliest_s > now_s
        order = sorted(range(len(held.times)), key=held.times.__getitem__ if plain else age)
        dropped = max(1, len(order) // 4)
        for place in order[:dropped]:
            self._forget(shard, held.ghost(place), now_s)
        held.keep(sorted(order[dropped:]))
        self._shrunk(shard, held, dropped)
