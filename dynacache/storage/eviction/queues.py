"""The policies ``s3fifo`` and ``lfu``: newcomers prove themselves in a small queue before they may stay.

What: S3-FIFO (Yang et al., SOSP 2023) in bytes. A new entry goes to the end of the *small* queue; what leaves its
front stays if it was used in the meantime and moves to the *main* queue, else it is the victim. What leaves the front
of the main queue goes to its end again with one use less on its account, and is the victim when it has none. A key that
returns while its ghost is there goes to the main queue at once. A cell holds the uses, up to a cap, and whether the
entry is in the small queue. ``lfu`` is the same machine set for stable frequencies: 1 % of the bytes for newcomers
instead of 10 %, and uses counted to 15 instead of 3.

Invariants: those of ``policy``. Every entry has one place, in the small or in the main queue, or was just named;
where two keys in one slot have confused that, the queues run dry before the entries do, and the order of the shards
decides. No call looks at more than ``LOOKS_COUNT`` entries.

Why one machine: measured on the recorded traces, plain LFU with aging is nowhere better by more than a point; where
frequencies never change, a smaller small queue is what counts. Why nobody needs to prove anything before the store was
full for the first time, nor while the small queue overflows because nothing is evicted: there is room for everybody,
and a loop longer than the cache keeps its first part instead of nothing. The ghosts are those that repair keeps: one
memory for both uses. Brief section 12.
"""

from collections.abc import Sequence

import attrs

from dynacache.storage.contributions import key_hash
from dynacache.storage.eviction.lines import KeyLine, ShardLine
from dynacache.storage.eviction.policy import Cells, Owner
from dynacache.storage.eviction.recency import any_but
from dynacache.storage.tables import TableSet

__all__ = ["LFU", "LOOKS_COUNT", "S3FIFO", "SMALL", "Tuning", "TwoQueues"]

SMALL = 0x80
"""Bit of a cell: the entry is in the small queue."""

LOOKS_COUNT = 128
"""Entries looked at for one victim before the next one goes whatever it was used."""

_USES = 0x7F
_SLACK = 1.25
_FOREIGN_COUNT = 256


@attrs.frozen
class Tuning:
    """What tells the two policies apart."""

    small_share: float
    """Part of the bytes for newcomers."""

    uses_cap: int
    """Uses that are counted."""

    steps: bytes = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        cap = self.uses_cap
        after = [value + 1 if value & _USES < cap else value & SMALL | cap for value in range(256)]
        object.__setattr__(self, "steps", bytes(after))


S3FIFO = Tuning(0.1, 3)
LFU = Tuning(0.01, 15)


@attrs.define(eq=False)
class TwoQueues(Cells):
    """The machine. ``whole`` says that the policy is everybody's, so that the main queue may be one of shards."""

    live: TableSet
    tuning: Tuning
    whole: bool
    _small: KeyLine = attrs.field(init=False, factory=KeyLine, repr=False)
    _numbers: ShardLine = attrs.field(init=False, factory=ShardLine, repr=False)
    """The main queue of a policy for everybody."""

    _keys: KeyLine = attrs.field(init=False, factory=KeyLine, repr=False)
    """The main queue of a policy for a part of the keys."""

    _named: tuple[int, bytes] | None = attrs.field(init=False, default=None)
    _pressed: bool = attrs.field(init=False, default=False)
    """There was no room for something once."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.steps = self.tuning.steps

    def inserted(self, shard: int, key: bytes, hashed: int, size: int, returned: bool) -> int:
        """Note that an entry was added."""
        growth = self._added(size)
        small, wanted = self._small, self.entry_bytes * self.tuning.small_share
        if returned or (small.held_bytes > wanted and not self._pressed):
            self.cells[hashed & self.mask] = 0
            return growth + (self._numbers.append(shard) if self.whole else self._keys.append(shard, key, size))
        self.cells[hashed & self.mask] = SMALL
        growth += small.append(shard, key, size)
        if small.held_bytes > wanted * _SLACK + 2 * size:
            growth += self._pass_on()
        return growth

    def removed(self, shard: int, key: bytes, hashed: int, size: int) -> int:
        """Note that an entry is gone. A place in a queue of keys goes when its turn comes."""
        self._taken(size)
        if self._named is not None and self._named[1] == key:
            self._named = None
            return 0
        if self.cells[hashed & self.mask] & SMALL:
            return self._left_small(1)
        if self.whole:
            before = self._numbers.size_bytes
            self._numbers.removed(shard)
            return self._numbers.size_bytes - before
        return 0

    def removed_many(self, shards: Sequence[int], keys: Sequence[bytes], hashes: Sequence[int], size: int) -> int:
        """Note that entries are gone."""
        super().removed_many(shards, keys, hashes, size)
        cells, mask, numbers = self.cells, self.mask, self._numbers
        gone = [shard for shard, hashed in zip(shards, hashes, strict=True) if cells[hashed & mask] < SMALL]
        if self._named is not None and self._named[1] in keys:
            gone.remove(self._named[0])
            self._named = None
        growth = self._left_small(len(keys) - len(gone))
        if not self.whole or not gone:
            return growth
        before = numbers.size_bytes
        numbers.removed_many(gone)
        return growth + numbers.size_bytes - before

    def _left_small(self, count: int) -> int:
        """Note that so many entries of the small queue are gone; return the growth."""
        small = self._small
        before = small.size_bytes
        small.note_gone(count, self.live.tables)
        return small.size_bytes - before

    def victim(self, spared: bytes | None, owns: Owner | None) -> tuple[int, bytes] | None:
        """Return the entry that has to go; None if there is nothing but ``spared``."""
        self._pressed = True
        if self._named is not None:
            self._stay(*self._named, 0)
            self._named = None
        cells, mask, small = self.cells, self.mask, self._small
        wanted = self.entry_bytes * self.tuning.small_share
        looks, dry, met_spared = LOOKS_COUNT, False, False
        while not dry:
            from_small = small.count > 0 and small.held_bytes >= wanted and not met_spared
            found = self._from_small(owns) if from_small else self._from_main(owns)
            if found is None:
                dry = not from_small and (met_spared or not small.count)
                wanted = 0.0
                continue
            shard, key, size = found
            slot = key_hash(key) & mask
            uses = cells[slot] & _USES
            looks -= 1
            if key == spared and from_small:
                small.append(shard, key, size)
                met_spared = True
            elif key == spared:
                self._stay(shard, key, size, again=True)
                dry = looks <= 0
            elif uses and looks > 0:
                cells[slot] = 0 if from_small else uses - 1
                self._stay(shard, key, size, again=True)
            else:
                cells[slot] = 0
                self._named = shard, key
                return shard, key
        return self._out_of_order(spared, owns)

    def _from_small(self, owns: Owner | None) -> tuple[int, bytes, int] | None:
        """Take the first entry of the small queue that is still there."""
        tables = self.live.tables
        while (item := self._small.pop()) is not None:
            if item[1] in tables[item[0]].entries and (owns is None or owns(item[0], item[1])):
                return item
        return None

    def _from_main(self, owns: Owner | None) -> tuple[int, bytes, int] | None:
        """Take the first entry of the main queue that is still there."""
        tables = self.live.tables
        if not self.whole:
            while (item := self._keys.pop()) is not None:
                if item[1] in tables[item[0]].entries and (owns is None or owns(item[0], item[1])):
                    return item
            return None
        while (shard := self._numbers.pop()) is not None:
            key = self._first(shard, owns)
            if key is not None:
                return shard, key, 0
        return None

    def _first(self, shard: int, owns: Owner | None) -> bytes | None:
        """Return the first entry of a shard that is in the main queue, having moved others to the end."""
        live, cells, mask = self.live, self.cells, self.mask
        for _ in range(min(_FOREIGN_COUNT, len(live.tables[shard].entries))):
            key = next(iter(live.tables[shard].entries))
            if not cells[key_hash(key) & mask] & SMALL and (owns is None or owns(shard, key)):
                return key
            live.rotate(shard, key)
        return None

    def _stay(self, shard: int, key: bytes, size: int, again: bool = False) -> None:
        """Put an entry at the end of the main queue; ``again`` if it is not the latest of its shard."""
        if not self.whole:
            self._keys.append(shard, key, size)
            return
        if again:
            self.live.rotate(shard, key)
        self._numbers.append(shard)

    def _pass_on(self) -> int:
        """Let the first of the small queue stay without a proof, as there is room; return the growth."""
        before = self.size_bytes + self.live.size_bytes
        item = self._small.pop()
        if item is not None and item[1] in self.live.tables[item[0]].entries:
            self.cells[key_hash(item[1]) & self.mask] &= _USES
            self._stay(*item, again=True)
        return self.size_bytes + self.live.size_bytes - before

    def _out_of_order(self, spared: bytes | None, owns: Owner | None) -> tuple[int, bytes] | None:
        """Name any entry: the queues have none though there are some."""
        found = any_but(self.live, spared, owns) if self.count else None
        self._named = found
        return found

    @property
    def places(self) -> int:
        """How many places in the queues there are, those of entries that are gone included."""
        return self._small.count + self._keys.count + self._numbers.count

    @property
    def size_bytes(self) -> int:
        """The memory of cells and queues."""
        return len(self.cells) + self._small.size_bytes + self._numbers.size_bytes + self._keys.size_bytes

    def recount_bytes(self) -> int:
        """The same, by visiting every queue."""
        queues = (self._small, self._numbers, self._keys)
        return len(self.cells) + sum(queue.recount_bytes() for queue in queues)
