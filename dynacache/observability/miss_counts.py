"""Misses by reason and by key prefix, bounded in number.

What: every read that found nothing adds one to its reason, and one to its reason under the prefix of its key: what
stands before the first ``delimiter``, within its namespace. The ``PREFIXES_LIMIT`` prefixes that miss most have a row
of their own (Space-Saving decides which); what was counted for a prefix that lost its row stays counted under *other*.

Invariants: for each reason, the rows and *other* together are exactly the total. A row is exact from the moment on in
which its prefix got it; ``error`` bounds what was counted elsewhere before.

Why Space-Saving and not the first thousand prefixes: keys such as ``<user>:profile`` make a prefix each, and a table
that such keys have filled would never again show the prefix that began to miss today. Counting happens once a turn, in
one loop, since a cache misses often.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from dynacache.observability.space_saving import SpaceSaving
from dynacache.types import MissReason

__all__ = ["NO_PREFIX", "PREFIXES_LIMIT", "PREFIX_LIMIT_BYTES", "MissCounts", "PrefixMisses"]

PREFIXES_LIMIT = 1_024
"""Prefixes that have a row."""

PREFIX_LIMIT_BYTES = 64
"""A longer prefix is cut, and so shares its row with others that begin alike."""

NO_PREFIX = b""
"""The row of keys without a delimiter (and of those that begin with one)."""

_REASONS = max(MissReason) + 1


@attrs.frozen
class PrefixMisses:
    """One row. ``prefix`` is qualified by its namespace as keys are; ``by_reason`` is indexed by ``MissReason``."""

    prefix: bytes
    by_reason: tuple[int, ...]
    error: int
    """Misses at most that the prefix had before it got its row."""


@attrs.define(eq=False)
class MissCounts:
    """The counters of one node."""

    delimiter: bytes = b":"
    by_reason: list[int] = attrs.field(init=False, factory=lambda: [0] * _REASONS)
    other: list[int] = attrs.field(init=False, factory=lambda: [0] * _REASONS)
    """Of prefixes without a row."""
    _rows: dict[bytes, list[int]] = attrs.field(init=False, factory=dict)
    _frequent: SpaceSaving[bytes] = attrs.field(init=False, factory=lambda: SpaceSaving(PREFIXES_LIMIT))

    def count(self, misses: Iterable[Sequence[Any]]) -> None:
        """Count misses given as tuples that begin (key, when, level, reason)."""
        by_reason, rows, delimiter = self.by_reason, self._rows, self.delimiter
        for miss in misses:
            key, reason = miss[0], miss[3]
            by_reason[reason] += 1
            head = 0 if key[0] else 2 + key[1] if len(key) > 1 else 1
            end = key.find(delimiter, head)
            prefix = key[: min(end, head + PREFIX_LIMIT_BYTES)] if end >= 0 else key[:head]
            loser = self._frequent.add(prefix)
            if loser is not None:
                self._demote(loser)
            row = rows.get(prefix)
            if row is None:
                row = rows[prefix] = [0] * _REASONS
            row[reason] += 1

    def rows(self, limit: int) -> list[PrefixMisses]:
        """Return up to ``limit`` rows, those that miss most first."""
        return [PrefixMisses(each.item, tuple(self._rows[each.item]), each.error) for each in self._frequent.top(limit)]

    def _demote(self, prefix: bytes) -> None:
        for reason, count in enumerate(self._rows.pop(prefix)):
            self.other[reason] += count
