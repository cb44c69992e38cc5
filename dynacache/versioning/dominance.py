"""Dominance: whether one packed record of a single version includes another whole, decided on bytes.

What: ``dominating`` compares two clocks entry by entry. Nearly every merge meets either the next version under the same
actors, or one that it already has; in both cases one of the two records is the result as it stands.

Invariant: an answer is exactly what the kernel's merge would give; None means only "ask the kernel".

Why a case of its own for clocks of equal length: with as many actors on both sides these are nearly always the same
actors, and comparing two tuples of numbers costs half of comparing two mappings.
"""

import struct

from dynacache.versioning.layout import HEADER_BYTES

__all__ = ["FAST_ENTRY_LIMIT", "dominating"]

FAST_ENTRY_LIMIT = 24
"""Clocks of more actors than this are left to the kernel."""

# For each length of a clock, its entries as a flat tuple: actor as bytes, n, actor, n ...
_CLOCK_READERS = tuple(
    struct.Struct(f">{HEADER_BYTES}x" + "12sI" * count).unpack_from for count in range(FAST_ENTRY_LIMIT + 1)
)


def dominating(first: bytes, second: bytes) -> bytes | None:
    """Return the record that includes the other whole, or None if neither does or it is not plain to see.

    Neither record is of kind MANY. Two forms of the same dot are not plain to see.
    """
    first_count, second_count = first[3], second[3]
    if first_count > FAST_ENTRY_LIMIT or second_count > FAST_ENTRY_LIMIT:
        return None
    first_clock = _CLOCK_READERS[first_count](first)
    second_clock = _CLOCK_READERS[second_count](second)
    first_at, second_at = 2 * first[4], 2 * second[4]
    if first_clock[::2] == second_clock[::2]:
        first_seen = second_clock[first_at + 1] >= first_clock[first_at + 1]
        second_seen = first_clock[second_at + 1] >= second_clock[second_at + 1]
        if second_seen and not first_seen:
            return first if _all_reach(first_clock[1::2], second_clock[1::2]) else None
        if first_seen and not second_seen:
            return second if _all_reach(second_clock[1::2], first_clock[1::2]) else None
        return None
    first_map = dict(zip(first_clock[::2], first_clock[1::2], strict=True))
    second_map = dict(zip(second_clock[::2], second_clock[1::2], strict=True))
    first_seen = second_map.get(first_clock[first_at], 0) >= first_clock[first_at + 1]
    second_seen = first_map.get(second_clock[second_at], 0) >= second_clock[second_at + 1]
    if second_seen and not first_seen:
        return first if _includes(first_map, second_map) else None
    if first_seen and not second_seen:
        return second if _includes(second_map, first_map) else None
    return None


def _all_reach(larger: tuple[int, ...], smaller: tuple[int, ...]) -> bool:
    for reached, demanded in zip(larger, smaller, strict=True):  # noqa: SIM110 - a generator costs twice as much
        if reached < demanded:
            return False
    return True


def _includes(larger: dict[bytes, int], smaller: dict[bytes, int]) -> bool:
    for actor, demanded in smaller.items():  # noqa: SIM110 - a generator costs twice as much
        if larger.get(actor, 0) < demanded:
            return False
    return True
