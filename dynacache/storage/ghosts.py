"""Ghosts: what this node remembers of entries that it no longer holds.

What: for each shard (``ghost_shard``) rows of four numbers: the fingerprint of a key, the hybrid time of the version
that went, its contribution to the repair tree, and the second at which that contribution goes. A ghost is left by an
eviction, by an entry that a full node witnessed but did not take, and, marked ``DELETED``, by a tombstone that was
reaped early and by a value that was evicted between its expiry and its second.

Invariants: a key that is stored has no ghost. A ghost's contribution is in its tree from the moment it is there until
the moment it is not; ``Ghosts`` takes it out when it drops one. At its second a ghost goes, as the entry would have; if
the entry would have left a tombstone, the ghost becomes one that is ``DELETED`` and goes with that. A shard holds at
most ``shard_limit`` ghosts and all together ``limit_bytes``; one more makes its shard drop the quarter whose versions
are oldest, expired ones first, tombstones last. If any eviction is among them that could still matter the shard is
marked ``forgot``: from then on a miss there may be an eviction that is no longer remembered. What the first ghost of a
shard takes is counted from the beginning.

Why: a reader must tell "was never here" from "was thrown out" (DESIGN section 9), repair must not pour back what
memory pressure threw out (section 8), and an old version that arrives late must be recognised after its successor, even
a delete, has gone. Arrays take 28 bytes a ghost where a dictionary of numbers takes over 150. Why shards are paid for
in advance: an eviction would cost more than it frees while most shards have no ghost yet, so that the first one would
drag thousands after it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import attrs
from pyroaring import BitMap

from dynacache.storage.contributions import DELETED, LEAVES_TOMBSTONE, PREFIX_BITS
from dynacache.storage.ghost_shard import NEVER_S, Ghost, GhostShard
from dynacache.storage.trees import Trees

__all__ = ["GHOST_BYTES", "GHOST_SHARD_BYTES", "Ghosts"]

GHOST_BYTES = 29
"""Bytes of one ghost: 8 + 8 + 8 + 4 and what arrays keep in reserve."""

GHOST_SHARD_BYTES = 600
"""Bytes of a shard that has ghosts, beside the ghosts; counted for every shard that may ever have any."""

_PREFIX_SHIFT = 64 - PREFIX_BITS


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
    _shards: dict[int, GhostShard] = attrs.field(factory=dict)
    _absent: int = -1
    """A fingerprint that was looked for in vain: a write asks first, and takes then."""

    _absent_shard: int = -1

    _extent: int = 0
    """Shards that are counted."""

    @classmethod
    def of_share(cls, trees: Trees, limit_bytes: int, partition_count: int, grace_s: int) -> "Ghosts":
        """Return an empty store of ghosts in which each partition may have its part of ``limit_bytes``."""
        shard_limit = max(0, (limit_bytes // partition_count - GHOST_SHARD_BYTES) // GHOST_BYTES)
        return cls(trees, shard_limit, limit_bytes, grace_s)

    def extend(self, shards: int) -> None:
        """Count so many more shards."""
        if self.shard_limit:
            self._extent += shards
            self.size_bytes += shards * GHOST_SHARD_BYTES

    def leave(self, shard: int, number: int, time: int, contribution: int, second: int, now_s: int) -> int:
        """Remember an entry that is evicted, by the parts of a ``Ghost``; return the growth in bytes. Its contribution
        is in the tree already, and is taken out if it cannot be kept."""
        held = self._shards.get(shard)
        if held is None:
            if self.shard_limit < 1:
                self._forget(shard, (number, time, contribution, second), now_s)
                return 0
            self._shards[shard] = held = GhostShard()
        if number == self._absent:
            self._absent = -1
        is_full = held.leave(number, time, contribution, second)
        self.count += 1
        self.size_bytes = size = self.size_bytes + GHOST_BYTES
        if held.count > self.shard_limit or size > self.limit_bytes:
            held.settle()
            return GHOST_BYTES - self._forget_oldest(shard, held, now_s)
        if is_full:
            held.settle()
        return GHOST_BYTES

    def add(self, shard: int, number: int, time: int, contribution: int, second: int, now_s: int) -> int:
        """As ``leave``, in place of a ghost that may be there; that one is taken out of the tree."""
        held = self._shards.get(shard)
        replaced = 0 if held is None else held.take(number)
        if replaced:
            self.trees.toggle(shard, number >> _PREFIX_SHIFT, replaced & ~DELETED)
            self.count -= 1
            self.size_bytes -= GHOST_BYTES
        return self.leave(shard, number, time, contribution, second, now_s) - (GHOST_BYTES if replaced else 0)

    def find(self, shard: int, number: int, now_s: int) -> Ghost | None:
        """Return a ghost as it is at a second, None if there is none or it has gone."""
        held = self._shards.get(shard)
        ghost = None if held is None else held.find(number)
        if ghost is None:
            self._absent, self._absent_shard = number, shard
            return None
        return self._at(ghost, now_s)

    def has_values(self, shard: int) -> bool:
        """Tell whether a shard has a ghost of a value, not only of deletes."""
        held = self._shards.get(shard)
        return held is not None and held.deleted < held.count

    def has_room(self, shard: int) -> bool:
        """Tell whether a shard can have one more ghost without forgetting any."""
        held = self._shards.get(shard)
        count = 0 if held is None else held.count
        return count < self.shard_limit and self.size_bytes + GHOST_BYTES <= self.limit_bytes

    def has_room_for_deleted(self, shard: int) -> bool:
        """Tell whether a shard can have one more ghost of a tombstone: they take half of it at most, so that what is
        forgotten for want of room is evictions."""
        held = self._shards.get(shard)
        return self.has_room(shard) and (held is None or 2 * held.deleted < self.shard_limit)

    def take(self, shard: int, number: int) -> int:
        """Forget the ghost of a key that is stored again, say; return its contribution, 0 if there was none. That is
        still in the tree: the caller takes it out."""
        if number == self._absent and shard == self._absent_shard:
            return 0
        held = self._shards.get(shard)
        contribution = 0 if held is None else held.take(number)
        if held is None or not contribution:
            return 0
        self._shrunk(shard, held, 1)
        return contribution & ~DELETED

    def discard(self, shard: int, number: int) -> bool:
        """Forget a ghost, its contribution with it; False if there was none."""
        contribution = self.take(shard, number)
        if contribution:
            self.trees.toggle(shard, number >> _PREFIX_SHIFT, contribution)
        return contribution != 0

    def clear(self, shard: int) -> None:
        """Forget all of a shard, and that it ever forgot. The trees are the caller's to change."""
        held = self._shards.pop(shard, None)
        if held is not None:
            self.count -= held.count
            self.size_bytes -= GHOST_BYTES * held.count
        self.forgot.discard(shard)

    def count_of(self, shard: int) -> int:
        """Return the number of ghosts of a shard."""
        held = self._shards.get(shard)
        return 0 if held is None else held.count

    def of(self, shard: int, prefixes: range | None = None) -> Iterator[Ghost]:
        """Yield the ghosts of a shard, or those of its prefixes in a range, in order. Must not change meanwhile."""
        held = self._shards.get(shard)
        if held is None:
            return
        held.settle()
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
        held.settle()
        looked = held.count
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
        if gone:
            held.drop(gone)
        held.earliest_s = min((second for second in held.seconds if second), default=NEVER_S)
        if gone:
            self._shrunk(shard, held, len(gone))
        return looked

    def _at(self, ghost: Ghost, now_s: int) -> Ghost | None:
        """Return what a ghost is at a second."""
        number, time, contribution, second = ghost
        if not 0 < second <= now_s:
            return ghost
        if contribution & LEAVES_TOMBSTONE and not contribution & DELETED:
            ghost = number, time, contribution | DELETED, min(second + self.grace_s, NEVER_S)
            return ghost if ghost[3] > now_s else None
        return None

    # Room.

    def recount_bytes(self) -> int:
        """Return ``size_bytes`` by visiting every shard."""
        held = sum(held.recount() for held in self._shards.values())
        return self._extent * GHOST_SHARD_BYTES + GHOST_BYTES * held

    def _shrunk(self, shard: int, held: GhostShard, dropped: int) -> None:
        self.count -= dropped
        self.size_bytes -= dropped * GHOST_BYTES
        if not held.count:
            del self._shards[shard]

    def _toggle(self, shard: int, ghost: Ghost, marked: bool = True) -> None:
        self.trees.toggle(shard, ghost[0] >> _PREFIX_SHIFT, ghost[2] & ~DELETED, marked)

    def _forget(self, shard: int, ghost: Ghost, now_s: int) -> None:
        """Take a ghost out of its tree before its time, and mark the shard if the ghost could still matter."""
        later = self._at(ghost, now_s)
        self._toggle(shard, ghost, later is not None)
        if later is not None and not later[2] & DELETED:
            self.forgot.add(shard)

    def _forget_oldest(self, shard: int, held: GhostShard, now_s: int) -> int:
        """Forget a quarter of a shard that is settled; return the bytes that are free."""

        def age(place: int) -> tuple[bool, int, int]:
            is_left = self._at(held.ghost(place), now_s) is not None
            return is_left, held.contributions[place] & DELETED, held.times[place]

        count = len(held.times)
        dropped = max(1, count // 4)
        if held.deleted or held.earliest_s <= now_s:
            gone = sorted(range(count), key=age)[:dropped]
            for place in gone:
                self._forget(shard, held.ghost(place), now_s)
        else:
            gone = sorted(range(count), key=held.times.__getitem__)[:dropped]
            trees, numbers, contributions = self.trees, held.fingerprints, held.contributions
            leaves, drop, note = trees.leaves[shard], trees.drops[shard], trees.journal.append
            base = shard << PREFIX_BITS
            for place in gone:
                prefix = numbers[place] >> _PREFIX_SHIFT
                leaves[prefix >> drop] ^= contributions[place]
                note(base | prefix)
            self.forgot.add(shard)
        held.drop(gone)
        self._shrunk(shard, held, dropped)
        return dropped * GHOST_BYTES
