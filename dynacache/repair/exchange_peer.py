"""What this node knows of one other owner: where their copies may differ.

What: ids (partition and prefix) that may differ from the peer's, as one bitmap; what is settled; what the peer said of
its copies; when to ask it next.

Invariant: an id leaves ``dirty`` only when the two sides' digests over it were found equal (but for what is settled)
and nothing under it changed here since the digest was made; what is settled no longer becomes dirty. So a lost message,
a dead link or a peer that dies loses no mark, and nothing is ever put back. A partition that begins to be shared, or
whose copy at the peer was incomplete, is dirty as a whole: a handful of runs in a roaring bitmap, not millions of
numbers.

Why ``fresh``: between my digest and the peer's answer writes go on. What changed since the question is kept apart and
survives the clearing that the answer allows.
"""

import attrs
from pyroaring import BitMap

from dynacache.repair.exchange_nodes import PREFIX_BITS, Forest
from dynacache.repair.exchange_settled import Settled
from dynacache.types import NodeId

__all__ = ["DOUBTED_LIMIT", "PeerView"]

DOUBTED_LIMIT = 1 << 16
"""Leaves toward one peer that wait for a second repair before they are settled; beyond, the wait begins anew."""


@attrs.define(eq=False)
class PeerView:
    """One peer. ``shared`` are the partitions that writes of both sides go to."""

    node_id: NodeId
    forest: Forest
    shared: BitMap = attrs.field(factory=BitMap)
    settled: Settled = attrs.field(init=False)
    dirty: BitMap = attrs.field(factory=BitMap)
    fresh: BitMap = attrs.field(factory=BitMap)
    """Ids changed here since the question that is under way was asked."""

    warming: BitMap = attrs.field(factory=BitMap)
    stale: BitMap = attrs.field(factory=BitMap)
    """The peer's copies among ``shared``, as it said last."""

    doubted: dict[int, int] = attrs.field(factory=dict)
    """Leaves that a repair left different, and by what; they are settled when the next repair leaves the same."""

    requested: BitMap = attrs.field(factory=BitMap)
    """Partitions that someone asked to have repaired now."""

    due_s: float = 0.0
    walk_due_s: float = 0.0
    reopen_due_s: float = 0.0
    """From when on settled differences are looked at again, if there is room."""

    walk: bool = False
    """Whether the next exchange looks at everything."""

    unexplained: int = 0
    """Exchanges in a row whose tops differed for no reason that was found."""

    refusals: int = 0
    """Exchanges in a row in which more records were refused than taken."""

    finished_ms: int = 0
    """When an exchange with it last ended well; 0 never."""

    _mask: BitMap = attrs.field(factory=BitMap)

    def __attrs_post_init__(self) -> None:
        """Begin with nothing settled."""
        self.settled = Settled(self.forest)

    def share(self, shared: BitMap) -> None:
        """Take note of the partitions that both own now."""
        gained, lost = shared - self.shared, self.shared - shared
        self.shared = shared
        self._mask = self.forest.mask(shared)
        self.dirty &= self._mask
        self.fresh &= self._mask
        self.requested &= shared
        self.distrust(gained)
        self.settled.forget_all(lost)
        self.warming &= shared
        self.stale &= shared

    def distrust(self, partitions: BitMap) -> None:
        """Treat partitions as never compared."""
        for partition in partitions:
            self.dirty.add_range(partition << PREFIX_BITS, partition + 1 << PREFIX_BITS)
        self.fresh |= self.forest.mask(partitions)
        self.settled.forget_all(partitions)

    def note_changed(self, changed: BitMap) -> None:
        """Take note of ids that changed here, of whatever partition."""
        concerned = changed & self._mask
        if concerned:
            self.dirty |= concerned
            self.fresh |= concerned

    def note_state(self, warming: BitMap, stale: BitMap) -> None:
        """Take note of what the peer says of its copies; what was incomplete and is not any more is compared anew."""
        warming, stale = warming & self.shared, stale & self.shared
        if warming == self.warming and stale == self.stale:
            return
        before, after = self.warming | self.stale, warming | stale
        self.warming, self.stale = warming, stale
        self.distrust(before ^ after)

    def clear(self, nodes: list[int], comparable: BitMap, *, asked: bool) -> None:
        """Take ids below nodes that were found equal out of ``dirty``, but of ``comparable`` partitions only.

        ``asked`` says that our digest was made when the question was asked; else it was made just now.
        """
        if not self.dirty:
            return
        forest, dirty = self.forest, self.dirty
        kept = self.fresh & dirty if asked else None
        for node in nodes:
            if forest.level(node) >= 0:
                dirty.remove_range(*forest.ids(node))
            elif node == 1 and comparable == self.shared:
                dirty.clear()
            else:
                for partition in _within(comparable, *forest.partitions(node)):
                    dirty.remove_range(partition << PREFIX_BITS, partition + 1 << PREFIX_BITS)
        if kept:
            self.dirty |= kept

    def expected(self, node: int, digest: int) -> int:
        """Return the digest that the peer must have if ours is ``digest`` and nothing differs but what is settled."""
        if not self.settled.fits(node):
            self._reopen(self.forest.partition(node))
        return digest ^ self.settled.under(node)

    def settle(self, leaf: int, difference: int) -> bool:
        """Settle a leaf if its digests have differed by as much at the end of the last repair too; False if not yet.

        Once is not enough: what goes by its expiry within two seconds is in digests and in no list. What was settled at
        another level of the tree is open again.
        """
        if difference and self.doubted.pop(leaf, 0) != difference:
            if len(self.doubted) >= DOUBTED_LIMIT:
                self.doubted.clear()
            self.doubted[leaf] = difference
            return False
        if not self.settled.fits(leaf, exactly=True):
            self._reopen(self.forest.partition(leaf))
        return self.settled.settle(leaf, difference)

    def reopen(self) -> None:
        """Treat everything as never settled: there is room again for what had none."""
        for partition in self.shared:
            self._reopen(partition)

    def _reopen(self, partition: int) -> None:
        for leaf in self.settled.forget(partition):
            self.dirty.add_range(*self.forest.ids(leaf))
            self.fresh.add_range(*self.forest.ids(leaf))

    def is_clean(self, partition: int, prefix: int, level: int) -> bool:
        """Tell whether the leaf around a prefix has been equal on both sides since it last changed here."""
        if partition in self.warming or partition in self.stale:
            return False
        leaf = self.forest.node(partition, level, prefix >> PREFIX_BITS - level)
        return not self.dirty.range_cardinality(*self.forest.ids(leaf))


def _within(partitions: BitMap, first: int, end: int) -> BitMap:
    return partitions & BitMap(range(first, end))
