"""What a puller knows of one source: what it said of its state, what was taken from it, what is to come.

What: ``Source`` holds, for one other owner, its last heard state, the partitions that are to be taken from it, those
that were, and the one that is under way; ``Asked`` is the single PULL that may be out to it.

Invariant: of one source at most one PULL is out and at most one partition begun. What a source said is forgotten when
it goes away, since it may come back without memory; what was taken from it stays taken.

Why it is left alone after an answer that took longer than others did: then one of the two nodes is busy, with clients
most likely, and a transfer can wait (as in LEDBAT, RFC 6817, where growing delay is the sign of someone else's load).
Why bitmaps by source and not objects by partition: a node has thousands of partitions and few peers.
"""

from collections.abc import Callable

import attrs
from pyroaring import BitMap

from dynacache.events import Message
from dynacache.repair.transfer_messages import PARTITIONS_PER_PULL, RECORD_COST_BYTES, Page
from dynacache.repair.transfer_rate import TokenBucket
from dynacache.repair.warming import Standing
from dynacache.types import NodeId

__all__ = ["Asked", "Begun", "Source"]

_LEAST_WINDOW = 8
_RECORDS_PER_PAGE = 64
"""Records that a page is made to hold: merging so many takes about a millisecond, however small they are."""
_FIRST_RECORD_BYTES = 128
_LEAST_PAGE_BYTES = 4_096
_PATIENCE_S = 0.02
"""Delay beyond the usual that is put down to chance."""
_YIELD = 2.0
"""Times that delay for which a source is then left alone."""
_YIELD_LONGEST_S = 1.0
_USUAL_GROWTH = 1.002
"""By how much the usual delay is held to grow from one page to the next, so that a lasting change is believed."""
_RETRY_FIRST_S = 0.1
_RETRY_LONGEST_S = 5.0
_FAILURES_TRUSTED = 3
"""Failures in a row after which a source is treated as away, though its link is up."""


@attrs.frozen
class Begun:
    """A partition of which a part was taken: where to go on, and what its source was when the copy began."""

    cursor: int
    complete: bool
    since_ms: int
    lacking: bool = False
    """Whether the source was stale and had values for which there was no room here."""


@attrs.define(eq=False)
class Source:
    """One other owner of partitions that are warming here."""

    node_id: NodeId
    bucket: TokenBucket
    owned: BitMap
    is_up: bool = False
    heard_s: float = float("-inf")
    warming: BitMap = attrs.field(factory=BitMap)
    stale: BitMap = attrs.field(factory=BitMap)
    hints_left: int = 0
    todo: BitMap = attrs.field(factory=BitMap)
    """To be taken from it."""
    waited: BitMap = attrs.field(factory=BitMap)
    """What cannot end before something is heard of it."""
    merged: BitMap = attrs.field(factory=BitMap)
    """Taken from it, whatever its state was."""
    complete: BitMap = attrs.field(factory=BitMap)
    """Taken from it while it was complete."""
    begun: dict[int, Begun] = attrs.field(factory=dict)
    asked: "Asked | None" = None
    failures: int = 0
    not_before_s: float = float("-inf")
    bytes_in: int = 0
    _window: int = PARTITIONS_PER_PULL
    _record_bytes: float = _FIRST_RECORD_BYTES
    _usual_s: float = float("inf")

    @property
    def is_heard(self) -> bool:
        """Whether it has said what state it is in since its link came up."""
        return self.heard_s != float("-inf")

    @property
    def is_usable(self) -> bool:
        """Whether it is worth planning with: linked, and not failing again and again."""
        return self.is_up and self.failures < _FAILURES_TRUSTED

    def standing(self, partition: int) -> Standing:
        """Return what it last said of its copy."""
        if not self.is_heard:
            return Standing.UNHEARD
        if partition in self.warming:
            return Standing.WARMING
        return Standing.STALE if partition in self.stale else Standing.COMPLETE

    def linked(self, up: bool) -> None:
        """Take note that its link came up or went down."""
        self.is_up = up
        self.heard_s = float("-inf")
        if up:
            self.failures = 0
            self.not_before_s = float("-inf")

    def heard(self, page: Page, now_s: float) -> tuple[BitMap, BitMap]:
        """Take its state; return the partitions that are complete or not otherwise than before, and those of them that
        are complete now."""
        before = self.warming | self.stale
        after = page.warming | page.stale
        changed = before ^ after if self.is_heard and self.is_usable else BitMap(self.owned)
        changed |= (self.warming ^ page.warming) & after
        self.warming, self.stale, self.hints_left = page.warming, page.stale, page.hints_left
        self.heard_s = now_s
        self.failures = 0
        return changed, changed - after

    def forget(self, partition: int) -> None:
        """Begin a partition anew: what was taken of it counts no more."""
        for each in (self.todo, self.waited, self.merged, self.complete):
            each.discard(partition)
        self.begun.pop(partition, None)
        if self.asked is not None:
            self.asked.counted.discard(partition)

    @property
    def taking(self) -> BitMap:
        """The partitions that nobody else need be asked for at present."""
        begun = self.todo & BitMap(self.begun)
        return begun if self.asked is None else begun | self.asked.counted

    def choose(self, busy: BitMap) -> list[int]:
        """Return the partitions for the next PULL, the one under way first; ``busy`` are those taken from others."""
        begun = [partition for partition in self.begun if partition in self.todo]
        free = self.todo - busy - BitMap(begun)
        return [*begun, *free[: self._window - len(begun)]]

    def page_bytes(self, most: int) -> int:
        """Return how large the next page may be, at most ``most``."""
        return min(most, max(_LEAST_PAGE_BYTES, int(self._record_bytes * _RECORDS_PER_PAGE)))

    def cost_bytes(self, page_bytes: int) -> int:
        """Return what a page of this size is likely to count for where a rate is kept."""
        return int(page_bytes * (1.0 + RECORD_COST_BYTES / self._record_bytes))

    def took(self, elapsed_s: float, now_s: float) -> None:
        """Take note of how long a page took; yield when it was longer than usual."""
        self._usual_s = min(elapsed_s, self._usual_s * _USUAL_GROWTH)
        late_s = elapsed_s - self._usual_s
        if late_s > _PATIENCE_S:
            self.not_before_s = now_s + min(_YIELD_LONGEST_S, _YIELD * late_s)

    def served(self, asked_count: int, page: Page) -> None:
        """Fit the next PULL to what this page had room for, and to how large its records were."""
        part_count, record_count = len(page.parts), page.record_count
        if record_count:
            self._record_bytes = page.size_bytes / record_count
        wanted = 2 * (part_count if part_count < asked_count else self._window)
        self._window = min(PARTITIONS_PER_PULL, max(_LEAST_WINDOW, wanted))

    def failed(self, now_s: float) -> None:
        """Leave it alone for a while, longer each time."""
        pause_s = min(_RETRY_LONGEST_S, _RETRY_FIRST_S * 2.0**self.failures)
        self.failures = min(self.failures + 1, 16)
        self.not_before_s = now_s + pause_s


@attrs.define(eq=False)
class Asked:
    """A PULL that is out; a ``ports.Waiter``. Only the first of answer and failure is handed on."""

    source: Source
    named: frozenset[int]
    counted: BitMap
    """Those named whose owners have not changed since."""
    reserved_bytes: int
    since_ms: int
    asked_s: float
    on_answer: Callable[["Asked", Message], None]
    on_failure: Callable[["Asked"], None]

    def answered(self, message: Message) -> None:
        """Hand the page on."""
        if self._end():
            self.on_answer(self, message)

    def failed(self) -> None:
        """Say that there will be no page."""
        if self._end():
            self.on_failure(self)

    def _end(self) -> bool:
        if self.source.asked is not self:
            return False
        self.source.asked = None
        return True
