"""What the store needs to know of a record, read from its bytes.

What: whether it is a tombstone, when it was deleted, how large its value is, when its bucket is due, when a tombstone
leaves.

Invariant: nothing here decodes a record with a single version; the layout is that of ``versioning.layout``.

Why apart: the rest of the store treats records as opaque bytes.
"""

import struct

from dynacache.storage.expiry import FINE_LIFE_MS, due_second
from dynacache.versioning.kernel import EXPIRED, MAY_BE_OUTLIVED
from dynacache.versioning.kernel import TOMBSTONE as TOMBSTONE_VERSION
from dynacache.versioning.layout import ENTRY_BYTES, HEADER_BYTES, MANY, TOMBSTONE, VALUE, decode

__all__ = [
    "EXPIRY",
    "NEVER",
    "deleted_ms",
    "deleted_s",
    "due_of",
    "is_tombstone",
    "leaves_nothing",
    "read_times",
    "value_bytes",
]

EXPIRY = slice(13, 21)
"""The bytes of a record that hold its expiry."""

NEVER = bytes(8)
"""Those bytes of one that never expires."""

_unpack_times = struct.Struct(">QQQ").unpack_from
_TIMES_AT = 5
_unpack_time_and_expiry = struct.Struct(">QQ").unpack_from


def read_times(record: bytes) -> tuple[int, int]:
    """Return (hybrid time, expiry in milliseconds or 0)."""
    times: tuple[int, int] = _unpack_time_and_expiry(record, _TIMES_AT)
    return times


def due_of(record: bytes) -> int:
    """Return the second of the record's bucket in the wheel, 0 if it has no expiry."""
    time, expire_ms = _unpack_time_and_expiry(record, _TIMES_AT)
    if expire_ms - (time >> 16) <= FINE_LIFE_MS:
        second: int = -(-expire_ms // 1000)
        return second
    return due_second(time, expire_ms)


def leaves_nothing(record: bytes) -> bool:
    """Tell of a record with an expiry whether it is a plain value that no older version can outlive."""
    return record[1] == VALUE and not record[2] & MAY_BE_OUTLIVED


def is_tombstone(record: bytes) -> bool:
    """Return whether no version in the record is a value: the record is then never evicted."""
    kind = record[1]
    if kind != MANY:
        return kind == TOMBSTONE
    return all(version.kind == TOMBSTONE_VERSION for version in decode(record).dots.values())


def deleted_ms(record: bytes) -> int:
    """Return when a tombstone came to be: the delete, or the expiry that left it; the latest if there are several."""
    if record[1] != MANY:
        time, _, created_ms = _unpack_times(record, _TIMES_AT)
        deleted: int = max(time >> 16, created_ms) if record[2] & EXPIRED else time >> 16
        return deleted
    latest_ms = 0
    for version in decode(record).dots.values():
        latest_ms = max(latest_ms, version.time >> 16, version.created_ms if version.flags & EXPIRED else 0)
    return latest_ms


def deleted_s(record: bytes) -> int:
    """Return the second from which the grace of a tombstone counts: for an expiry the second of the bucket in which the
    value was, since that is all that a ghost of the value knows; for a delete the end of its second."""
    if record[1] != MANY:
        time, _, created_ms = _unpack_times(record, _TIMES_AT)
        second: int = -(-(time >> 16) // 1000)
        return max(second, due_second(time, created_ms)) if record[2] & EXPIRED else second
    latest_s = 0
    for version in decode(record).dots.values():
        due_s = due_second(version.time, version.created_ms) if version.flags & EXPIRED else 0
        latest_s = max(latest_s, -(-(version.time >> 16) // 1000), due_s)
    return latest_s


def value_bytes(record: bytes) -> int:
    """Return the length of a single value; 0 for anything else, whose parts were checked when they were single."""
    return len(record) - HEADER_BYTES - ENTRY_BYTES * record[3] if record[1] == VALUE else 0
