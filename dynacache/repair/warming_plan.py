"""Which partitions are warming, who is asked for them, and how each ends.

What: ``WarmingPlan`` marks partitions as warming, decides about each by ``warming.decide`` whenever something that the
decision depends on has changed, hands the result to the sources, and ends partitions.

Invariant: a partition that is warming here is in ``store.warming``, and nothing else is; each is decided about again
after every change of its owners, of a source's state or link, and of what was merged. One that ends outside of the
fault model is counted and noted, and it ends only when the others have reported that they keep no hints for this node,
or have had ``hints_wait_s`` to deliver them. If that was from a stale copy, and there was no room for all of it, it
ends as stale: were it complete, that copy would discard on meeting it what is held nowhere else.

Why what was taken is taken again when a partition waits for very long: a delete that this node has missed may be
forgotten by all others in the end. So its complete owners are merged again in time, which costs a few bytes where
nothing differs; a partition for which that cannot be done becomes stale, as any copy out of touch for so long.
Why by groups: a node may own ten thousand partitions, but few are unlike each other: those with the same owners, of
whom the same is known, are decided about together. So one that was heard of or lost costs a millisecond, not a tenth of
a second.
"""

from collections.abc import Iterable

import attrs
from pyroaring import BitMap

from dynacache.config.transfer import TransferConfig
from dynacache.repair.ports import RepairPort
from dynacache.repair.transfer_source import Begun, Source
from dynacache.repair.transfer_store import Ended, TransferStore
from dynacache.repair.warming import Decision, Ending, OwnerSets, View, decide, owner_sets
from dynacache.types import NodeId

__all__ = ["WarmingPlan"]

_SLICE_COUNT = 100
"""Groups of partitions decided about in one step."""
_SHOWN_COUNT = 10
"""Partitions named in a note."""


@attrs.define(eq=False)
class WarmingPlan:
    """The warming partitions of one node."""

    port: RepairPort
    settings: TransferConfig
    store: TransferStore
    sources: dict[NodeId, Source]
    ended: Ended
    stale_after_ms: int
    endings: dict[Ending, int] = attrs.field(factory=lambda: dict.fromkeys(Ending, 0))
    """How many partitions ended in each way since the process began."""
    started_s: float = 0.0
    done: int = 0
    """Partitions ended since nothing was warming."""
    lost: int = 0
    """How many of them ended outside of the fault model."""
    _undecided: BitMap = attrs.field(factory=BitMap)
    _by_owners: dict[OwnerSets, BitMap] | None = None
    """The warming partitions by their owners; None when that must be worked out."""
    _synced_ms: dict[int, int] = attrs.field(factory=dict)
    """When each was in touch with a complete owner: when it began to be filled, or the last such copy was begun."""
    _sync_due_ms: int = 0
    _lacking: BitMap = attrs.field(factory=BitMap)
    """Those of which a stale copy had values for which there was no room here."""
    _since_ms: dict[int, int] = attrs.field(factory=dict)
    _ready_s: dict[int, float] = attrs.field(factory=dict)
    """Since when partitions wait for nothing but hints."""
    _untold: list[int] = attrs.field(factory=list)
    _progress_s: float = 0.0
    _hopeless: bool = False

    def add(self, partitions: Iterable[int]) -> None:
        """Mark partitions as warming and begin with them anew."""
        warming = self.store.warming
        if not warming:
            self.started_s = self.port.now_s
            self.done = self.lost = 0
        for partition in partitions:
            warming.add(partition)
            self._synced_ms.setdefault(partition, self.port.now_ms)
            self.forget(partition)
        self._sync_due_ms = self.port.now_ms
        self.owners_changed()
        self._made_progress()

    def remove(self, partition: int) -> None:
        """Take note that a partition is no longer this node's."""
        self.forget(partition)
        self._undecided.discard(partition)
        self._synced_ms.pop(partition, None)
        self.store.warming.discard(partition)

    def forget(self, partition: int) -> None:
        """Let nothing that was taken so far count for a partition: its owners changed, or its memory is in doubt."""
        for source in self.sources.values():
            source.forget(partition)
        self._lacking.discard(partition)
        self._since_ms.pop(partition, None)
        self._ready_s.pop(partition, None)
        self._undecided.add(partition)

    def owners_changed(self) -> None:
        """Take note of another table."""
        self._by_owners = None

    def linked(self, source: Source) -> None:
        """Take note that a source's link came up or went down, or that it fails too often or no more. One that is back
        may make others complete, or become so: what seemed hopeless is not until it has had the time for that."""
        concerned = source.owned & self.store.warming
        self._undecided |= concerned
        if concerned and source.is_usable:
            self._made_progress()

    def heard(self, changed: BitMap, completed: BitMap) -> None:
        """Take note that the state of a source's partitions changed; some of them are complete now."""
        self._undecided |= changed & self.store.warming
        if completed & self.store.warming:
            self._made_progress()

    def merged(self, source: Source, partition: int, begun: Begun) -> None:
        """Take note that all of a source's copy of a partition is merged."""
        source.todo.discard(partition)
        source.merged.add(partition)
        if begun.complete:
            source.complete.add(partition)
            self._synced_ms[partition] = max(begun.since_ms, self._synced_ms.get(partition, 0))
        if begun.lacking:
            self._lacking.add(partition)
        self._since_ms[partition] = min(begun.since_ms, self._since_ms.get(partition, begun.since_ms))
        self._undecided.add(partition)

    def step(self) -> None:
        """Decide about what is undecided, a slice of it at most, and end what may end by the clock."""
        self._look_at_the_clock()
        for sets, group in self._groups():
            self._undecided -= group
            self._decide(sets, group)
        if self._untold:
            lost, self._untold = self._untold, []
            self.port.note("memory.lost", "error", partitions=len(lost), among_them=lost[:_SHOWN_COUNT])

    @property
    def is_behind(self) -> bool:
        """Whether another step is due at once."""
        return bool(self._undecided)

    @property
    def waits_for_hints(self) -> bool:
        """Whether some partition waits for hints alone, so that everybody must be asked about them."""
        return bool(self._ready_s)

    def waiting_for(self) -> dict[NodeId, int]:
        """Return how many partitions cannot end before something is heard of a node."""
        return {node_id: len(source.waited) for node_id, source in self.sources.items() if source.waited}

    def _groups(self) -> list[tuple[OwnerSets, BitMap]]:
        """Return groups of undecided partitions that are alike, a slice of them."""
        undecided = self._undecided & self.store.warming
        if not undecided:
            self._undecided.clear()
            return []
        if self._by_owners is None:
            self._by_owners = {}
            for partition in self.store.warming:
                sets = owner_sets(self.port.placement, partition, self.port.node_id)
                self._by_owners.setdefault(sets, BitMap()).add(partition)
        found: list[tuple[OwnerSets, BitMap]] = []
        for sets, partitions in self._by_owners.items():
            group = partitions & undecided
            if group:
                found += [(sets, piece) for piece in self._alike(sets, group)]
                if len(found) >= _SLICE_COUNT:
                    break
        return found

    def _alike(self, sets: OwnerSets, group: BitMap) -> list[BitMap]:
        """Return the parts of a group of which the same is known."""
        pieces = [group]
        for node_id in sets.others(self.port.node_id):
            source = self.sources[node_id]
            for known in (source.merged, source.complete, source.warming, source.stale):
                if known:
                    pieces = [part for piece in pieces for part in (piece & known, piece - known) if part]
        return pieces

    def _decide(self, sets: OwnerSets, group: BitMap) -> None:
        sources, first = self.sources, group.min()
        view = View(
            standing=lambda each: sources[each].standing(first),
            is_up=lambda each: sources[each].is_usable,
            merged=lambda each: first in sources[each].merged,
            merged_complete=lambda each: first in sources[each].complete,
            hopeless=self._hopeless,
        )
        decision = decide(self.port.node_id, first, sets, view)
        self._assign(group, sets.others(self.port.node_id), decision)
        for partition in group:
            if decision.ending is not Ending.EVERYONE:
                self._ready_s.pop(partition, None)
            if decision.ending is not None and self._may_end(partition, decision.ending):
                self._end(partition, decision.ending)

    def _assign(self, group: BitMap, others: Iterable[NodeId], decision: Decision) -> None:
        for node_id in others:
            source = self.sources[node_id]
            if node_id in decision.ask:
                source.todo |= group
            else:
                source.todo -= group
            if node_id in decision.wait:
                source.waited |= group
            else:
                source.waited -= group

    def _may_end(self, partition: int, ending: Ending) -> bool:
        if ending is not Ending.EVERYONE:
            return True
        ready_s = self._ready_s.setdefault(partition, self.port.now_s)
        return ready_s <= self._hints_done_s() or self.port.now_s >= ready_s + self.settings.hints_wait_s

    def _hints_done_s(self) -> float:
        """Return the last moment at which everybody had said to have no hints for this node."""
        if any(not source.is_up or source.hints_left for source in self.sources.values()):
            return float("-inf")
        return min((source.heard_s for source in self.sources.values()), default=float("inf"))

    def _end(self, partition: int, ending: Ending) -> None:
        since_ms = self._since_ms.get(partition, self.port.now_ms)
        if ending is Ending.EVERYONE and partition in self._lacking:
            self.store.stale.add(partition)
        self.forget(partition)
        self._undecided.discard(partition)
        self._synced_ms.pop(partition, None)
        self.store.warming.discard(partition)
        self.endings[ending] += 1
        self.done += 1
        if ending is Ending.EVERYONE:
            self.lost += 1
            self._untold.append(partition)
        self.ended(partition, since_ms)

    def _look_at_the_clock(self) -> None:
        hopeless = self.port.now_s >= self._progress_s + self.settings.patience_s
        if hopeless and not self._hopeless:
            self._undecided |= self.store.warming
        self._hopeless = hopeless
        if self._ready_s:
            done_s, late_s = self._hints_done_s(), self.port.now_s - self.settings.hints_wait_s
            self._undecided.update(p for p, ready_s in self._ready_s.items() if ready_s <= done_s or ready_s <= late_s)

        if self._synced_ms and self.port.now_ms >= self._sync_due_ms:
            self._sync_due_ms = self.port.now_ms + self.stale_after_ms // 10
            self._keep_in_touch()

    def _keep_in_touch(self) -> None:
        now_ms = self.port.now_ms
        for partition, synced_ms in self._synced_ms.items():
            if now_ms - self._since_ms.get(partition, now_ms) > self.stale_after_ms // 2:
                self.forget(partition)
            if now_ms - synced_ms > self.stale_after_ms:
                self.store.stale.add(partition)

    def _made_progress(self) -> None:
        self._progress_s = self.port.now_s
        self._hopeless = False
