"""What things cost in memory, by arithmetic on lengths.

What: the bytes that CPython's allocators really hand out for a ``bytes`` object and for a dictionary, the shares into
which the store divides its limit (``Usage``), and ``recount``, which finds the same figures the slow way.

Invariant: for every object the store keeps, the figure added when it comes equals the figure taken away when it goes,
and equals what ``sys.getsizeof`` says of it, rounded up as the allocator does. Checkers compare ``Usage`` with a
recount.

Why arithmetic: ``getsizeof`` and a call into the allocator cost more than the rest of a write. Small objects (up to
512 bytes) come from pools in steps of 16 bytes; larger ones from ``malloc``, 8 bytes of its own and steps of 16. A
dictionary has 2**k index slots and room for two thirds as many entries of 24 bytes; when that room is used up it
grows to the next power of two above three times its live entries. The constants are measured once, at import, so that
another interpreter version shifts them and not the code. A test compares the sum with resident memory.
"""

import sys
from collections.abc import Sequence
from typing import TypeVar

import attrs

__all__ = ["Usage", "capacity", "dictionary_bytes", "grown_dictionary_bytes", "object_bytes", "objects_bytes"]

_V = TypeVar("_V")

_STEP = 16
_POOL_LIMIT = 512
_MALLOC_HEADER = 8
_BYTES_HEADER = sys.getsizeof(b"")
_SMALL = _POOL_LIMIT - _BYTES_HEADER
_SMALL_SURPLUS = _BYTES_HEADER + _STEP - 1
_LARGE_SURPLUS = _SMALL_SURPLUS + _MALLOC_HEADER

_EMPTY_DICTIONARY_BYTES = sys.getsizeof({})
_SLOT_BYTES = 24
_LEAST_LOG = 3
_MOST_LOG = 40


def object_bytes(length: int) -> int:
    """Return the memory that a ``bytes`` object of ``length`` bytes occupies."""
    return (length + _SMALL_SURPLUS if length <= _SMALL else length + _LARGE_SURPLUS) & -_STEP


def objects_bytes(objects: Sequence[bytes]) -> int:
    """Return the memory that some ``bytes`` objects occupy; none of them the same twice."""
    lengths = list(map(len, objects))
    if max(lengths, default=0) <= _SMALL:
        return sum([length + _SMALL_SURPLUS & -_STEP for length in lengths])
    return sum(map(object_bytes, lengths))


def _room(log: int) -> int:
    return (2 << log) // 3


def _index_bytes(log: int) -> int:
    return (1 if log < 8 else 2 if log < 16 else 4 if log < 32 else 8) << log


_HEADER_BYTES = sys.getsizeof({b"": b""}) - _index_bytes(_LEAST_LOG) - _SLOT_BYTES * _room(_LEAST_LOG)

_BYTES_OF_LOG = [_HEADER_BYTES + _index_bytes(log) + _SLOT_BYTES * _room(log) for log in range(_MOST_LOG)]
_ROOM_OF_BYTES = {_BYTES_OF_LOG[log]: _room(log) for log in range(_LEAST_LOG, _MOST_LOG)}


def dictionary_bytes(entries: dict[bytes, _V]) -> int:
    """Return what a dictionary occupies, without what it refers to."""
    return sys.getsizeof(entries)


def capacity(size_bytes: int) -> int:
    """Return how many insertions a dictionary of ``size_bytes`` takes in all before it grows (0 when empty)."""
    return _ROOM_OF_BYTES.get(size_bytes, 0)


def grown_dictionary_bytes(count: int) -> int:
    """Return what a full dictionary with ``count`` live entries will occupy once one more comes."""
    return _BYTES_OF_LOG[max(_LEAST_LOG, (3 * count - 1).bit_length())] if count else _BYTES_OF_LOG[_LEAST_LOG]


@attrs.frozen
class Usage:
    """Bytes by share. Their sum is what the limit bounds."""

    base_bytes: int
    """What is there before the first entry: empty dictionaries, the ticks of the eviction policy."""

    entries_bytes: int
    """Keys and records of live entries, and their dictionaries."""

    tombstones_bytes: int
    """Keys and records of tombstones, and their dictionaries."""

    expiry_bytes: int
    """The wheel. The keys in it are those of the entries."""

    ghosts_bytes: int
    """The memory of what was evicted."""

    trees_bytes: int
    """The leaves of the repair trees."""

    @property
    def total_bytes(self) -> int:
        """All shares together."""
        held = self.base_bytes + self.entries_bytes + self.tombstones_bytes
        return held + self.expiry_bytes + self.ghosts_bytes + self.trees_bytes
