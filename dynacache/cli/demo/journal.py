"""What each writer has done: the demo's own memory of every write, against which the cluster is judged.

What: a `Journal` belongs to one writer. Each write has a sequence number, a key, the instant at which it began and the
instant at which it was acknowledged: infinity while, or if never, it was answered (it may be applied at any time), not
a number if it was refused and so must never be applied. `stamp` puts key, writer and sequence into the value, so that a
value read later says which write it is.

Invariant: a write is in the journal before its first byte leaves; sequence numbers of a writer are never reused.

Why arrays of numbers: twenty bytes a write, so a run of an hour still fits.
"""

import math
from array import array

import attrs

__all__ = ["Journal", "Stamp", "Write", "read_stamp", "stamp"]


@attrs.frozen
class Stamp:
    """Which write a value comes from."""

    key: bytes
    writer: int
    sequence: int


@attrs.frozen
class Write:
    """One write as the verdict sees it."""

    writer: int
    sequence: int
    began_at: float
    ended_at: float

    @property
    def acknowledged(self) -> bool:
        """Whether the cluster said that it is done."""
        return math.isfinite(self.ended_at)

    @property
    def refused(self) -> bool:
        """Whether the cluster said that nothing was changed."""
        return math.isnan(self.ended_at)


@attrs.define(eq=False)
class Journal:
    """The writes of one writer, by sequence number."""

    writer: int
    key_positions: "array[int]" = attrs.field(factory=lambda: array("L"))
    began: "array[float]" = attrs.field(factory=lambda: array("d"))
    ended: "array[float]" = attrs.field(factory=lambda: array("d"))

    def begin(self, key_position: int, now: float) -> int:
        """Note a write that is about to be sent; return its sequence number."""
        self.key_positions.append(key_position)
        self.began.append(now)
        self.ended.append(math.inf)
        return len(self.began) - 1

    def acknowledge(self, sequence: int, now: float) -> None:
        """The write is done."""
        self.ended[sequence] = now

    def refuse(self, sequence: int) -> None:
        """The write was not applied, by the cluster's own word."""
        self.ended[sequence] = math.nan

    def write(self, sequence: int) -> Write:
        """One write."""
        return Write(self.writer, sequence, self.began[sequence], self.ended[sequence])


def stamp(key: bytes, writer: int, sequence: int, size: int) -> bytes:
    """A value of `size` bytes (or the few more that its stamp takes) which names the write it comes from."""
    head = b"%d %d %b\n" % (writer, sequence, key)
    return head + b"." * (size - len(head))


def read_stamp(value: object) -> Stamp | None:
    """Which write a value comes from; None for a value that no writer here made."""
    if not isinstance(value, bytes):
        return None
    head, newline, _ = value.partition(b"\n")
    fields = head.split(b" ", 2)
    if not newline or len(fields) < 3 or not (fields[0].isdigit() and fields[1].isdigit()):
        return None
    return Stamp(fields[2], int(fields[0]), int(fields[1]))
