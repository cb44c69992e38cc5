"""The model's member table: entries that merge, the owner sets that follow, and who owns a partition without a break.

What: five nodes and one partition. In order of nearness A, B, X, C, E; three owners. So A, B, C own it at first, X
takes C's place when it joins, and E stands ready. All functions are pure and cached, since a run has few tables.

Invariant: ``merge`` is a join: an entry of a later place wins; within a place what others wrote about the node (its
removal: condemned, being removed, removed) and what it wrote itself rise apart from each other, so that a table always
tells how far a member had come when it was removed.

Why not ``placement.table`` itself: ten thousand runs have millions of messages. ``tests/sim/ring`` compares the two.
"""

from functools import lru_cache
from typing import NamedTuple

from dynacache.placement.table import MemberState

__all__ = [
    "BEING_REMOVED",
    "CONDEMNED",
    "FULL",
    "GONE",
    "NODES",
    "TRANSITIONS",
    "Entry",
    "View",
    "enough_know",
    "first_view",
    "held_throughout",
    "majority",
    "merge",
    "new_owners",
    "old_owners",
    "overlap",
    "put",
    "quorum_key",
    "read_owners",
    "write_sets",
]

NODES = ("A", "B", "X", "C", "E")
"""Nearest first; X is outside at the start."""
_COPIES = 3

_S = MemberState
CONDEMNED, BEING_REMOVED, GONE = 1, 2, 3
"""How far a removal has come."""
_OLD = frozenset({_S.NORMAL, _S.LEAVING, _S.RETIRING, _S.REMOVING})
_READ = frozenset({_S.NORMAL, _S.SETTLING, _S.LEAVING})
_NEW = frozenset({_S.NORMAL, _S.JOINING, _S.SETTLING})
_HOLDING = _OLD | _READ | _NEW
FULL = _OLD | {_S.LEFT, _S.REMOVED}
"""States that a member can only reach through NORMAL, or by being removed."""
TRANSITIONS = frozenset({_S.JOINING, _S.SETTLING, _S.LEAVING, _S.RETIRING})


class Entry(NamedTuple):
    """One node's entry: ``place`` counts the places it has had; it takes a new one after it left or was removed."""

    place: int
    removal: int
    generation: int
    version: int
    written: MemberState
    """What the node itself wrote."""

    @property
    def state(self) -> MemberState:
        """What counts."""
        if self.removal == GONE:
            return _S.REMOVED
        return _S.REMOVING if self.removal == BEING_REMOVED else self.written


View = tuple[Entry, ...]
"""One entry for each of ``NODES``."""


def first_view() -> View:
    """Return the table at the start."""
    return tuple(Entry(1, 0, 1, 1, _S.OUTSIDE if name == "X" else _S.NORMAL) for name in NODES)


def put(view: View, name: str, entry: Entry) -> View:
    """Return the view with one entry merged into it."""
    return merge(view, tuple(entry if name == each else old for each, old in zip(NODES, view, strict=True)))


@lru_cache(maxsize=65_536)
def merge(one: View, other: View) -> View:
    """Return what both know."""
    return tuple(_joined(mine, theirs) for mine, theirs in zip(one, other, strict=True))


def _joined(one: Entry, other: Entry) -> Entry:
    if one.place != other.place:
        return max(one, other)
    version, written = max((one.version, one.written), (other.version, other.written))
    removal, generation = max(one.removal, other.removal), max(one.generation, other.generation)
    return Entry(one.place, removal, generation, version, written)


@lru_cache(maxsize=65_536)
def quorum_key(view: View) -> tuple[object, ...]:
    """Return what two nodes must agree on before one serves the other."""
    return tuple(
        (entry.written, entry.removal, entry.version if entry.removal else 0)
        if entry.state in _HOLDING or entry.removal == BEING_REMOVED
        else None
        for entry in view
    )


@lru_cache(maxsize=65_536)
def _owners(view: View, states: frozenset[MemberState]) -> frozenset[str]:
    return frozenset([name for name, entry in zip(NODES, view, strict=True) if entry.state in states][:_COPIES])


def old_owners(view: View) -> frozenset[str]:
    """Return Old."""
    return _owners(view, _OLD)


def read_owners(view: View) -> frozenset[str]:
    """Return Read."""
    return _owners(view, _READ)


def new_owners(view: View) -> frozenset[str]:
    """Return New."""
    return _owners(view, _NEW)


def write_sets(view: View) -> tuple[frozenset[str], ...]:
    """Return the three sets."""
    return old_owners(view), read_owners(view), new_owners(view)


def majority(owners: frozenset[str]) -> int:
    """Return W, and R."""
    return len(owners) // 2 + 1


def enough_know(known: set[str], owners: frozenset[str]) -> bool:
    """Tell whether the owners that know of a change leave too few others for a quorum."""
    return len(known & owners) >= len(owners) - len(owners) // 2


def overlap(owners: frozenset[str]) -> int:
    """Return N - W + 1 for N copies: so many owners meet every quorum there ever was. Where fewer than N are left, what
    was written while there were N may lie on a single one of them, so all of them are needed."""
    return min(_COPIES - _COPIES // 2, len(owners))


@lru_cache(maxsize=65_536)
def held_throughout(before: View, after: View, name: str) -> bool:
    """Tell whether a node was an owner all the way between two tables it knew, whatever came between them."""
    if name not in frozenset().union(*write_sets(before)) & frozenset().union(*write_sets(after)):
        return False
    if name not in old_owners(before):
        old, new = old_owners(after), new_owners(before)
        if old != new if name in old else (old_owners(before), new) != (old, new_owners(after)):
            return False  # its copy was made to take another's place than the one it takes now
    pairs = list(zip(before, after, strict=True))
    changed = sum(_ring_state(old) is not _ring_state(new) for old, new in pairs)
    hidden = [at for at, (old, new) in enumerate(pairs) if _may_have_been_full(old, new, alone=changed == 1)]
    if not hidden:
        return True
    hidden.append(NODES.index(name))
    most = tuple(Entry(1, 0, 1, 1, _S.NORMAL) if at in hidden else entry for at, entry in enumerate(after))
    return name in old_owners(most)


def _ring_state(entry: Entry) -> MemberState | None:
    return entry.state if entry.state in _HOLDING else None


def _may_have_been_full(before: Entry, after: Entry, *, alone: bool) -> bool:
    """Tell whether the node may have been a full member at some moment between, beyond what the two entries show.

    ``alone``: no other member's state differs, so the order of changes is known.
    """
    if before == after:
        return False
    if before.place != after.place:
        gone = before.state in (_S.LEFT, _S.REMOVED, _S.REMOVING)
        return not (gone and after.place == before.place + 1 and after.state not in FULL)
    if after.state not in FULL:
        return False
    same = before.state is after.state
    if after.removal >= BEING_REMOVED > before.removal:
        # Removed while SETTLING, it may have become NORMAL without our hearing of it.
        one_step = before.version == after.version and after.written is not _S.SETTLING
    else:
        # Whoever became NORMAL did so before we heard of it, maybe before another change that we know of.
        one_step = after.version - before.version <= 1 and before.state in FULL
    return not (one_step and (alone or same))
