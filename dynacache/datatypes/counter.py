"""The counter: increments at any replica, none of which is ever lost to another.

What: each actor that increments keeps one cell with its cumulative sum, replaced by its next increment; the value is
the sum of the visible cells, on top of the winning register if that is a number (an INCR over a SET). A set or a delete
supersedes the cells its coordinator saw, so an increment concurrent with either survives.

Invariants: a coordinator reports what its replica knows after its own increment. Sums of floats do not depend on order
(``math.fsum``). The value stays within 64 signed bits: an increment that would leave them is refused, and a sum that
leaves them by merging is clamped on reading.

Known limit: a cell is cumulative, so an increment concurrent with a delete brings back what its actor had added before.
The cells of a key live and expire together, at the latest expiry among them; an increment without expiry keeps the one
that the key has. It keeps the tags too. A cell that an invalidation has ended is not gone on from: its actor's next
cell starts at zero. After riak_dt's embedded counter and Almeida et al.; brief section 7.
"""

import math
import sys
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import reduce

import attrs
import msgpack

from dynacache.datatypes.contract import Cell
from dynacache.datatypes.register import number_of
from dynacache.errors import InvalidRequest, WrongType
from dynacache.versioning import kernel
from dynacache.versioning.actors import Actor, ActorIssuer, Dot
from dynacache.versioning.attachments import TAGS_LIMIT, join_tags, may_lack_a_tag, tags_of, value_start
from dynacache.versioning.kernel import (
    BLIND,
    COUNTER,
    EMPTY,
    EXPIRED,
    FILL,
    MAY_BE_OUTLIVED,
    REGISTER,
    TAGGED,
    TOMBSTONE,
    Resolution,
    State,
    Version,
)
from dynacache.versioning.layout import decode
from dynacache.versioning.packed import mint, split

__all__ = ["INTEGER_MAXIMUM", "INTEGER_MINIMUM", "Counter", "Number", "increment", "total"]

INTEGER_MAXIMUM = 2**63 - 1
"""The largest integer a counter holds."""

INTEGER_MINIMUM = -(2**63)
"""The smallest integer a counter holds."""

_unpack = msgpack.unpackb
_pack = msgpack.Packer(autoreset=True).pack

Number = int | float
"""What a counter counts in."""


@attrs.frozen
class Counter:
    """The counter type."""

    kind: int = COUNTER

    def payload(self, base: Cell | None, cells: Sequence[Cell]) -> bytes:
        """Return the msgpack of the cells' sum, plus the base register if that is a number."""
        numbers = [_number(version) for _, version in cells]
        below = None if base is None else number_of(base[1].flags, base[1].payload)
        packed: bytes = _pack(total(numbers if below is None else [below, *numbers]))
        return packed


def total(numbers: Iterable[Number]) -> Number:
    """Return the sum, whatever the order: an int clamped to 64 signed bits, or a finite float if any of them is one."""
    listed = list(numbers)
    if all(isinstance(number, int) for number in listed):
        return int(min(max(sum(listed), INTEGER_MINIMUM), INTEGER_MAXIMUM))
    try:
        return math.fsum(listed)
    except OverflowError:
        return _exact_total(listed)


def increment(
    old: bytes | None,
    issuer: ActorIssuer,
    delta: int | float,
    time: int,
    expire_ms: int,
    now_ms: int,
    history_unknown: bool = False,
) -> tuple[bytes, bytes, int | float]:
    """Add ``delta`` and return (record to keep, record to send, value after it).

    ``expire_ms`` 0 keeps the expiry that the key has. Raises InvalidRequest if ``delta`` is not an int or a finite
    float or the result leaves 64 signed bits, WrongType if the visible value is not a number; then nothing changed.
    """
    _check_delta(delta)
    state = EMPTY if old is None else decode(old)
    seen = kernel.resolve(state.dots, now_ms)
    below = _base_number(state, seen)
    if expire_ms == 0:
        expire_ms = _held_expiry(state, seen)
    dot = mint(old, state, None, issuer)
    cell_sum = _bounded(_own_sum(state, seen, dot[0]) + delta)
    others = [_number(state.dots[cell]) for cell in seen.cells if cell[0] != dot[0]]
    value = _bounded_total([*([] if below is None else [below]), *others, cell_sum])
    flags = MAY_BE_OUTLIVED if expire_ms and (history_unknown or kernel.outlives(state.dots, expire_ms)) else 0
    tags = _seen_tags(state, seen)
    if tags:
        flags |= TAGGED | (
            MAY_BE_OUTLIVED if history_unknown or may_lack_a_tag(TAGGED, tags, state.dots.values()) else 0
        )
    created_ms = now_ms if seen.winner is None else state.dots[seen.winner].created_ms
    cell = Version(COUNTER, flags, time, expire_ms, created_ms, tags + _pack(cell_sum))
    return *split(_with_cell(kernel.expire(state, now_ms), dot, cell)), value


def _number(cell: Version) -> Number:
    number: Number = _unpack(cell.payload[value_start(cell.flags, cell.payload, 0) :])
    return number


def _seen_tags(state: State, seen: Resolution) -> bytes:
    """Return the tags of the number that is visible, packed; empty for none. A cell takes them over, so that it ends
    with the number it adds to."""
    parts = [*([] if seen.base is None else [seen.base]), *seen.cells]
    tags = {tag for part in parts for tag in tags_of(state.dots[part].flags, state.dots[part].payload)}
    return join_tags(sorted(tags)[:TAGS_LIMIT]) if tags else b""


def _exact_total(numbers: list[Number]) -> float:
    """Return a sum on whose way floats overflow, clamped to the largest float."""
    exact = sum(map(Fraction, numbers), Fraction())
    try:
        return float(exact)
    except OverflowError:
        return sys.float_info.max if exact > 0 else -sys.float_info.max


def _check_delta(delta: Number) -> None:
    if type(delta) is int:
        if not INTEGER_MINIMUM <= delta <= INTEGER_MAXIMUM:
            raise InvalidRequest(f"increment by {delta}, expected an integer of 64 signed bits")
    elif type(delta) is not float or not math.isfinite(delta):
        raise InvalidRequest(f"increment by {delta!r}, expected an integer or a finite float")


def _bounded(number: Number) -> Number:
    fits = INTEGER_MINIMUM <= number <= INTEGER_MAXIMUM if isinstance(number, int) else math.isfinite(number)
    if not fits:
        raise InvalidRequest(f"the counter would reach {number}, beyond 64 signed bits or a finite float")
    return number


def _bounded_total(numbers: list[Number]) -> Number:
    if all(isinstance(number, int) for number in numbers):
        return _bounded(sum(numbers))
    return total(numbers)


def _base_number(state: State, seen: Resolution) -> Number | None:
    """Return the number that visible cells add to; raise WrongType if the visible value is none."""
    if seen.base is None:
        return None
    base = state.dots[seen.base]
    number = number_of(base.flags, base.payload)
    if number is None and seen.winner == seen.base:
        raise WrongType("increment needs a number or an absent key; the stored value is something else")
    return number


def _held_expiry(state: State, seen: Resolution) -> int:
    """Return the expiry of the number that is visible, 0 if it never expires or there is none."""
    expiries = [kernel.cells_expiry(state.dots)] if seen.cells else []
    if seen.base is not None:
        expiries.append(state.dots[seen.base].expire_ms)
    return reduce(kernel.longest, expiries) if expiries else 0


def _own_sum(state: State, seen: Resolution, actor: Actor) -> Number:
    """Return what this actor's visible cell holds; a cell that a delete hides or that expired counts no more."""
    for cell in seen.cells:
        if cell[0] == actor:
            return _number(state.dots[cell])
    return 0


def _with_cell(state: State, dot: Dot, cell: Version) -> State:
    """Put the new cell in the place of its actor's last one, and of the tombstones that no longer decide anything."""
    registers = any(version.kind == REGISTER for version in state.dots.values())
    fills = any(version.flags & FILL for version in state.dots.values())
    dots = {
        held: version
        for held, version in state.dots.items()
        if not (version.kind == COUNTER and held[0] == dot[0]) and _still_decides(version, registers, fills)
    }
    dots[dot] = cell
    return State({**state.context, dot[0]: dot[1]}, state.cloud, dots)


def _still_decides(version: Version, registers: bool, fills: bool) -> bool:
    """A blind delete still hides what is older, any delete the fills that had not seen it; what an expired register
    left hides only older registers."""
    if version.kind != TOMBSTONE:
        return True
    if not version.flags & BLIND:
        return fills and not version.flags & EXPIRED
    return registers or not version.flags & EXPIRED
