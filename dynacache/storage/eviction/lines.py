"""Queues of entries that cost little: one of shard numbers, one of keys.

What: ``ShardLine`` is a queue of 2-byte shard numbers. The entry meant by a number is the first of that shard's
dictionary, which keeps the order of arrival, so the queue orders all entries without a pointer to any. ``KeyLine``
holds the keys themselves, with shard and size.

Invariants: ``size_bytes`` is what the blocks occupy, ``count`` the numbers or keys that have not been taken. In a
``ShardLine`` a removed entry is marked by ``removed`` and its shard's next number skipped; more than an eighth of such
numbers (half, where entries go in masses) are swept out, a block at a time. Who takes a key from a ``KeyLine`` looks
whether it is there; keys of entries that are gone are swept out where they are noted (``note_gone``). One that stayed
would keep alive, besides itself, the whole arena of the allocator in which it lies, a megabyte.

Why blocks: a list that loses its head moves all the rest, and one block swept at a time is no pause. Full blocks of
keys are tuples, which the garbage collector stops visiting.
"""

from array import array
from collections import Counter, deque
from collections.abc import Sequence

import attrs

from dynacache.storage.tables import Table

__all__ = ["KEY_BLOCK_BYTES", "SHARD_BLOCK_BYTES", "Item", "KeyLine", "ShardLine"]

_SHARD_BLOCK = 256
SHARD_BLOCK_BYTES = 2 * _SHARD_BLOCK + 112
"""Bytes of a block of shard numbers, whether it is full or not."""

_KEY_BLOCK = 64
KEY_BLOCK_BYTES = (8 + 2 + 4) * _KEY_BLOCK + 320
"""Bytes of a block of keys, without the keys."""

_STALE_FREE = 64
_STALE_SHARE_LOG = 3
_GONE_A_BLOCK = 16
"""Keys that the sweep of one block takes out, where a quarter of all are those of entries that are gone."""

_SWEPT_A_BLOCK = 64
"""Numbers that the sweep of one block takes out, at least, where a third of all are those of removed entries."""


Item = tuple[int, bytes, int]
"""(shard, key, size in bytes)."""


@attrs.define(eq=False)
class ShardLine:
    """Numbers of shards, first in, first out."""

    count: int = 0
    size_bytes: int = 0
    stale: int = 0
    """Numbers whose entry has been removed."""

    _blocks: "deque[array[int]]" = attrs.field(factory=deque, repr=False)
    _last: "array[int]" = attrs.field(factory=lambda: array("H"), repr=False)
    """The last block; a new one before it is among them."""

    _head: int = 0
    _surplus: Counter[int] = attrs.field(factory=Counter, repr=False)
    """Of each shard how many of its next numbers mean entries that have been removed."""

    _swept: int = 0

    def append(self, shard: int) -> int:
        """Put an entry of a shard, its latest, at the end; return the growth."""
        last = self._last
        last.append(shard)
        self.count += 1
        if len(last) != 1:
            if len(last) >= _SHARD_BLOCK:
                self._last = array("H")
            return 0
        self._blocks.append(last)
        self.size_bytes += SHARD_BLOCK_BYTES
        return SHARD_BLOCK_BYTES

    def pop(self) -> int | None:
        """Take the first number whose entry has not been removed; None without any."""
        blocks, surplus = self._blocks, self._surplus
        while self.count:
            block = blocks[0]
            if self._head >= len(block):
                self._drop(0)
                continue
            shard = block[self._head]
            self._head += 1
            self.count -= 1
            if not surplus or not self._skips(shard):
                return shard
        return None

    def removed(self, shard: int) -> None:
        """Note that an entry of a shard is gone though its number was not taken."""
        self._surplus[shard] += 1
        self.stale += 1
        if self.stale > _STALE_FREE + (self.count >> _STALE_SHARE_LOG):
            self._sweep_block()

    def removed_many(self, shards: Sequence[int]) -> None:
        """Note that entries of some shards are gone, which goes on for a while: up to half of the numbers wait to be
        swept, so that a block is worth its sweep."""
        self._surplus.update(shards)
        self.stale += len(shards)
        for _ in range(1 + len(shards) // _SWEPT_A_BLOCK):
            if self.stale <= _STALE_FREE + (self.count >> 1):
                break
            self._sweep_block()

    def recount_bytes(self) -> int:
        """Return ``size_bytes`` by counting."""
        return len(self._blocks) * SHARD_BLOCK_BYTES

    def _skips(self, shard: int) -> bool:
        left = self._surplus.get(shard, 0)
        if not left:
            return False
        self._surplus[shard] = left - 1
        self.stale -= 1
        return True

    def _sweep_block(self) -> None:
        """Take the numbers of removed entries out of one block."""
        blocks = self._blocks
        if not blocks:
            self._surplus.clear()
            self.stale = 0
            return
        self._swept = place = (self._swept + 1) % len(blocks)
        block = blocks[place]
        held = block[self._head :] if place == 0 else block
        kept, surplus = array("H"), self._surplus
        keep, left_of = kept.append, surplus.get
        for shard in held:
            if left := left_of(shard):
                surplus[shard] = left - 1
            else:
                keep(shard)
        swept = len(held) - len(kept)
        self.count -= swept
        self.stale -= swept
        if not self.stale:
            surplus.clear()
        if place == 0:
            self._head = 0
        if not kept:
            self._drop(place)
            return
        if block is self._last:
            self._last = kept
        blocks[place] = kept

    def _drop(self, place: int) -> None:
        """Take an empty block out."""
        if self._blocks[place] is self._last:
            self._last = array("H")
        del self._blocks[place]
        self.size_bytes -= SHARD_BLOCK_BYTES
        if place == 0:
            self._head = 0


@attrs.define(eq=False)
class _KeyBlock:
    keys: list[bytes] | tuple[bytes, ...] = attrs.field(factory=list)
    shards: "array[int]" = attrs.field(factory=lambda: array("H"))
    sizes: "array[int]" = attrs.field(factory=lambda: array("I"))


@attrs.define(eq=False)
class KeyLine:
    """Keys with their shard and their size, first in, first out."""

    count: int = 0
    held_bytes: int = 0
    """Sum of the sizes, as they were when the keys came."""

    size_bytes: int = 0
    stale: int = 0
    """Entries that are gone and whose keys are here still, as far as they were noted."""

    _swept: int = 0
    _found: int = 0
    """Keys swept out since the sweep was last at the first block."""

    _blocks: "deque[_KeyBlock]" = attrs.field(factory=deque, repr=False)
    _tail: list[bytes] = attrs.field(factory=list, repr=False)
    """The keys of the last block while it is not full."""

    _head: int = 0

    def append(self, shard: int, key: bytes, size: int) -> int:
        """Put a key at the end; return the growth."""
        blocks, tail, growth = self._blocks, self._tail, 0
        if not blocks or len(tail) >= _KEY_BLOCK:
            if blocks:
                blocks[-1].keys = tuple(tail)
            self._tail = tail = []
            blocks.append(_KeyBlock(tail))
            growth = KEY_BLOCK_BYTES
            self.size_bytes += growth
        block = blocks[-1]
        tail.append(key)
        block.shards.append(shard)
        block.sizes.append(size)
        self.count += 1
        self.held_bytes += size
        return growth

    def note_gone(self, count: int, tables: Sequence[Table[bytes]]) -> None:
        """Note that so many entries of this queue, or of others in the same slots, are gone, though their keys were not
        taken. Beyond a quarter of the queue they are swept out, some blocks at a time; ``tables`` say who is there."""
        self.stale += count
        for _ in range(1 + count // _GONE_A_BLOCK):
            if self.stale <= _STALE_FREE + (self.count >> 2):
                break
            self._sweep_block(tables)

    def _sweep_block(self, tables: Sequence[Table[bytes]]) -> None:
        """Take the keys of entries that are gone out of one block, never the last one."""
        blocks = self._blocks
        self._swept = place = self._swept + 1
        if place >= len(blocks) - 1:
            self._swept = place = 0
            if not self._found:  # once around: what was noted is not there, or was taken
                self.stale = 0
            self._found = 0
            if len(blocks) < 2:
                return
        block, head = blocks[place], self._head if place == 0 else 0
        kept = [
            (shard, key, size)
            for shard, key, size in zip(block.shards[head:], block.keys[head:], block.sizes[head:], strict=True)
            if key in tables[shard].entries
        ]
        gone = len(block.shards) - head - len(kept)
        if not gone:
            return
        self._found += gone
        self.count -= gone
        self.stale = max(0, self.stale - gone)
        self.held_bytes -= sum(block.sizes[head:]) - sum([size for _, _, size in kept])
        if place == 0:
            self._head = 0
        if kept:
            block.keys = tuple([key for _, key, _ in kept])
            block.shards = array("H", [shard for shard, _, _ in kept])
            block.sizes = array("I", [size for _, _, size in kept])
        else:
            del blocks[place]
            self.size_bytes -= KEY_BLOCK_BYTES

    def pop(self) -> Item | None:
        """Take the first; None without any."""
        return self.take() if self.count else None

    def take(self) -> Item:
        """Take the first; there must be one."""
        blocks, head = self._blocks, self._head
        block = blocks[0]
        shards, size = block.shards, block.sizes[head]
        item = shards[head], block.keys[head], size
        self.count -= 1
        self.held_bytes -= size
        self._head = head = head + 1
        if head >= len(shards):
            blocks.popleft()
            self._head = 0
            self.size_bytes -= KEY_BLOCK_BYTES
            if not blocks:
                self._tail = []
        return item

    def recount_bytes(self) -> int:
        """Return ``size_bytes`` by counting."""
        return len(self._blocks) * KEY_BLOCK_BYTES
