"""Repair trees: for every shard an array of leaves, each the XOR of what its entries contribute.

What: ``Trees`` holds leaves, roots and which leaves changed. A tree has ``2**level`` leaves, about ``KEYS_A_LEAF``
entries each; a key's leaf is given by the top bits of its *prefix*, the ``PREFIX_BITS`` of its hash below those of its
partition. Folding, XOR of neighbouring leaves, gives the tree of the next lower level, so replicas whose trees differ
in level compare at the lower.

Invariants: a leaf is the XOR of the contributions of all that is stored or remembered as a ghost, and a root is the XOR
of its leaves, after every step of the store. ``changed`` names every (shard, prefix) at which a write, a merge or a
forgotten ghost changed something since it was last taken; what time alone removes, on all replicas in the same second,
is not named. A shard costs no leaves before its first entry.

Why a flat array and no inner nodes: every level is a few XORs of slices away, roots are brought up to date when someone
asks, and a write costs the same whatever is stored. What changed is appended to a journal for the same reason. A tree
grows in slices without stopping writes: they go to an empty array of the new size while the entries that were there at
that instant are added up aside. The sum of both is the new tree; the old array with the folded changes is the old one,
for whoever compares meanwhile. Hot calls in ``holdings`` do ``toggle`` in line. DESIGN section 8, brief R8.2; after
TicTac trees (Riak).
"""

import sys
from array import array
from collections.abc import Iterable, Iterator

import attrs
from pyroaring import BitMap

from dynacache.storage.contributions import PREFIX_BITS, PREFIX_MASK

__all__ = [
    "KEYS_A_LEAF",
    "LEAST_LEVEL",
    "MOST_LEVEL",
    "SHARD_TREE_BYTES",
    "Trees",
    "fold",
    "leaves_bytes",
    "wanted_level",
]

LEAST_LEVEL = 3
MOST_LEVEL = PREFIX_BITS
KEYS_A_LEAF = 10
"""Entries a leaf that a tree is built for; it grows at twice as many and shrinks at a quarter."""

SHARD_TREE_BYTES = 24
"""What an empty tree costs: a root and two places in lists."""

_HASH_BITS = 32
_LEAF_BYTES = 8
_NONE: "array[int]" = array("Q")
_EMPTY_BYTES = sys.getsizeof(_NONE)


def leaves_bytes(level: int) -> int:
    """Return what the leaves of a tree occupy."""
    return _EMPTY_BYTES + (_LEAF_BYTES << level)


def wanted_level(count: int) -> int:
    """Return the level for ``count`` entries."""
    return max(LEAST_LEVEL, min(MOST_LEVEL, (count // KEYS_A_LEAF).bit_length() - 1))


def fold(leaves: "array[int]", times: int) -> "array[int]":
    """Return the leaves of the tree that is ``times`` levels lower."""
    for _ in range(times):
        leaves = _xor(leaves[0::2], leaves[1::2])
    return leaves


def _zeros(level: int) -> "array[int]":
    return array("Q", [0]) * (1 << level)


def _xor(first: "array[int]", second: "array[int]") -> "array[int]":
    """Return the XOR of two arrays of one length, with some reserve as arrays made of bytes have: copy to keep."""
    size = _LEAF_BYTES * len(first)
    joined = int.from_bytes(first.tobytes(), "little") ^ int.from_bytes(second.tobytes(), "little")
    return array("Q", joined.to_bytes(size, "little"))


@attrs.define(eq=False)
class _Growth:
    """A tree on its way to a higher level. ``base`` is the old one as it was at the start."""

    shard: int
    base: "array[int]"
    built: "array[int]"
    drop: int
    left: Iterator[tuple[int, int]]
    """(prefix, contribution) of the entries of the start that have not been added up yet."""


@attrs.define(eq=False)
class Trees:
    """The trees of all shards. ``partition_count`` gives the bits of a hash that are the partition's."""

    partition_count: int
    leaves: "list[array[int]]" = attrs.field(factory=list)
    """By shard; an empty array before the first entry. While a tree grows, what has changed since the start."""

    drops: list[int] = attrs.field(factory=list)
    """By shard: by how many bits a prefix is shifted right to give its place in ``leaves``."""

    journal: "array[int]" = attrs.field(factory=lambda: array("I"))
    """``shard << PREFIX_BITS | prefix`` of changes whose roots have not been brought up to date."""

    changed: BitMap = attrs.field(factory=BitMap)
    """Of the same; all that was in the journal since it was last taken."""

    size_bytes: int = 0
    prefix_shift: int = attrs.field(init=False)
    """``hash >> prefix_shift & PREFIX_MASK`` is the prefix of a key's hash."""

    _roots: "array[int]" = attrs.field(factory=lambda: array("Q"))
    _outdated: set[int] = attrs.field(factory=set)
    """Shards whose root is not that of their leaves."""

    _growth: _Growth | None = None

    def __attrs_post_init__(self) -> None:
        self.prefix_shift = _HASH_BITS - (self.partition_count - 1).bit_length() - PREFIX_BITS

    def extend(self, shards: int) -> None:
        """Add ``shards`` empty trees."""
        self._roots.extend([0] * shards)
        self.leaves.extend([_NONE] * shards)
        self.drops.extend([PREFIX_BITS - LEAST_LEVEL] * shards)

    def prefix(self, hashed: int) -> int:
        """Return the prefix of a key by its hash."""
        return hashed >> self.prefix_shift & PREFIX_MASK

    def toggle(self, shard: int, prefix: int, difference: int, marked: bool = True) -> int:
        """XOR into a tree; return by how many bytes it grew. ``marked`` names the prefix as changed."""
        growth = 0
        try:
            self.leaves[shard][prefix >> self.drops[shard]] ^= difference
        except IndexError:
            growth = self.plant(shard, prefix, difference)
        if marked:
            self.journal.append(shard << PREFIX_BITS | prefix)
        else:
            self._roots[shard] ^= difference
        return growth

    def leave(self, shards: Iterable[int], hashes: Iterable[int], contributions: Iterable[int]) -> None:
        """Take entries out whose time has come, each by its shard, the hash of its key and what it contributes."""
        leaves, drops, roots, shift = self.leaves, self.drops, self._roots, self.prefix_shift
        outdated = self._outdated
        for shard, hashed, contribution in zip(shards, hashes, contributions, strict=True):
            leaves[shard][(hashed >> shift & PREFIX_MASK) >> drops[shard]] ^= contribution
            if shard not in outdated:
                roots[shard] ^= contribution

    def plant(self, shard: int, prefix: int, difference: int) -> int:
        """Make the leaves of a shard that had none, the first entry's in place; return the growth in bytes."""
        level = LEAST_LEVEL
        self.drops[shard] = PREFIX_BITS - level
        self.leaves[shard] = leaves = _zeros(level)
        leaves[prefix >> self.drops[shard]] = difference
        growth = leaves_bytes(level)
        self.size_bytes += growth
        return growth

    # Roots.

    def write_up(self) -> None:
        """Empty the journal: note what has changed, and which roots are out of date."""
        if not self.journal:
            return
        changed = BitMap(self.journal)
        self.journal = array("I")
        self.changed |= changed
        outdated, shard, last = self._outdated, changed.min() >> PREFIX_BITS, changed.max() >> PREFIX_BITS
        outdated.add(shard)
        while shard < last:
            shard = changed.next_set_bit(shard + 1 << PREFIX_BITS) >> PREFIX_BITS
            outdated.add(shard)

    def root(self, shard: int) -> int:
        """Return the XOR of all leaves of a shard."""
        self.write_up()
        if shard in self._outdated:
            self._outdated.discard(shard)
            self._roots[shard] = self.folded(shard, 0)[0]
        return self._roots[shard]

    @property
    def roots(self) -> "array[int]":
        """The roots of all shards as they are now, not to be changed."""
        self.write_up()
        for shard in sorted(self._outdated):
            self.root(shard)
        return self._roots

    def level(self, shard: int) -> int:
        """Return the level at which a tree can be compared."""
        growth = self._growth
        return PREFIX_BITS - (growth.drop if growth is not None and growth.shard == shard else self.drops[shard])

    def check_level(self, shard: int, level: int) -> int:
        """Return the level of a tree, which must not be lower than ``level``. Raises ValueError if it is."""
        own = self.level(shard)
        if not 0 <= level <= own:
            raise ValueError(f"level: got {level}, expected 0 to {own}")
        return own

    def folded(self, shard: int, level: int) -> "array[int]":
        """Return the leaves at a level, not to be changed. Raises ValueError if the tree has a lower one."""
        growth = self._growth
        own = self.check_level(shard, level)
        leaves = self.leaves[shard]
        if not leaves:
            return _zeros(level)
        if growth is not None and growth.shard == shard:
            leaves = _xor(growth.base, fold(leaves, growth.drop - self.drops[shard]))
        return fold(leaves, own - level)

    def take_changed(self) -> BitMap:
        """Return which prefixes have changed since the last call."""
        self.write_up()
        changed, self.changed = self.changed, BitMap()
        return changed

    def clear(self, shard: int) -> int:
        """Make a tree that of an empty shard; return the growth in bytes. Everything in it counts as changed."""
        self.write_up()
        self._outdated.discard(shard)
        before = self.size_bytes
        self.size_bytes -= self._shard_bytes(shard)
        if self._growth is not None and self._growth.shard == shard:
            self._growth = None
        self._roots[shard] = 0
        self.leaves[shard] = _NONE
        self.drops[shard] = PREFIX_BITS - LEAST_LEVEL
        self.changed.add_range(shard << PREFIX_BITS, (shard + 1) << PREFIX_BITS)
        return self.size_bytes - before

    # Levels.

    def misfit(self, shard: int, count: int) -> int:
        """Return the level that a tree of ``count`` entries should go to, or its own if that will do."""
        level = self.level(shard)
        if not self.leaves[shard]:
            return level
        crowded = count > 2 * KEYS_A_LEAF << level and level < MOST_LEVEL
        sparse = 4 * count < KEYS_A_LEAF << level and level > LEAST_LEVEL
        return wanted_level(count) if crowded or sparse else level

    def shrink(self, shard: int, level: int) -> int:
        """Fold a tree for good; return the growth in bytes (negative)."""
        assert not self.is_growing, "one change of level at a time"
        before = self.size_bytes
        self.size_bytes -= self._shard_bytes(shard)
        self.leaves[shard] = self.folded(shard, level)[:]
        self.drops[shard] = PREFIX_BITS - level
        self.size_bytes += self._shard_bytes(shard)
        return self.size_bytes - before

    @property
    def is_growing(self) -> bool:
        """Tell whether ``grow`` has work left."""
        return self._growth is not None

    def start_growth(self, shard: int, level: int, entries: Iterable[tuple[int, int]]) -> int:
        """Begin to raise a tree's level; return the growth in bytes. ``entries`` gives (prefix, contribution) of all
        that the tree is made of at this instant, and is read in slices."""
        assert self._growth is None, "one change of level at a time"
        fresh, built = _zeros(level), _zeros(level)
        self._growth = _Growth(shard, self.leaves[shard], built, self.drops[shard], iter(entries))
        self.leaves[shard], self.drops[shard] = fresh, PREFIX_BITS - level
        growth = 2 * leaves_bytes(level)
        self.size_bytes += growth
        return growth

    def grow(self, count: int) -> tuple[int, int]:
        """Add up to ``count`` entries of the tree that grows; return (growth in bytes, how many it was)."""
        growth = self._growth
        if growth is None:
            return 0, 0
        built, drop, done = growth.built, self.drops[growth.shard], 0
        for prefix, contribution in growth.left:
            built[prefix >> drop] ^= contribution
            done += 1
            if done >= count:
                return 0, done
        self._growth = None
        before = self.size_bytes
        self.leaves[growth.shard] = _xor(built, self.leaves[growth.shard])[:]
        self.size_bytes -= leaves_bytes(PREFIX_BITS - growth.drop) + leaves_bytes(PREFIX_BITS - drop)
        return self.size_bytes - before, done

    def recount_bytes(self) -> int:
        """Return ``size_bytes`` by visiting every shard."""
        return sum(map(self._shard_bytes, range(len(self.leaves))))

    def _shard_bytes(self, shard: int) -> int:
        if not self.leaves[shard]:
            return 0
        growth = self._growth
        total = leaves_bytes(PREFIX_BITS - self.drops[shard])
        if growth is not None and growth.shard == shard:
            total += leaves_bytes(PREFIX_BITS - growth.drop) + leaves_bytes(PREFIX_BITS - self.drops[shard])
        return total
