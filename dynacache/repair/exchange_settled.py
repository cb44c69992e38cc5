"""Differences that a finished repair could not remove, so that nobody visits them again.

What: for one peer, leaves whose two digests differ for a known reason (a full node that has forgotten an eviction and
has no room to remember it; an evicted version newer than the other's copy), each with the XOR of both digests.

Invariant: ``under(node)`` is the XOR of the differences of all settled leaves below the node. What is settled never
involves a tombstone that one side lacks.

Why the XOR and not the two digests: a write that reaches both sides changes both digests by the same amount and leaves
their XOR as it was. The asker therefore sends, for any node of the tree, the digest that it expects of the other side,
its own XOR what is settled below; where the other side agrees, everything else below is equal, at any load, and even
the top needs no second look. A settled leaf costs ten bytes here and none on the wire.
"""

from array import array
from bisect import bisect_left

import attrs
from pyroaring import BitMap

from dynacache.repair.exchange_nodes import PREFIX_BITS, Forest

__all__ = ["SETTLED_LIMIT", "Settled"]

SETTLED_LIMIT = 1 << 20
"""Leaves settled toward one peer; one more stays a difference that every exchange looks at."""


@attrs.define(eq=False)
class _Tree:
    """The settled leaves of one partition, sorted."""

    level: int
    leaves: "array[int]" = attrs.field(factory=lambda: array("H"))
    differences: "array[int]" = attrs.field(factory=lambda: array("Q"))
    total: int = 0


@attrs.define(eq=False)
class Settled:
    """Settled leaves by partition. ``total`` is the XOR of all their differences."""

    forest: Forest
    count: int = 0
    total: int = 0
    _trees: dict[int, _Tree] = attrs.field(factory=dict)

    def under(self, node: int) -> int:
        """Return the XOR of what is settled below a node, 0 for nothing. The node ``fits``."""
        trees = self._trees
        if not trees:
            return 0
        if node == 1:
            return self.total
        forest = self.forest
        if forest.level(node) < 0:
            first, end = forest.partitions(node)
            total = 0
            for partition, tree in trees.items():
                if first <= partition < end:
                    total ^= tree.total
            return total
        partition, level, leaf = forest.locate(node)
        found = trees.get(partition)
        if found is None:
            return 0
        return _range_total(found, leaf << found.level - level, leaf + 1 << found.level - level)

    def fits(self, node: int, *, exactly: bool = False) -> bool:
        """Tell whether what is settled in a node's partition is of a level at which it can be told apart there
        (``exactly``: of the node's own)."""
        forest = self.forest
        if not self._trees or forest.level(node) < 0:
            return True
        tree = self._trees.get(forest.partition(node))
        return tree is None or (tree.level == forest.level(node) if exactly else tree.level >= forest.level(node))

    def level(self, partition: int) -> int | None:
        """Return the level at which leaves of a partition are settled, None if none is."""
        tree = self._trees.get(partition)
        return None if tree is None else tree.level

    def settle(self, node: int, difference: int) -> bool:
        """Record what a leaf's digests differ by, 0 for nothing any more; False if there is no room for another. The
        leaf ``fits`` exactly."""
        partition, level, leaf = self.forest.locate(node)
        assert level <= PREFIX_BITS
        tree = self._trees.get(partition)
        assert tree is None or tree.level == level
        if tree is None:
            if not difference:
                return True
            tree = self._trees[partition] = _Tree(level)
        place = bisect_left(tree.leaves, leaf)
        known = place < len(tree.leaves) and tree.leaves[place] == leaf
        if not known and difference and self.count >= SETTLED_LIMIT:
            return False
        before = tree.differences[place] if known else 0
        if known and difference:
            tree.differences[place] = difference
        elif known:
            del tree.leaves[place], tree.differences[place]
            self.count -= 1
        elif difference:
            tree.leaves.insert(place, leaf)
            tree.differences.insert(place, difference)
            self.count += 1
        tree.total ^= before ^ difference
        self.total ^= before ^ difference
        if not tree.leaves:
            del self._trees[partition]
        return True

    def forget(self, partition: int) -> list[int]:
        """Forget what is settled in a partition; return the leaves that were."""
        tree = self._trees.pop(partition, None)
        if tree is None:
            return []
        self.count -= len(tree.leaves)
        self.total ^= tree.total
        return [self.forest.node(partition, tree.level, leaf) for leaf in tree.leaves]

    def forget_all(self, partitions: BitMap) -> None:
        """Forget what is settled in some partitions."""
        if self._trees:
            for partition in partitions:
                self.forget(partition)


def _range_total(tree: _Tree, first: int, end: int) -> int:
    total = 0
    for place in range(bisect_left(tree.leaves, first), bisect_left(tree.leaves, end)):
        total ^= tree.differences[place]
    return total
