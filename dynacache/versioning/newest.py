"""Last write wins: of several concurrent versions the newest alone is kept.

What: ``keep_newest`` is what a store in a namespace of mode `last_write_wins` makes of a merged record.

Invariant: the newest is a maximum in one total order, (no fill, time, dot), and what is left out stays covered by the
context, so that it counts as superseded everywhere. Replicas therefore end with equal records in whatever order they
merged and reduced, also while some of them do not know the mode yet. Deletes compete by time like values. Counter cells
are left alone: they are sums of what each actor added, and none of them replaces another.

Why the flag: a version that wins may end before one it has beaten, and a replica that never met the winner would then
bring the loser back. MAY_BE_OUTLIVED makes the winner leave a tombstone when it ends, as it does for a version that a
write supersedes; of two forms of one version the kernel keeps the one with the flag.
"""

import attrs

from dynacache.versioning import kernel
from dynacache.versioning.actors import Dot
from dynacache.versioning.attachments import may_lack_a_tag
from dynacache.versioning.kernel import COUNTER, EXPIRED, FILL, MAY_BE_OUTLIVED, REGISTER, TAGGED, State, Version
from dynacache.versioning.layout import decode, encode

__all__ = ["keep_newest", "newest_of"]


def keep_newest(record: bytes) -> tuple[bytes, int]:
    """Return a record of several versions with one of them, and how many values that leaves out."""
    state = decode(record)
    reduced, lost = newest_of(state)
    return (record, 0) if reduced is state else (encode(reduced, record[0]), lost)


def newest_of(state: State) -> tuple[State, int]:
    """Return the state with its newest version and the counter cells, and how many values are left out; the same state
    if it holds no more than that."""
    rivals = {dot: version for dot, version in state.dots.items() if version.kind != COUNTER}
    if len(rivals) < 2:
        return state, 0
    winner = max(rivals, key=lambda dot: _order(dot, rivals[dot]))
    losers = {dot: version for dot, version in rivals.items() if dot != winner}
    kept = {dot: version for dot, version in state.dots.items() if version.kind == COUNTER}
    kept[winner] = _marked(rivals[winner], losers)
    return State(state.context, state.cloud, kept), sum(version.kind == REGISTER for version in losers.values())


def _order(dot: Dot, version: Version) -> tuple[bool, int, Dot]:
    return not version.flags & FILL, version.time, dot


def _marked(winner: Version, losers: dict[Dot, Version]) -> Version:
    """Return the winner, flagged where one that it has beaten may live longer, or lacks one of its tags."""
    end_ms = winner.created_ms if winner.flags & EXPIRED else winner.expire_ms
    if not kernel.outlives(losers, end_ms):
        tagged = winner.kind == REGISTER and winner.flags & TAGGED
        if not tagged or not may_lack_a_tag(winner.flags, winner.payload, losers.values()):
            return winner
    return attrs.evolve(winner, flags=winner.flags | MAY_BE_OUTLIVED)
