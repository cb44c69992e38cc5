"""One tree over the whole key space, its nodes numbered as in a heap.

What: node 1 stands for everything, the children of ``n`` are ``2n`` and ``2n + 1``. At depth log2(Q) the nodes are the
partitions; below a partition they are its tree at rising levels, down to the 14 bits of a prefix that mark an entry's
place. A digest of any node is the XOR of the digests below it, so partitions fold into groups as leaves fold into
coarser leaves, and one question, "is this your digest of node n", serves every step of an exchange.

Invariant: a node fits 32 bits for the most partitions there can be (2**16 of one replication factor, or 2**13 of each
where there are several). What marks a change is an *id*, partition
and prefix in one number; the ids below a node are one range, so a bitmap of changes is cut and counted by ranges.

Why: Merkle exchanges elsewhere have one message for roots, one for branches, one for leaves (brief R8.4); with heap
numbers they are one message, and two trees of different levels have the same number for the same range of keys.
"""

import sys
from array import array
from collections.abc import Callable, Iterable, Iterator

import attrs
from pyroaring import BitMap

from dynacache.placement.partitions import HASH_BITS, factor_in, key_hash, numbers_limit
from dynacache.placement.placement import Placement

__all__ = ["PREFIX_BITS", "TOP", "WALK_LEVELS", "Forest", "pack_numbers", "unpack_numbers"]

PREFIX_BITS = 14
"""Bits of a key's hash, below those of its partition, that place it in its partition's tree."""

TOP = 1
"""The node above all partitions."""

WALK_LEVELS = 4
"""Levels that one step of a walk descends: sixteen digests for a node that differs."""

_SWAPPED = sys.byteorder == "little"


def pack_numbers(kind: str, numbers: Iterable[int]) -> bytes:
    """Return numbers as big-endian bytes; ``kind`` is a type code of ``array``: H, I or Q."""
    packed = array(kind, numbers)
    if _SWAPPED:
        packed.byteswap()
    return packed.tobytes()


def unpack_numbers(kind: str, packed: object, limit_count: int) -> "array[int]":
    """Return the numbers that ``pack_numbers`` packed; raises ValueError for anything else or more than the limit."""
    if type(packed) is not bytes:
        raise ValueError(f"packed numbers: got {packed!r:.80}, expected bytes")
    numbers = array(kind)
    if len(packed) > limit_count * numbers.itemsize:
        raise ValueError(f"packed numbers: got {len(packed)} bytes, expected at most {limit_count * numbers.itemsize}")
    numbers.frombytes(packed)
    if _SWAPPED:
        numbers.byteswap()
    return numbers


@attrs.frozen
class Forest:
    """The numbering of so many partitions, a power of two. ``key_partition_count`` is how many a key's hash tells
    apart, where there are more for other replication factors; 0 for all."""

    partition_count: int
    key_partition_count: int = 0
    partition_depth: int = attrs.field(init=False)
    id_base: int = attrs.field(init=False)
    """What a node at the level of single prefixes has above its id."""

    _key_shift: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Derive the depths."""
        object.__setattr__(self, "partition_depth", self.partition_count.bit_length() - 1)
        object.__setattr__(self, "id_base", self.partition_count << PREFIX_BITS)
        depth = (self.key_partition_count or self.partition_count).bit_length() - 1
        object.__setattr__(self, "_key_shift", HASH_BITS - PREFIX_BITS - depth)

    @classmethod
    def of(cls, placement: Placement) -> "Forest":
        """Return the numbering of all partitions of a placement."""
        count = placement.partition_count
        if len(placement.partitions) == 1:
            return cls(count)
        return cls(1 << (numbers_limit(count) - 1).bit_length(), count)

    def node(self, partition: int, level: int, leaf: int) -> int:
        """Return the node of a leaf of a partition's tree of ``level``."""
        return (self.partition_count | partition) << level | leaf

    def is_node(self, node: int) -> bool:
        """Tell whether a number from elsewhere is a node."""
        return 0 < node < 2 * self.id_base

    def level(self, node: int) -> int:
        """Return the level of a node in its partition's tree; below 0 for a group of partitions."""
        return node.bit_length() - 1 - self.partition_depth

    def locate(self, node: int) -> tuple[int, int, int]:
        """Return (partition, level, leaf) of a node at or below a partition."""
        level = node.bit_length() - 1 - self.partition_depth
        return (node >> level) - self.partition_count, level, node & ((1 << level) - 1)

    def partition(self, node: int) -> int:
        """Return the partition of a node at or below one."""
        return (node >> self.level(node)) - self.partition_count

    def ids(self, node: int) -> tuple[int, int]:
        """Return the first id below a node and the one after the last."""
        width = self.partition_depth + PREFIX_BITS + 1 - node.bit_length()
        return (node << width) - self.id_base, (node + 1 << width) - self.id_base

    def partitions(self, node: int) -> tuple[int, int]:
        """Return the first partition of a group and the one after the last."""
        width = self.partition_depth + 1 - node.bit_length()
        return (node << width) - self.partition_count, (node + 1 << width) - self.partition_count

    def id_of(self, key: bytes) -> int:
        """Return the id of a qualified key."""
        return (key_hash(key) >> self._key_shift) + (factor_in(key) << HASH_BITS - self._key_shift)

    def leaf_of_id(self, id_: int, level: int) -> int:
        """Return the node at ``level`` that an id is below."""
        return id_ + self.id_base >> PREFIX_BITS - level

    def fold(self, node: int, level: int) -> int:
        """Return the node itself, or the one above it that stands at ``level``."""
        return node >> max(0, self.level(node) - level)

    def mask(self, partitions: BitMap) -> BitMap:
        """Return all ids of some partitions, as a handful of runs."""
        ids = BitMap()
        for partition in partitions:
            ids.add_range(partition << PREFIX_BITS, partition + 1 << PREFIX_BITS)
        return ids

    def leaves(self, ids: BitMap, partitions: BitMap, level_of: Callable[[int], int]) -> Iterator[int]:
        """Yield, in order and each once, the leaves in which ``ids`` lie, of ``partitions`` only."""
        for partition in partitions:
            id_, end = partition << PREFIX_BITS, partition + 1 << PREFIX_BITS
            if not ids.range_cardinality(id_, end):
                continue
            shift = PREFIX_BITS - level_of(partition)
            while id_ < end:
                try:
                    id_ = ids.next_set_bit(id_)
                except ValueError:
                    return
                if id_ >= end:
                    break
                leaf = id_ + self.id_base >> shift
                yield leaf
                id_ = (leaf + 1 << shift) - self.id_base
