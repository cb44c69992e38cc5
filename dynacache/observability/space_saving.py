"""The most frequent items of a stream, with a known error, in constant memory.

What: Space-Saving (Metwally, Agrawal, El Abbadi, 2005, "Efficient computation of frequent and top-k elements in data
streams"). At most ``capacity`` items have a counter. An item without one takes over the counter with the least count,
adds to it, and remembers as its *error* what it took over.

Invariants, after N in all: a counter is never below what its item really had, and above it by at most its error; no
error exceeds N / capacity; every item that really had more than N / capacity has a counter. Halving keeps all three,
with N halved as well.

Why a heap that lies: the least counter is found through a heap whose entries are as old as the counter's last move in
it. An entry whose count has grown meanwhile goes back in with the present one; the first that is still right is the
least of all. So counting an item that has a counter touches one dictionary, and the heap only when an item comes that
has none.
"""

from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

import attrs

__all__ = ["Counted", "SpaceSaving"]


ItemT = TypeVar("ItemT", bytes, str, int)


@attrs.frozen
class Counted(Generic[ItemT]):
    """One item: at least ``count - error``, at most ``count``."""

    item: ItemT
    count: int
    error: int


@attrs.define(eq=False)
class SpaceSaving(Generic[ItemT]):
    """The counters. ``total`` is N: all that was added and not halved away."""

    capacity: int
    total: int = attrs.field(init=False, default=0)
    _counts: dict[ItemT, int] = attrs.field(init=False, factory=dict)
    _errors: dict[ItemT, int] = attrs.field(init=False, factory=dict)
    _heap: list[tuple[int, ItemT]] = attrs.field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        assert self.capacity > 0, "a table of no counters counts nothing"

    def __len__(self) -> int:
        return len(self._counts)

    def __contains__(self, item: ItemT) -> bool:
        return item in self._counts

    def add(self, item: ItemT, weight: int = 1) -> ItemT | None:
        """Count an item; return the one that lost its counter to it, None if none did."""
        self.total += weight
        counts = self._counts
        count = counts.get(item)
        if count is not None:
            counts[item] = count + weight
            return None
        if len(counts) < self.capacity:
            counts[item] = weight
            heappush(self._heap, (weight, item))
            return None
        least, loser = self._pop_least()
        del counts[loser]
        self._errors.pop(loser, None)
        counts[item] = least + weight
        self._errors[item] = least
        heappush(self._heap, (least + weight, item))
        return loser

    def halve(self) -> None:
        """Let everything counted so far weigh half; items left with nothing go."""
        self.total >>= 1
        self._counts = {item: count >> 1 for item, count in self._counts.items() if count > 1}
        # Rounded up where the count is rounded down, the error still covers the difference.
        self._errors = {item: error + 1 >> 1 for item, error in self._errors.items() if item in self._counts}
        self._heap = [(count, item) for item, count in self._counts.items()]
        heapify(self._heap)

    def top(self, limit: int) -> list[Counted[ItemT]]:
        """Return up to ``limit`` items, the most frequent first, equal ones in their own order."""
        errors = self._errors
        ordered = sorted(self._counts.items(), key=_descending)
        return [Counted(item, count, errors.get(item, 0)) for item, count in ordered[:limit]]

    def _pop_least(self) -> tuple[int, ItemT]:
        heap, counts = self._heap, self._counts
        while True:
            recorded, item = heappop(heap)
            count = counts[item]
            if count == recorded:
                return count, item
            heappush(heap, (count, item))


def _descending(pair: tuple[ItemT, int]) -> tuple[int, ItemT]:
    return -pair[1], pair[0]
