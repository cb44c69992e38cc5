"""Which partitions a node gains by a new member table, so that its copy of them cannot count as complete.

What: ``gained(before, after, node_id)`` compares two placements that a node has known one after the other. It returns
the partitions of which the node is an owner now (in any of the sets Old, Read and New), unless it was one all the way.

Invariant: what is not returned was the node's without a break, and its copy was made for the place that it takes now.
Three things break that:

* It was no owner before.
* Tables were skipped. While a node is cut off, others may join and be removed again, so that it owned a partition
  before and after, but not between, when writes passed it by. Whoever may have been a full member meanwhile (it is one
  now, or its entry has moved by more than one step, or more than one member has moved) is imagined as one, beside those
  who leave or are removed: with more holders a node owns less, so what it owns even then, it owned throughout.
* It was only in New, filled from the node it was about to displace, and now takes another's place: its copy stands
  for that one in quorums, and for no other.

Partitions of a replication factor that came with the new table are judged as if the factor had been there before: it
was there for others, maybe. Beyond that, who was about to be an owner (only in New) has not been filled with them; and
who has begun without memory since the factor was born may have forgotten what a process before it acknowledged.

Each of these was found by the model (``sim.ring``): ignored, a quorum read missed an acknowledged write.
"""

import attrs
from pyroaring import BitMap

from dynacache.placement.placement import Placement, holders_of
from dynacache.placement.rendezvous import assign
from dynacache.placement.table import MemberEntry, MemberState, MemberTable
from dynacache.types import NodeId

__all__ = ["gained"]

_HOLDING = frozenset(
    {
        *(MemberState.JOINING, MemberState.SETTLING, MemberState.NORMAL),
        *(MemberState.LEAVING, MemberState.RETIRING, MemberState.REMOVING),
    }
)
_GONE = frozenset({MemberState.LEFT, MemberState.REMOVING, MemberState.REMOVED})
_NEVER_FULL = frozenset({MemberState.OUTSIDE, MemberState.JOINING, MemberState.SETTLING})
"""States that come before NORMAL in every place."""


def gained(before: Placement, after: Placement, node_id: NodeId, memory_ms: int = 0) -> BitMap:
    """Return the partitions that ``node_id`` owns under ``after`` and did not own without a break since ``before``.

    ``memory_ms`` is the hybrid millisecond in which this process began with an empty memory, 0 for one that has missed
    nothing.
    """
    owned = after.owned_by(node_id)
    unmet: list[int] = []
    born = dict(before.table.factors)
    fresh = [(factor, born_ms) for factor, born_ms in after.table.factors if born_ms < born.get(factor, born_ms + 1)]
    if fresh:
        new_ones = [factor for factor, _ in fresh if factor not in born]
        if new_ones:
            before = Placement.from_table(attrs.evolve(before.table, factors=after.table.factors))
        for factor, born_ms in fresh:
            numbers = range(factor * after.partition_count, (factor + 1) * after.partition_count)
            forgot = born_ms < memory_ms
            unmet += [p for p in numbers if forgot or (factor in new_ones and node_id not in before.old(p))]
    kept = (owned & before.owned_by(node_id)) - BitMap(unmet)
    hidden = _possibly_full(before.table, after.table)
    if hidden:
        kept &= _owned_at_least(after.table, hidden, node_id)
    if before.in_transition:
        kept -= BitMap(partition for partition in kept if _takes_another_place(before, after, partition, node_id))
    return owned - kept


def _takes_another_place(before: Placement, after: Placement, partition: int, node_id: NodeId) -> bool:
    """Tell whether a copy that was made for New has another place now."""
    old = before.old(partition)
    if node_id in old:
        return False
    new, old_now = frozenset(before.new(partition)), frozenset(after.old(partition))
    if node_id in old_now:
        return old_now != new
    return (frozenset(old), new) != (old_now, frozenset(after.new(partition)))


def _owned_at_least(table: MemberTable, imagined: frozenset[NodeId], node_id: NodeId) -> BitMap:
    """Return what a node owns in Old if these, and it itself, were full members beside those that are."""
    holders, count = holders_of(table, imagined | {node_id}), table.partition_count
    owned = BitMap()
    for number, factor in ((0, table.replication_factor), *((factor, factor) for factor, _ in table.factors)):
        owners_by_place = assign(holders, count, factor).owners
        owned.update(number * count + place for place, owners in enumerate(owners_by_place) if node_id in owners)
    return owned


def _possibly_full(before: MemberTable, after: MemberTable) -> frozenset[NodeId]:
    """Return whoever may have been a full member between two tables beyond what the two tell."""
    pairs = [(node_id, before.entries.get(node_id), entry) for node_id, entry in after.entries.items()]
    changed = sum(_ring_state(old) is not _ring_state(new) for _, old, new in pairs)
    return frozenset(node_id for node_id, old, new in pairs if _may_have_been_full(old, new, alone=changed == 1))


def _ring_state(entry: MemberEntry | None) -> MemberState | None:
    return entry.state if entry is not None and entry.state in _HOLDING else None


def _may_have_been_full(before: MemberEntry | None, after: MemberEntry, *, alone: bool) -> bool:
    """``alone``: no other member's state differs, so the order of changes is known."""
    if before is None:
        return after.state not in _NEVER_FULL
    if before == after:
        return False
    if before.place != after.place:
        is_next = before.state in _GONE and after.place == before.place + 1
        return not (is_next and after.state in _NEVER_FULL)
    if after.state in _NEVER_FULL:
        return False
    same = before.state is after.state
    if after.removal >= 2 > before.removal:
        # Removed while SETTLING, it may have become NORMAL without our hearing of it.
        one_step = before.version == after.version and after.written is not MemberState.SETTLING
    else:
        # Whoever became NORMAL did so before we heard of it, maybe before another change that we know of.
        one_step = after.version - before.version <= 1 and before.state not in _NEVER_FULL
    return not (one_step and (alone or same))
