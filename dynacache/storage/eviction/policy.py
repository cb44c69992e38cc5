"""The port of the eviction policies, and what they share: cells, counts and the policy that evicts nothing.

What: a policy keeps a byte, a *cell*, for every slot of an array; an entry's slot is a hash of its key. Reading an
entry is ``cells[slot] = steps[cells[slot]]``: one table of 256 bytes says what a use makes of a cell, so that the hot
path is the same line for every policy. The rest is told by calls: inserted, removed, and who goes.

Invariants: a policy names only entries that are there and never the key that is being written. ``count`` and
``entry_bytes`` are those of its entries; ``size_bytes`` is what its own data occupy.

Why a hash and no exact place: anything exact is a dictionary of its own, 50 bytes an entry and more. Two keys in one
slot share its cell, which costs LRU up to two points of its hit ratio with few cells an entry and half a one with many
(docs/eviction.md has the figures), so the array is generous while it is small (``LEAST_CELLS``) and has four to eight
cells an entry beyond. It doubles by copying itself: both halves of a slot begin with what the slot knew.
"""

import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import attrs

__all__ = [
    "LEAST_CELLS",
    "MOST_CELLS",
    "PATIENCE_COUNT",
    "READS_LIMIT",
    "READ_SAMPLE_SPAN",
    "Cells",
    "EvictionPolicy",
    "NoEviction",
    "Owner",
    "cell_limit",
    "first_cells",
]

LEAST_CELLS = 1 << 17
"""Cells of a policy before it grows, where the limit has room for them."""

MOST_CELLS = 1 << 24
"""Cells beyond which a policy does not grow: to copy more would be a pause."""

PATIENCE_COUNT = 1_024
"""Entries that the search for the victims of one step looks at and leaves: about a millisecond."""

READ_SAMPLE_SPAN = 15
"""The next read that is remembered for other replicas (``coordination.touch_digests``) is one of so many, by chance:
one in eight on average."""

READS_LIMIT = 32_768
"""Reads remembered, the latest; the memory is that of a few hundred kilobytes while there are so many."""

_CELLS_AN_ENTRY = 4
_BYTES_A_FIRST_CELL = 16
_BYTES_A_CELL = 32

Owner = Callable[[int, bytes], bool]
"""Tells of (shard, key) whether the policy that asks is responsible for it."""


class EvictionPolicy(Protocol):
    """What the engine asks of a policy. Shards and keys are those of ``TableSet``, a hash is the key's ``key_hash``.

    Hot calls note that an entry was read or overwritten by ``cells[hash & mask] = steps[cells[hash & mask]]``.
    """

    cells: bytearray
    mask: int
    steps: bytes
    reads: "deque[int]"
    """Hashes of some keys that were read."""

    count: int
    entry_bytes: int
    size_bytes: int
    """The memory of the policy's own data, not to be changed by others."""

    patience: int
    """Entries that may still be looked at and left in place; whoever asks for victims sets it, once for several. At 0
    the next one goes."""

    evicts: bool
    """Whether this policy ever names a victim."""

    def inserted(self, shard: int, key: bytes, hashed: int, size: int, returned: bool) -> int:
        """Note that an entry of ``size`` bytes was added; ``returned`` says that it was evicted not long ago. Returns
        by how much the policy's own data and the dictionaries grew."""
        ...

    def removed(self, shard: int, key: bytes, hashed: int, size: int) -> int:
        """Note that an entry is gone, for whatever reason; return the growth."""
        ...

    def removed_many(self, shards: Sequence[int], keys: Sequence[bytes], hashes: Sequence[int], size: int) -> int:
        """Note that entries of ``size`` bytes together are gone from the tables; return the growth."""
        ...

    def victim(self, spared: bytes | None, owns: Owner | None) -> tuple[int, bytes] | None:
        """Return (shard, key) of the entry to evict, never the key ``spared``; None when nothing may go.

        May reorder entries within shards. ``owns`` is given when other policies have entries in the same shards.
        """
        ...

    def recount_bytes(self) -> int:
        """Return ``size_bytes`` by visiting everything."""
        ...


def first_cells(limit_bytes: int) -> int:
    """Return the number of cells that a policy under a limit begins with: a power of two."""
    return 1 << (max(1 << 10, min(LEAST_CELLS, limit_bytes // _BYTES_A_FIRST_CELL)).bit_length() - 1)


def cell_limit(limit_bytes: int) -> int:
    """Return the number of cells that a policy under a limit may grow to: a power of two."""
    return 1 << (max(first_cells(limit_bytes), min(MOST_CELLS, limit_bytes // _BYTES_A_CELL)).bit_length() - 1)


@attrs.define(eq=False)
class Cells:
    """The cells and counts of a policy; a base class."""

    cell_count: int
    cell_limit: int
    cells: bytearray = attrs.field(init=False, repr=False)
    mask: int = attrs.field(init=False)
    steps: bytes = attrs.field(init=False, default=bytes(range(256)), repr=False)
    reads: "deque[int]" = attrs.field(init=False, factory=lambda: deque(maxlen=READS_LIMIT), repr=False)
    count: int = attrs.field(init=False, default=0)
    entry_bytes: int = attrs.field(init=False, default=0)
    size_bytes: int = attrs.field(init=False, default=0)
    patience: int = attrs.field(init=False, default=PATIENCE_COUNT)
    evicts: bool = attrs.field(init=False, default=True)
    _most_count: int = attrs.field(init=False, default=0)
    """Entries beyond which the cells double."""

    def __attrs_post_init__(self) -> None:
        assert self.cell_count & (self.cell_count - 1) == 0, "slots are addressed by mask"
        self.cells = bytearray(self.cell_count)
        self._cells_changed()
        self.size_bytes = self.cell_count

    def _added(self, size: int) -> int:
        """Count one more entry; return the growth."""
        self.count = count = self.count + 1
        self.entry_bytes += size
        return self._grow() if count > self._most_count else 0

    def _grow(self) -> int:
        """Double the cells; return the growth."""
        growth = len(self.cells)
        self.cells *= 2
        self._cells_changed()
        self.size_bytes += growth
        return growth

    def _cells_changed(self) -> None:
        cells = len(self.cells)
        self.mask = cells - 1
        self._most_count = cells // _CELLS_AN_ENTRY if cells < self.cell_limit else sys.maxsize

    def removed_many(self, shards: Sequence[int], keys: Sequence[bytes], hashes: Sequence[int], size: int) -> int:
        """Count them; for a policy that keeps nothing else of an entry but its cell."""
        self.count -= len(keys)
        self.entry_bytes -= size
        return 0

    def _taken(self, size: int) -> None:
        self.count -= 1
        self.entry_bytes -= size


@attrs.define(eq=False)
class NoEviction(Cells):
    """The policy ``noeviction``: nothing is ever evicted, so a write that needs more room is refused."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.evicts = False

    def inserted(self, shard: int, key: bytes, hashed: int, size: int, returned: bool) -> int:
        """Count it."""
        self.count += 1
        self.entry_bytes += size
        return 0

    def removed(self, shard: int, key: bytes, hashed: int, size: int) -> int:
        """Count it."""
        self._taken(size)
        return 0

    def victim(self, spared: bytes | None, owns: Owner | None) -> tuple[int, bytes] | None:
        """Nothing may go."""
        return None

    def recount_bytes(self) -> int:
        """The one cell."""
        return len(self.cells)
