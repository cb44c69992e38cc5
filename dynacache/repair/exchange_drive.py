"""The three kinds of exchange: between complete owners, of a stale copy with others, of one who has lost a partition.

What: ``exchange`` compares and repairs all shared partitions that are complete on both sides, then catches up the stale
ones; ``hand_over`` brings what this node has of partitions that it no longer owns to one present owner.

Invariant: what a stale copy holds otherwise than a complete owner, and is older than ``STALE_SHARE`` of the grace
limit, it discards with its context before anything else is done about it; what is equal would be brought right back,
and a full store would decline to take it. It serves as complete only after it found itself equal to that owner, or
settled.
Two stale copies discard nothing and both end as complete when their digests meet, so that a cluster that was cut apart
or suspended as a whole loses nothing. A warming copy takes part in none of it.

Why the stale side must ask: only it knows that it has discarded; a complete owner never lets a stale copy's entries in
before that (brief R2.6; DESIGN section 8).
"""

from pyroaring import BitMap

from dynacache.repair.exchange_nodes import PREFIX_BITS
from dynacache.repair.exchange_repair import repair_leaves
from dynacache.repair.exchange_session import Session
from dynacache.repair.exchange_steps import Pause, Steps

__all__ = ["CATCH_UP_LIMIT", "HAND_OVER_LEAVES", "exchange", "hand_over", "hand_over_batch"]

CATCH_UP_LIMIT = 512
"""Stale partitions caught up in one exchange."""

HAND_OVER_LEAVES = 1 << PREFIX_BITS
"""Leaves of the partitions handed over in one exchange."""

_HAND_OVER_ROUNDS = 10


def exchange(session: Session) -> Steps[None]:
    """Run one exchange."""
    ground, view, result = session.ground, session.view, session.result
    now_s = ground.port.now_s
    if view.settled.count and now_s >= view.reopen_due_s and ground.engine.admits():
        view.reopen()
        view.reopen_due_s = now_s + ground.settings.walk_interval_s
    opened = yield from session.open()
    unfinished = BitMap()
    if not opened.unequal:
        result.is_equal = True
    else:
        frontier = session.frontier(opened.dirty)
        result.is_explained = result.was_walk
        if frontier:
            unfinished = yield from _mend(session, frontier)
    if not result.more:
        resolved = session.comparable - unfinished
        ground.sync.synced_all(resolved, session.started_ms)
        view.requested -= resolved
        ground.visited(resolved)
    yield from _catch_up(session)


def hand_over(session: Session, partitions: BitMap, done: BitMap) -> Steps[None]:
    """Push to one present owner what it lacks of partitions that we do not own; those finished join ``done``."""
    ground = session.ground
    frontier = [ground.forest.node(partition, 0, 0) for partition in partitions]
    nodes = yield from session.narrow(frontier, limit=2 * HAND_OVER_LEAVES)
    for _ in range(_HAND_OVER_ROUNDS):
        if not nodes:
            break
        later = yield from repair_leaves(session, nodes)
        nodes = sorted(later)
        if nodes:
            yield Pause(ground.settings.young_ms / 1000)
    left = BitMap([ground.forest.partition(node) for node in nodes])
    done |= partitions - left
    ground.counters.pushed_partitions += len(partitions - left)


def hand_over_batch(session: Session, partitions: BitMap) -> BitMap:
    """Return the first of some partitions whose trees together have a bounded number of leaves; at least one."""
    batch = BitMap()
    leaves = 0
    for partition in partitions:
        leaves += 1 << session.ground.engine.tree_level(partition)
        if batch and leaves > HAND_OVER_LEAVES:
            break
        batch.add(partition)
    return batch


def _mend(session: Session, frontier: list[int]) -> Steps[BitMap]:
    """Find what differs below ``frontier``, repair it, settle what remains; return the partitions not finished."""
    ground, view, result = session.ground, session.view, session.result
    forest, counters = ground.forest, ground.counters
    nodes = yield from session.narrow(frontier)
    if nodes:
        result.is_explained = True
        yield Pause(ground.settings.confirm_s)
        nodes = yield from session.narrow(nodes)
    if not nodes:
        return BitMap()
    counters.leaves_differing += len(nodes)
    later = yield from repair_leaves(session, nodes)
    left = yield from session.differing(nodes)
    unfinished = BitMap()
    for node, difference in left.items():
        if node not in later and view.settle(node, difference):
            counters.settled_leaves += 1
        else:
            counters.postponed_leaves += 1
            unfinished.add(forest.partition(node))
    return unfinished


def _catch_up(session: Session) -> Steps[None]:
    """Bring our stale copies up to date with the peer's, as far as that one's are not warming."""
    ground, view = session.ground, session.view
    engine, forest = ground.engine, ground.forest
    stale = (engine.stale & view.shared) - engine.warming - view.warming
    stale = BitMap(stale[:CATCH_UP_LIMIT])
    if not stale:
        return
    session.keep_from_ms = ground.port.now_ms - ground.sync.limit_ms
    session.outdated = stale - view.stale
    roots = [forest.node(partition, 0, 0) for partition in stale]
    session.result.more = False
    unfinished = yield from _mend(session, roots)
    if session.result.more:
        return
    # The peer, if it is stale too, learns here that both are equal now.
    yield from session.differing(roots)
    caught_up = (stale - unfinished) & engine.stale
    engine.stale -= caught_up
    for partition in caught_up:
        ground.sync.completed(partition, session.started_ms)
    if caught_up:
        ground.port.note("copy.caught_up", peer=view.node_id, partitions=len(caught_up))
