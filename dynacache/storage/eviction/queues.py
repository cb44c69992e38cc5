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
"""Entries looked at for one victim before the next one goes whatever it was used; fewer when ``patience`` ends."""

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
    _share: float = attrs.field(init=False, default=0.0)
    _pressed: bool = attrs.field(init=False, default=False)
    """There was no room for something once."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.steps, self._share = self.tuning.steps, self.tuning.small_share

    def inserted(self, shard: int, key: bytes, hashed: int, size: int, returned: bool) -> int:
        """Note that an entry was added."""
        self.count = count = self.count + 1
        self.entry_bytes = entry_bytes = self.entry_bytes + size
        grown = self._grow() if count > self._most_count else 0
        small, wanted = self._small, entry_bytes * self._share
        if returned or (not self._pressed and small.held_bytes > wanted):
            self.cells[hashed & self.mask] = 0
            growth = self._numbers.append(shard) if self.whole else self._keys.append(shard, key, size)
            self.size_bytes += growth
            return grown + growth
        self.cells[hashed & self.mask] = SMALL
        growth = small.append(shard, key, size)
        self.size_bytes += growth
        if small.held_bytes > wanted * _SLACK + 2 * size:
            growth += self._pass_on()
        return grown + growth

    def removed(self, shard: int, key: bytes, hashed: int, size: int) -> int:
        """Note that an entry is gone. A place in a queue of keys goes when its turn comes."""
        self.count -= 1
        self.entry_bytes -= size
        named = self._named
        if named is not None and named[1] == key:
            self._named = None
            return 0
        if self.cells[hashed & self.mask] & SMALL:
            return self._left_small(1)
        if self.whole:
            numbers = self._numbers
            before = numbers.size_bytes
            numbers.removed(shard)
            growth = numbers.size_bytes - before
            self.size_bytes += growth
            return growth
        return 0

    def removed_many(self, shards: Sequence[int], keys: Sequence[bytes], hashes: Sequence[int], size: int) -> int:
        """Note that entries are gone."""
        super().removed_many(shards, keys, hashes, size)
        cells, mask, numbers = self.cells, self.mask, self._numbers
        gone = [shard for shard, hashed in zip(shards, hashes, strict=True) if cells[hashed & mask] < SMALL]
        left_small, named = len(keys) - len(gone), self._named
        if named is not None and named[1] in keys:  # it is in neither queue, whatever another key made of its cell
            if cells[hashes[keys.index(named[1])] & mask] < SMALL:
                gone.remove(named[0])
            else:
                left_small -= 1
            self._named = None
        growth = self._left_small(left_small)
        if not self.whole or not gone:
            return growth
        before = numbers.size_bytes
        numbers.removed_many(gone)
        main_growth = numbers.size_bytes - before
        self.size_bytes += main_growth
        return growth + main_growth

    def _left_small(self, count: int) -> int:
        """Note that so many entries of the small queue are gone; return the growth."""
        small = self._small
        before = small.size_bytes
        small.note_gone(count, self.live.tables)
        growth = small.size_bytes - before
        self.size_bytes += growth
        return growth

    def victim(self, spared: bytes | None, owns: Owner | None) -> tuple[int, bytes] | None:
        """Return the entry that has to go; None if there is nothing but ``spared``."""
        self._pressed = True
        small, numbers, keys = self._small, self._numbers, self._keys
        before = small.size_bytes + numbers.size_bytes + keys.size_bytes
        if self._named is not None:
            self._stay(*self._named, 0)
            self._named = None
        found = self._next(spared) if self.whole and owns is None else self._next_owned(spared, owns)
        if found is None and self.count:
            found = any_but(self.live, spared, owns)
        self._named = found
        self.size_bytes += small.size_bytes + numbers.size_bytes + keys.size_bytes - before
        return found

    def _next(self, spared: bytes | None) -> tuple[int, bytes] | None:
        """Take the victim from the queues of a policy for everybody; None if they have none. What ``_next_owned`` does,
        with all that it calls in one place."""
        cells, mask, tables, small, numbers = self.cells, self.mask, self.live.tables, self._small, self._numbers
        wanted, met_spared = self.entry_bytes * self._share, False
        looks = self._looks_allowed()
        while True:
            if small.count and small.held_bytes >= wanted and not met_spared:
                shard, key, size = small.take()
                if key not in tables[shard].entries:
                    continue
                slot = key_hash(key) & mask
                if key == spared:
                    small.append(shard, key, size)
                    met_spared = True
                elif not cells[slot] & _USES or looks <= 1:
                    cells[slot] = 0
                    return shard, key
                else:
                    cells[slot] = 0
                    self.live.rotate(shard, key)
                    numbers.append(shard)
                looks -= 1
                self.patience -= 1
                continue
            number = numbers.pop()
            if number is None:
                if met_spared or not small.count:
                    return None
                wanted = 0.0
                continue
            first = next(iter(tables[number].entries), None)
            if first is None:
                continue
            slot = key_hash(first) & mask
            if cells[slot] & SMALL:
                first = self._first(number, None)
                if first is None:
                    continue
                slot = key_hash(first) & mask
            uses, looks = cells[slot], looks - 1
            self.patience -= 1
            if first != spared and (not uses or looks <= 0):
                cells[slot] = 0
                return number, first
            if first != spared:
                cells[slot] = uses - 1
            elif looks <= 0:
                self._stay(number, first, 0, again=True)
                return None
            self.live.rotate(number, first)
            numbers.append(number)

    def _next_owned(self, spared: bytes | None, owns: Owner | None) -> tuple[int, bytes] | None:
        """Take the victim from the queues; None if they have none."""
        cells, mask, small = self.cells, self.mask, self._small
        wanted = self.entry_bytes * self._share
        looks, dry, met_spared = self._looks_allowed(), False, False
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
            self.patience -= 1
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
                return shard, key
        return None

    def _looks_allowed(self) -> int:
        return max(1, min(LOOKS_COUNT, self.patience))

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
        queues = self._small, self._numbers, self._keys
        before, dictionaries = sum(queue.size_bytes for queue in queues), self.live.size_bytes
        item = self._small.pop()
        if item is not None and item[1] in self.live.tables[item[0]].entries:
            self.cells[key_hash(item[1]) & self.mask] &= _USES
            self._stay(*item, again=True)
        growth = sum(queue.size_bytes for queue in queues) - before
        self.size_bytes += growth
        return growth + self.live.size_bytes - dictionaries

    @property
    def places(self) -> int:
        """How many places in the queues there are, those of entries that are gone included."""
        return self._small.count + self._keys.count + self._numbers.count

    def recount_bytes(self) -> int:
        """Return the memory of cells and queues by visiting every queue."""
        queues = (self._small, self._numbers, self._keys)
        return len(self.cells) + sum(queue.recount_bytes() for queue in queues)
