"""The last reads that found nothing, and why: what ``explain`` tells of a key.

What: a bounded queue of tuples (key, when, level, reason, who answered what); the newest of a key is found by looking
from the end.

Invariant: at most ``MISSES_LIMIT`` are kept, the latest ones; noting one allocates a tuple and nothing else, since a
cache misses often. Those of the present turn stand in ``fresh`` until the node counts and settles them. Answers are in
the words of DESIGN section 9: found, deleted, absent, evicted, unknown, warming or stale copy, silent.

Why: "why did my read miss" is asked minutes later, when nothing but the memory of that read can answer it.
"""

from collections import deque
from itertools import chain
from typing import Any

import attrs

from dynacache.types import Level, MissReason, NodeId

__all__ = ["MISSES_LIMIT", "Miss", "MissMemory"]

MISSES_LIMIT = 2_048
"""Reads without a value that a node remembers."""

Miss = tuple[bytes, int, int, int, NodeId, "NodeId | dict[NodeId, str]"]
"""(key, hybrid milliseconds, level, reason, this node, the peer that had nothing either or answers by node)."""


@attrs.define(eq=False)
class MissMemory:
    """The latest misses of one node. The hot path appends to ``fresh`` itself."""

    fresh: list[Miss] = attrs.field(factory=list)
    latest: deque[Miss] = attrs.field(factory=lambda: deque(maxlen=MISSES_LIMIT))

    def settle(self) -> list[Miss]:
        """Take what is fresh among the latest; return it."""
        fresh, self.fresh = self.fresh, []
        self.latest.extend(fresh)
        return fresh

    def last(self, key: bytes) -> dict[str, Any] | None:
        """Return the latest miss of a key: time (ms), level, reason and who answered what; None if none is known."""
        for missed, at_ms, level, reason, own, answers in chain(reversed(self.fresh), reversed(self.latest)):
            if missed == key:
                told = answers if isinstance(answers, dict) else {own: "absent", answers: "absent"}
                return {
                    "at_ms": at_ms,
                    "level": Level(level).name.lower(),
                    "reason": MissReason(reason).name.lower(),
                    "answers": told,
                }
        return None
