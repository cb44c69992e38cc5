"""Where a scan goes on: a partition, and the last key looked at in it.

What: ``pack_cursor`` and ``unpack_cursor``. To a client a cursor is opaque bytes; empty, it means the beginning in a
question and the end in an answer.

Invariant: a cursor says all there is to say, so any node can go on with it, whichever gave it out, and none keeps
anything about a scan. It is as long as a key and five bytes at most.

Why a key and not a position: tables change their order when they grow or evict, and another owner's has another one
anyway; the order of the keys themselves is the same everywhere and for ever.
"""

import struct
from typing import Final

from dynacache.errors import InvalidRequest
from dynacache.wire.messages import KEY_LIMIT_BYTES

__all__ = ["CURSOR_LIMIT_BYTES", "PAGE_LIMIT_COUNT", "pack_cursor", "unpack_cursor"]

_FORM: Final = 1
_HEAD: Final = struct.Struct(">BI")
CURSOR_LIMIT_BYTES: Final = _HEAD.size + KEY_LIMIT_BYTES

PAGE_LIMIT_COUNT: Final = 4_096
"""Keys of one page of a scan at most."""


def pack_cursor(partition: int, after: bytes = b"") -> bytes:
    """Return the cursor behind the key ``after`` of a partition; at the partition's beginning without one."""
    return _HEAD.pack(_FORM, partition) + after


def unpack_cursor(cursor: bytes) -> tuple[int, bytes]:
    """Return (partition, key); raises InvalidRequest for anything that ``pack_cursor`` does not make."""
    if cursor == b"":
        return 0, b""
    if type(cursor) is not bytes or not _HEAD.size <= len(cursor) <= CURSOR_LIMIT_BYTES or cursor[0] != _FORM:
        raise InvalidRequest(f"cursor: got {cursor!r:.80}, expected one that a scan has returned, or none")
    _, partition = _HEAD.unpack_from(cursor)
    return partition, cursor[_HEAD.size :]
