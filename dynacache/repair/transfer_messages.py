"""PULL and PAGE, from and to the lists that travel.

What: a PULL names partitions, each with the cursor to go on from and the root of what the puller holds already; a PAGE
carries the state of the source, how many hints it keeps for the puller, and a part for the first few of the partitions,
as many as fit the limit in bytes. Partitions without a part are asked for again.

Invariant: a page is checked as a whole before anything of it is merged: every part belongs to a partition that was
asked for, every key to its part's partition, every record is well-formed. Malformed messages raise ``ValueError``.

Why many partitions in one message: most partitions of a small cluster are empty or equal, and a thousand of them must
not cost a thousand round trips. A cursor is the source's own number, 0 to begin; it names the source's snapshot too, so
that a source that was restarted recognises a cursor that is not its own.
"""

import enum
from collections.abc import Collection
from typing import Any

import attrs
from pyroaring import BitMap

from dynacache.config.transfer import PAGE_LIMIT_BYTES
from dynacache.events import Message
from dynacache.placement.checks import U64_MAX, WireValueError, integer, sequence, shown
from dynacache.placement.partitions import partition_of_key
from dynacache.placement.placement import Placement
from dynacache.repair.copy_state import unpack_state
from dynacache.versioning import packed
from dynacache.wire.messages import KEY_LIMIT_BYTES

__all__ = [
    "GHOST_BYTES",
    "PARTITIONS_PER_PULL",
    "RECORD_COST_BYTES",
    "Outcome",
    "Page",
    "Part",
    "Pull",
    "Wanted",
    "part_bytes",
    "read_page",
    "read_pull",
]

PARTITIONS_PER_PULL = 256
"""Partitions that one PULL may name."""

RECORD_COST_BYTES = 1_024
"""What a record counts for beside its size where a rate is kept: reading, checking and merging it takes as long as
copying so many bytes, and time is what clients lack."""

GHOST_BYTES = 28
"""Bytes of one ghost on the wire: fingerprint, hybrid time, version hash, expiry second."""


class Outcome(enum.IntEnum):
    """How a part ends. The numbers travel on the wire."""

    MORE = 0  # ask again with the cursor
    LAST = 1  # the whole partition was sent, or was equal to the puller's
    LOST = 2  # the cursor means nothing to this source: begin again
    BUSY = 3  # not now


@attrs.frozen
class Wanted:
    """One partition of a PULL."""

    partition: int
    cursor: int
    root: int


@attrs.frozen
class Pull:
    """A PULL as its source reads it."""

    wanted: list[Wanted]
    limit_bytes: int


@attrs.frozen
class Part:
    """One partition of a PAGE; ``records`` alternates keys and records."""

    partition: int
    outcome: Outcome
    cursor: int = 0
    records: list[Any] = attrs.field(factory=list)
    ghosts: bytes = b""
    forgot: bool = False
    """Whether the source has forgotten evictions here; said with the last part only."""

    def to_wire(self) -> list[object]:
        """Return the list that travels."""
        fields = [self.partition, int(self.outcome), self.cursor, self.records, self.ghosts]
        return [*fields, True] if self.forgot else fields


@attrs.frozen
class Page:
    """A PAGE as its puller reads it."""

    warming: BitMap
    stale: BitMap
    hints_left: int
    parts: list[Part]
    size_bytes: int

    @property
    def record_count(self) -> int:
        """How many records there are."""
        return sum(len(part.records) for part in self.parts) >> 1

    @property
    def cost_bytes(self) -> int:
        """What the page counts for where a rate is kept."""
        return self.size_bytes + RECORD_COST_BYTES * self.record_count


def part_bytes(part: Part) -> int:
    """Return the bytes of content in a part."""
    return sum(map(len, part.records)) + len(part.ghosts)


def read_pull(message: Message, placement: Placement) -> Pull:
    """Return what a PULL asks for; raises ``ValueError`` for a malformed one."""
    fields = sequence(message, "PULL", 6, 64)
    wanted = []
    for item in sequence(fields[4], "partitions", 0, PARTITIONS_PER_PULL):
        partition, cursor, root = sequence(item, "partition", 3, 3)
        if type(partition) is not int or not placement.has(partition):
            raise WireValueError(f"partition: got {shown(partition)}, expected one that there is")
        wanted.append(Wanted(partition, integer(cursor, "cursor", 0, U64_MAX), integer(root, "root", 0, U64_MAX)))
    return Pull(wanted, integer(fields[5], "limit_bytes", 1, PAGE_LIMIT_BYTES))


def read_page(message: Message, asked: Collection[int], placement: Placement) -> Page:
    """Return a PAGE that answers a pull of ``asked``; raises ``ValueError`` for a malformed one."""
    fields = sequence(message, "PAGE", 6, 64)
    warming, stale = unpack_state(fields[3], placement.numbers_end)
    hints_left = integer(fields[4], "hints", 0, U64_MAX)
    left = set(asked)
    parts = []
    for item in sequence(fields[5], "parts", 0, len(asked)):
        part = _part(item, placement.shift)
        if part.partition not in left:
            raise WireValueError(f"part: got partition {part.partition}, expected one that was asked for, once")
        left.discard(part.partition)
        parts.append(part)
    return Page(
        warming=warming,
        stale=stale,
        hints_left=hints_left,
        parts=parts,
        size_bytes=sum(map(part_bytes, parts)),
    )


def _part(item: object, shift: int) -> Part:
    fields = sequence(item, "part", 5, 64)
    partition, outcome, cursor, records, ghosts = fields[:5]
    forgot = len(fields) > 5 and fields[5] is True
    if type(records) is not list or len(records) & 1:
        raise WireValueError(f"records: got {shown(records)}, expected pairs of key and record")
    for place in range(0, len(records), 2):
        key = records[place]
        if type(key) is not bytes or not 0 < len(key) <= KEY_LIMIT_BYTES:
            raise WireValueError(f"key: got {shown(key)}, expected 1 to {KEY_LIMIT_BYTES} bytes")
        if partition_of_key(key, shift) != partition:
            raise WireValueError(f"key: got {shown(key)}, expected one of partition {shown(partition)}")
        if not packed.is_well_formed(records[place + 1]):
            raise WireValueError(f"record of {shown(key)}: malformed")
    if type(ghosts) is not bytes or len(ghosts) % GHOST_BYTES:
        raise WireValueError(f"ghosts: got {shown(ghosts)}, expected bytes in multiples of {GHOST_BYTES}")
    kind = Outcome(integer(outcome, "outcome", 0, len(Outcome) - 1))
    cursor = integer(cursor, "cursor", 0, U64_MAX)
    if (kind is Outcome.MORE) != (cursor > 0):
        raise WireValueError(f"cursor: got {cursor}, expected one above 0 exactly where more follows")
    return Part(integer(partition, "partition", 0, 1 << 32), kind, cursor, records, ghosts, forgot)
