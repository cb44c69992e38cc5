"""Ghosts that one peer has us forget and another has us remember again.

What: ``Regrets`` knows the ghosts that were dropped lately because a peer had nothing in their place, and which of them
another peer that holds the version has had us remember anew. Those are dropped no more: the difference to the first
peer is then settled, as whatever no repair can make equal.

Invariant: a ghost is dropped and remembered again at most once while it is known here; at most ``REGRETS_LIMIT`` of
each kind are known, the oldest go first, and one that is unknown merely takes another turn.

Why: a ghost against nothing stands for a version that nobody may hold any more, so it goes (DESIGN section 8). But
where a full owner has no room even for ghosts, it has nothing in place of a version that a third one holds; between the
two, the second would remember and forget for ever, and repair would never fall silent.
"""

from collections.abc import Iterable, Sequence

import attrs

__all__ = ["REGRETS_LIMIT", "Regrets"]

REGRETS_LIMIT = 4_096
"""Ghosts known to be dropped, and ghosts known to be kept, some 120 bytes each."""


@attrs.define(eq=False)
class Regrets:
    """The ghosts of one node that it has dropped, and those that it keeps; by partition and fingerprint."""

    limit: int = REGRETS_LIMIT
    _dropped: dict[tuple[int, int], None] = attrs.field(factory=dict)
    _kept: dict[tuple[int, int], None] = attrs.field(factory=dict)

    def remembered(self, partition: int, fingerprints: Iterable[int]) -> None:
        """Take note that a peer that holds these versions has us remember them."""
        for fingerprint in fingerprints:
            if self._dropped.pop((partition, fingerprint), self) is None:
                _note(self._kept, (partition, fingerprint), self.limit)

    def to_drop(self, partition: int, fingerprints: Iterable[int]) -> Sequence[int]:
        """Return which of these ghosts may be dropped, and take note that they are."""
        dropped = [fingerprint for fingerprint in fingerprints if (partition, fingerprint) not in self._kept]
        for fingerprint in dropped:
            _note(self._dropped, (partition, fingerprint), self.limit)
        return dropped


def _note(known: dict[tuple[int, int], None], name: tuple[int, int], limit: int) -> None:
    known[name] = None
    if len(known) > limit:
        del known[next(iter(known))]
