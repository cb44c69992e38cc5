"""What this node knows of one other owner: where their copies may differ.

What: ids (partition and prefix) that may differ from the peer's, as one bitmap; what is settled; what the peer said of
its copies; when to ask it next.

Invariant: an id leaves ``dirty`` only when the two sides' digests over it were found equal (but for what is settled)
and nothing under it changed here since the digest was made. So a lost message, a dead link or a peer that dies loses
no mark, and nothing is ever put back. A partition that begins to be shared, or whose copy at the peer was incomplete,
is dirty as a whole: a handful of runs in a roaring bitmap, not millions of numbers.

Why ``fresh``: between my digest and the peer's answer writes go on. What changed since the question is kept apart and
survives the clearing that the answer allows.
"""

import attrs
from pyroaring import BitMap

from dynacache.repair.exchange_nodes import PREFIX_BITS, Forest
from dynacache.repair.exchange_settled import Settled
from dynacache.types import NodeId

__all__ = ["PeerView"]


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

    requested: BitMap = attrs.field(factory=BitMap)
    """Partitions that someone asked to have repaired now."""

    due_s: float = 0.0
    walk_due_s: float = 0.0
    walk: bool = False
    """Whether the next exchange looks at everything."""

    unexplained: int = 0
    """Exchanges in a row whose tops differed for no reason that was found."""

    refusals: int = 0
    """Exchanges in a row in which records were refused and nothing was gained."""

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

    def is_clean(self, partition: int, prefix: int, level: int) -> bool:
        """Tell whether the leaf around a prefix has been equal on both sides since it last changed here."""
        if partition in self.warming or partition in self.stale:
            return False
        leaf = self.forest.node(partition, level, prefix >> PREFIX_BITS - level)
        return not self.dirty.range_cardinality(*self.forest.ids(leaf))


def _within(partitions: BitMap, first: int, end: int) -> BitMap:
    return partitions & BitMap(range(first, end))
