"""The answerer's part: which of its entries the asker has not, which of the asker's it has not, records on request.

What: ``Listing`` sets the asker's tags of the leaves of one partition against our entries and gathers the answer;
``Budget`` bounds the records in one answer.

Invariant: the answer names every difference of a leaf or none of it: a leaf for which there is no more room is named as
cut short, and asked for again. Nothing changes here before the asker, who then knows both sides, says what to do.

Why the asker decides: it alone knows how the exchange goes on, what is to be settled, and whether it owns the partition
or only hands it over.
"""

from collections.abc import Sequence

import attrs
from pyroaring import BitMap

from dynacache.repair.differences import ENTRY_BYTES, Entry, pack_entries
from dynacache.repair.exchange_ground import ExchangeGround
from dynacache.repair.exchange_nodes import pack_numbers
from dynacache.repair.exchange_repair import LARGE_RECORD_BYTES
from dynacache.repair.exchange_store import Listed
from dynacache.repair.exchange_tags import tags_of, unmatched

__all__ = ["Budget", "Listing"]


@attrs.define(eq=False)
class Budget:
    """How many bytes an answer may still hold."""

    left_bytes: int
    is_first: bool = True
    is_closed: bool = False

    def admits(self, size_bytes: int) -> bool:
        """Take something in, or refuse it: the first one fits whatever its size, a large one only alone."""
        if self.is_closed:
            return False
        large = size_bytes > LARGE_RECORD_BYTES
        if not self.is_first and (large or size_bytes > self.left_bytes):
            return False
        self.is_first, self.is_closed = False, large
        self.left_bytes -= size_bytes
        return True


@attrs.define(eq=False)
class Listing:
    """The answer about some leaves of one partition."""

    ground: ExchangeGround
    partition: int
    level: int
    missing: list[int] = attrs.field(factory=list)
    """Positions of the asker's tags that we have not."""

    entries: list[Entry] = attrs.field(factory=list)
    keys: list[bytes | None] = attrs.field(factory=list)
    """Of each entry; nil for a ghost."""

    more: list[int] = attrs.field(factory=list)

    def fields(self) -> list[object]:
        """Return what travels."""
        return [self.partition, pack_numbers("I", self.missing), pack_entries(self.entries), self.keys]

    def compare(
        self, leaves: Sequence[int], counts: Sequence[int], tags: Sequence[int], multiplier: int, budget: Budget
    ) -> None:
        """Set the asker's tags, leaf by leaf, against our entries."""
        ground, partition, level = self.ground, self.partition, self.level
        ours = ground.engine.leaf_entries(partition, level, BitMap(leaves), ground.port.now_ms)
        ground.counters.entries_listed += len(ours)
        by_leaf: dict[int, list[Listed]] = {}
        for each in ours:
            by_leaf.setdefault(each[0], []).append(each)
        first = 0
        for leaf, count in zip(leaves, counts, strict=True):
            mine = by_leaf.get(leaf, [])
            extra, missing = unmatched(tags_of(mine, multiplier), tags[first : first + count])
            size_bytes = sum(ENTRY_BYTES + len(mine[place][6] or b"") for place in extra) + 4 * len(missing)
            if size_bytes and not budget.admits(size_bytes):
                self.more.append(ground.forest.node(partition, level, leaf))
            else:
                self.missing += [first + place for place in missing]
                self.entries += [Entry.of(mine[place]) for place in extra]
                self.keys += [mine[place][6] for place in extra]
            first += count
        if first != len(tags):
            raise ValueError(f"entries: got {len(tags)} tags, expected {first}")
