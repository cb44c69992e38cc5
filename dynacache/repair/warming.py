"""When a partition's memory is complete again, and whom to ask for it until then: a pure decision.

What: ``decide`` looks at one warming partition, at what has been merged from whom, and at what is known of the other
owners, and returns how it ended, or whom to ask next and whom to wait for.

Invariant: whatever was acknowledged under an earlier table, or before this node lost its memory, has been merged when a
partition ends, in one of three cases. In each of them the copies were taken behind a fence: the source held our member
table when its copy began, so a write that does not know us was in that copy or was refused.

``DISPLACED``   The one node that this one takes the place of was complete. Then this node is to the new owners what
                that one was to the old, and every quorum among the old is one among the new.
``QUORUM``      N-W+1 complete members of Read(p), or of Old(p). Every write was acknowledged by W of the N, so at
                least one of these has it. Read differs from the owners before by one node at most, this one. N is the
                replication factor: of a write from a time with more members one copy may be all that is left, so where
                fewer others are owners than N-W+1, all of them.
``EVERYONE``    Neither can come true any more, since too few owners are complete: then all that is left is what every
                other owner has, whatever its state, and the hints for us. This is outside of the fault model (more than
                W-1 copies were lost), so whoever ends a partition this way counts ``memory_lost`` and says so.

Why an owner that is away is waited for, in every case: it may be the one with the only other copy of an acknowledged
write, or of a delete. It ends to be waited for when the table says that it is an owner no longer. Why a stale copy is
waited for as long as someone is complete: it may hold what was deleted, and it will soon be compared with that one.
Why the last case waits until nobody makes progress: another owner that is being filled may be complete in a moment, and
then nothing was lost.

DESIGN section 6; brief R4.7, R4.13. Model-checked there: one source where two are due, the wrong source, or no fence
each let a quorum read miss an acknowledged write.
"""

import enum
from collections.abc import Callable

import attrs

from dynacache.placement.placement import Owners, Placement
from dynacache.repair.ring_rules import witnesses
from dynacache.types import NodeId

__all__ = ["Decision", "Ending", "OwnerSets", "Standing", "View", "decide", "owner_sets"]


class Ending(enum.Enum):
    """Why a partition is complete again; see above."""

    DISPLACED = "displaced"
    QUORUM = "quorum"
    EVERYONE = "everyone"


class Standing(enum.Enum):
    """What another owner last said of its copy of a partition."""

    UNHEARD = "unheard"
    COMPLETE = "complete"
    STALE = "stale"
    WARMING = "warming"


@attrs.frozen
class OwnerSets:
    """The owners of one partition by the three readings of the member table, each in order of their ids."""

    read: Owners
    old: Owners
    new: Owners
    copies: int = 3
    """The replication factor, by which quorums are counted even where fewer members are left."""
    displaced: NodeId | None = None
    """Whose place the deciding node takes, if it takes the place of exactly one."""

    def others(self, node_id: NodeId) -> Owners:
        """Return every owner but one."""
        everyone = dict.fromkeys((*self.read, *self.old, *self.new))
        return tuple(each for each in everyone if each != node_id)


@attrs.frozen
class View:
    """What a node knows of the others with regard to one partition."""

    standing: Callable[[NodeId], Standing]
    is_up: Callable[[NodeId], bool]
    merged: Callable[[NodeId], bool]
    """Whether all of its copy was merged here, whatever its state."""
    merged_complete: Callable[[NodeId], bool]
    """Whether all of its copy was merged here, and the copy was complete when that began."""
    hopeless: bool = False
    """Whether the other owners have made no progress for so long that none seems about to be complete."""


@attrs.frozen
class Decision:
    """What to do about one warming partition: end it, or ask and wait."""

    ending: Ending | None = None
    ask: Owners = ()
    """Whom to ask for their copy, in this order."""
    wait: Owners = ()
    """Whom else it depends on."""


def owner_sets(placement: Placement, partition: int, node_id: NodeId) -> OwnerSets:
    """Return the owner sets of a partition under a placement, as ``node_id`` sees them."""
    read, old, new = placement.owners(partition), placement.old(partition), placement.new(partition)
    displaced = placement.displaced(partition, node_id)
    copies = placement.factor_of(partition)
    return OwnerSets(tuple(sorted(read)), tuple(sorted(old)), tuple(sorted(new)), copies, displaced)


def decide(node_id: NodeId, partition: int, sets: OwnerSets, view: View) -> Decision:
    """Decide about a partition of ``node_id`` that is warming."""
    place = sets.displaced
    if place is not None:
        if view.merged_complete(place):
            return Decision(Ending.DISPLACED)
        if view.is_up(place) and view.standing(place) is Standing.COMPLETE:
            return Decision(ask=(place,))
        if view.is_up(place) and view.standing(place) is Standing.UNHEARD:
            return Decision(wait=(place,))
    best: Decision | None = None
    for owners in dict.fromkeys((sets.read, sets.old)):
        others = [each for each in owners if each != node_id]
        found = _by_quorum(partition, others, witnesses(sets.copies, len(others)), view)
        if found is not None and (best is None or found.ending or len(found.ask) > len(best.ask)):
            best = found
    if best is not None:
        return best
    if place is not None and view.standing(place) in (Standing.COMPLETE, Standing.UNHEARD):
        return Decision(wait=(place,))
    return _by_everyone(sets.others(node_id), view)


def _by_quorum(partition: int, others: list[NodeId], needed: int, view: View) -> Decision | None:
    """Decide by so many complete ones of ``others``; None when so many cannot be complete."""
    if not others:
        return None
    needed -= sum(view.merged_complete(each) for each in others)
    if needed <= 0:
        return Decision(Ending.QUORUM)
    left = [each for each in others if not view.merged_complete(each)]
    able = [each for each in left if view.standing(each) is Standing.COMPLETE]
    unheard = [each for each in left if view.standing(each) is Standing.UNHEARD]
    if len(able) + len(unheard) < needed:
        return None
    here = [each for each in able if view.is_up(each)]
    turn = partition % len(here) if here else 0
    ask = (*here[turn:], *here[:turn])[:needed]
    return Decision(ask=ask, wait=tuple(each for each in (*able, *unheard) if each not in ask))


def _by_everyone(others: Owners, view: View) -> Decision:
    """Decide by all that is left anywhere."""
    left = [each for each in others if not view.merged(each)]
    someone_complete = any(view.standing(each) is Standing.COMPLETE or view.merged_complete(each) for each in others)
    ask = []
    for each in left:
        standing = view.standing(each)
        refreshed_first = standing is Standing.STALE and someone_complete
        worth_asking = standing is Standing.COMPLETE or (view.hopeless and not refreshed_first)
        if view.is_up(each) and standing is not Standing.UNHEARD and worth_asking:
            ask.append(each)
    if not left and (view.hopeless or not others):
        return Decision(Ending.EVERYONE)
    if not left:
        return Decision(wait=others)
    return Decision(ask=tuple(ask), wait=tuple(each for each in left if each not in ask))
