"""Which versions lost more memories than the fault model of I1 allows.

What: ``MemoryLosses`` follows who holds a version, or one that superseded it, through the events of its key. A version
is *exceeded* at the moment when the W-th process that held it lost its memory without W stores having held it again in
between; ``exceeded_by`` returns the events of those losses. Where fewer than W owners are left, since the others have
lawfully gone, so many losses suffice as there are owners.

Invariant: a version that fewer than W processes lost since W stores held it is never exceeded, however many memories
the run lost. So the excuse is for single writes, never for a run.

A node whose clock had run ahead with nobody to contradict it removes what it wrote then, and with it what that had
superseded there: it counts as a process that lost that key (seed 904).

Why successors count: a process that holds what superseded a version has what was remembered of it.

A loss beyond the fault model is excused, and it has to be told: who fills its memory again cannot find enough complete
owners then, and notes ``memory.lost``. ``was_told`` looks for that note. It lets pass what no process can know of: a
copy that was lost with a hint, or by who was no owner by its own table when it died; and what was lost before the
founders, all of them down at once, founded a new cluster, in which nobody has heard of the old one (seed 50190).
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import attrs

from dynacache.versioning.actors import Dot

from ..evidence import Evidence, TableEvent
from ..history import StoreCause, StoreEvent
from ..ledger import Ledger, dots_of

__all__ = ["MemoryLosses", "founded_since", "was_told"]

_LOSSES = (StoreCause.LOST, StoreCause.CLEANSE)


@attrs.define(eq=False)
class MemoryLosses:
    """The losses of memory in one run, by key and version."""

    ledger: Ledger
    needed: Callable[[bytes], int]
    """W, of the replication factor of a key."""
    partitions: Mapping[bytes, int] = attrs.field(factory=dict)
    tables: dict[str, list[TableEvent]] = attrs.field(factory=dict)
    """Of each node, in order."""
    _events: dict[bytes, list[StoreEvent]] = attrs.field(factory=dict)
    """Of keys that were lost at all."""
    _steps: dict[bytes, list[tuple[StoreEvent, Collection[Dot], Collection[Dot]]]] = attrs.field(factory=dict)
    """The same with the dots before and after each, decoded once for all versions of a key."""
    _known: dict[tuple[bytes, Dot], tuple[StoreEvent, ...]] = attrs.field(factory=dict)

    @classmethod
    def of(
        cls,
        ledger: Ledger,
        events: Sequence[StoreEvent],
        needed: Callable[[bytes], int],
        tables: Sequence[TableEvent] = (),
        partitions: Mapping[bytes, int] | None = None,
    ) -> "MemoryLosses":
        """Prepare for a run's events; ``partitions`` are those of keys."""
        losses = cls(ledger, needed, partitions or {})
        for table in tables:
            losses.tables.setdefault(table.node_id, []).append(table)
        lost = {event.key for event in events if event.cause in _LOSSES}
        for event in events:
            if event.key in lost:
                losses._events.setdefault(event.key, []).append(event)
        return losses

    def exceeded_by(self, key: bytes, dot: Dot) -> tuple[StoreEvent, ...]:
        """Return the losses by which a version was lost beyond the fault model; empty if it was not."""
        if key not in self._events:
            return ()
        name = (key, dot)
        if name not in self._known:
            self._known[name] = self._follow(key, dot)
        return self._known[name]

    def _follow(self, key: bytes, dot: Dot) -> tuple[StoreEvent, ...]:
        covering = {dot, *self.ledger.successors(key, dot)}
        stores: set[str] = set()
        losses: dict[tuple[str, int], StoreEvent] = {}
        if key not in self._steps:
            self._steps[key] = [(event, dots_of(event.before), dots_of(event.after)) for event in self._events[key]]
        for event, before, after in self._steps[key]:
            held = not covering.isdisjoint(before)
            holds = not covering.isdisjoint(after)
            if held and event.cause in _LOSSES:
                losses.setdefault((event.node_id, event.incarnation), event)
                if len(losses) >= self._allowed(event, key):
                    return tuple(losses.values())
            if not event.place:
                (stores.add if holds else stores.discard)(event.node_id)
                if holds and len(stores) >= self.needed(key):
                    losses.clear()
        return ()

    def _allowed(self, loss: StoreEvent, key: bytes) -> int:
        """Return how many losses are too many, by the table of the process that lost its memory."""
        known = (table for table in reversed(self.tables.get(loss.node_id, ())) if table.sequence < loss.sequence)
        table = next(known, None)
        owners, needed = max(map(len, self._owners(table, key)), default=0), self.needed(key)
        return min(needed, owners) or needed

    def _owners(self, table: TableEvent | None, key: bytes) -> Sequence[tuple[str, ...]]:
        """Return the owners of the partition of a key; of all partitions where that is not known."""
        if table is None:
            return ()
        partition = self.partitions.get(key)
        return table.owners if partition is None else table.owners[partition : partition + 1]


def was_told(evidence: Evidence, key: bytes, losses: Sequence[StoreEvent]) -> bool:
    """Return whether some node said that the memory of a key's partition was lost, after the first of these losses; or
    nobody had to know, or nobody has had the time to find out."""
    partition = evidence.partitions.get(key)
    if partition is None or not evidence.converged or any(event.place for event in losses):
        return True
    if not all(_owned(evidence, event, partition) for event in losses) or founded_since(evidence, losses[-1].sequence):
        return True
    return any(
        name == "memory.lost"
        and at_s >= losses[0].at_s
        and (partition in fields["among_them"] or fields["partitions"] > len(fields["among_them"]))
        for at_s, _, name, fields in evidence.notes
    )


def founded_since(evidence: Evidence, sequence: int) -> bool:
    """Return whether a cluster was founded after a moment: only founders serve with a complete memory at once. Nobody
    in it knows of one that was before, and who spoke with that one is refused."""
    serving = (each for each in evidence.machines if each.kind == "serving" and each.sequence > sequence)
    return any(each.detail.get("complete") for each in serving)


def _owned(evidence: Evidence, event: StoreEvent, partition: int) -> bool:
    """Return whether a node was an owner by the last table that it used before an event."""
    used = [each for each in evidence.tables if each.node_id == event.node_id and each.sequence < event.sequence]
    return bool(used) and any(event.node_id in owners for owners in used[-1].owners[partition : partition + 1])
