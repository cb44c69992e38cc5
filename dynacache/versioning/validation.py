"""Validation: whether bytes from a peer are a record, before anything trusts them.

What: ``is_well_formed`` accepts exactly the records that this release can write, in canonical form, with byte 0 clear.

Invariant: it never raises, whatever the bytes; and every function of ``packed`` accepts what it accepted.

Why the canonical form is demanded: two encodings of one state would differ in their version digest for ever, and repair
would exchange them for ever. A VALUE is checked by its header and clock alone, for it is the hot case; MANY is rare and
is decoded and packed again.
"""

import math
import struct
from typing import Any

import msgpack

from dynacache.errors import DynacacheError
from dynacache.versioning.attachments import ATTACHED, is_well_formed_attachment, value_start
from dynacache.versioning.kernel import (
    BLIND,
    COMPRESSED,
    COUNTER,
    EXPIRED,
    FILL,
    MAY_BE_OUTLIVED,
    RAW,
    SLIDING,
    TAGGED,
)
from dynacache.versioning.kernel import TOMBSTONE as TOMBSTONE_VERSION
from dynacache.versioning.layout import (
    ENTRY,
    ENTRY_BYTES,
    HEADER,
    HEADER_BYTES,
    MANY,
    TOMBSTONE,
    VALUE,
    decode,
    encode,
)

__all__ = ["DOT_LIMIT", "is_well_formed"]

DOT_LIMIT = 2048
"""Versions in one record that we accept from a peer: 255 actors with 8 siblings each come to 2,040."""

_TOMBSTONE_FLAGS = MAY_BE_OUTLIVED | BLIND | EXPIRED
_VALUE_FLAGS = RAW | MAY_BE_OUTLIVED | FILL | TAGGED | SLIDING | COMPRESSED
_COUNTER_FLAGS = MAY_BE_OUTLIVED | TAGGED
_FIELD_COUNT = 8
_U64 = 2**64


def is_well_formed(record: object) -> bool:
    """Return whether the bytes are a canonical record with byte 0 clear; never raises."""
    if not isinstance(record, bytes) or len(record) < HEADER_BYTES + ENTRY_BYTES:
        return False
    local, kind, flags, count, index, _, expire_ms, _ = HEADER.unpack_from(record)
    end = HEADER_BYTES + ENTRY_BYTES * count
    if local or index >= count or len(record) < end or not _is_canonical_clock(record[HEADER_BYTES:end]):
        return False
    if kind == VALUE:
        return not flags & ~_VALUE_FLAGS and (not flags & ATTACHED or is_well_formed_attachment(flags, record, end))
    if kind == TOMBSTONE:
        return not flags & ~_TOMBSTONE_FLAGS and expire_ms == 0 and len(record) == end
    return kind == MANY and _are_canonical_versions(record, count, end)


def _is_canonical_clock(entries: bytes) -> bool:
    last = (-1, -1)
    for incarnation, base, n in ENTRY.iter_unpack(entries):
        if n == 0 or (incarnation, base) <= last:
            return False
        last = (incarnation, base)
    return True


def _are_canonical_versions(record: bytes, count: int, end: int) -> bool:
    try:
        listed = msgpack.unpackb(record[end:], strict_map_key=False)
        if not isinstance(listed, list) or len(listed) > DOT_LIMIT:
            return False
        if not all(_is_version(fields, count) for fields in listed):
            return False
        state = decode(record)
        if any(state.context[actor] < n for actor, n in state.dots):
            return False
        return encode(state, 0) == record
    except (ValueError, TypeError, RecursionError, OverflowError, struct.error):
        return False
    except (msgpack.UnpackException, DynacacheError):
        return False


def _is_version(fields: Any, count: int) -> bool:
    if not isinstance(fields, list) or len(fields) != _FIELD_COUNT or not isinstance(fields[-1], bytes):
        return False
    if not all(type(number) is int and 0 <= number < _U64 for number in fields[:-1]):
        return False
    index, n, kind, flags, _, expire_ms, _, payload = fields
    if index >= count or n == 0:
        return False
    if kind == TOMBSTONE_VERSION:
        return not flags & ~_TOMBSTONE_FLAGS and expire_ms == 0 and payload == b""
    if flags & ATTACHED and not is_well_formed_attachment(flags, payload):
        return False
    if kind == COUNTER:
        return not flags & ~_COUNTER_FLAGS and _is_number(payload[value_start(flags, payload, 0) :])
    return kind == VALUE and not flags & ~_VALUE_FLAGS


def _is_number(payload: bytes) -> bool:
    number = msgpack.unpackb(payload)
    if type(number) is float:
        return math.isfinite(number)
    return type(number) is int and -(2**63) <= number < 2**63
