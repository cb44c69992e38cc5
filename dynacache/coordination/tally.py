"""The tally of one quorum: who must answer, who has, and whether it is won.

What: a tally counts answers of distinct machines for each owner set (during a ring change a write needs its quorum in
each of three sets). A fallback's answer counts in place of the one owner it stands in for, never beside it.

Invariant: a tally that is won stays won; one machine counts at most once, and so does one owner in each set.

Why a pure object: "W acknowledgements" is the promise everything else rests on, and a counter hidden in a handler is
where other systems got it wrong (Riak's put and get cores are the model; DESIGN section 9).
"""

from collections.abc import Iterable, Sequence

import attrs

from dynacache.types import Level, NodeId

__all__ = ["Tally", "required_answers"]


def required_answers(level: int, owner_count: int) -> int:
    """Return how many distinct answers a level needs among ``owner_count`` owners (1 to ``owner_count``)."""
    if level == Level.ONE:
        return 1
    if level == Level.ALL:
        return owner_count
    return owner_count // 2 + 1


@attrs.define(eq=False)
class Tally:
    """Answers counted per owner set.

    ``owner_sets``: the distinct sets of owners; ``required``: answers needed in each, in the same order. ``machines``:
    who has answered, each with the owner it counts for; ``covered``: those owners.
    """

    owner_sets: tuple[frozenset[NodeId], ...]
    required: tuple[int, ...]
    covered: set[NodeId] = attrs.field(factory=set)
    machines: dict[NodeId, NodeId] = attrs.field(factory=dict)

    @classmethod
    def at_level(cls, level: int, owner_sets: Sequence[Iterable[NodeId]]) -> "Tally":
        """Return an empty tally for a consistency level; equal owner sets count once."""
        distinct = tuple(dict.fromkeys(frozenset(owners) for owners in owner_sets))
        return cls(distinct, tuple(required_answers(level, len(owners)) for owners in distinct))

    def add(self, machine: NodeId, stands_for: NodeId) -> bool:
        """Count a machine's answer, for itself or the owner it stands in for; returns whether the tally is won.

        A machine counts once, and an owner counts once however many machines answered for it.
        """
        if machine not in self.machines:
            self.machines[machine] = stands_for
            self.covered.add(stands_for)
        return self.won()

    def won(self) -> bool:
        """Tell whether every owner set has its answers."""
        covered = self.covered
        for owners, needed in zip(self.owner_sets, self.required, strict=True):
            if len(owners & covered) < needed:
                return False
        return True
