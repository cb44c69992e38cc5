"""Fill tokens: what a reader who missed brings back with the value that it then loaded.

What: ``version byte | fingerprint of the key, 8 B | hybrid time of the miss, 8 B | packed clock`` of what the read had
found instead of a value. A fill is written at the token's time, and supersedes exactly what the clock covers.

Invariant: as for contexts: a token taken for one key is refused for every other, and no bytes from outside make
anything but a FillToken or an InvalidContext that names what is wrong with them.

Why the time of the miss and not of the write: the value was loaded after the miss, so whatever is invalidated, set or
deleted after it may not be in the value; dated so, the fill loses to all of it, wherever the two meet. Brief R13.3.
"""

import struct

import attrs

from dynacache.errors import InvalidContext
from dynacache.versioning.context import CONTEXT_LIMIT_BYTES, Context, make_context, parse_context

__all__ = ["FILL_TOKEN_LIMIT_BYTES", "FILL_TOKEN_VERSION", "FillToken", "make_fill_token", "parse_fill_token"]

FILL_TOKEN_VERSION = 0x81
"""First byte of every token; no context begins with it."""

_TIME = struct.Struct(">Q")
_HEAD = struct.Struct(">BQ")

FILL_TOKEN_LIMIT_BYTES = CONTEXT_LIMIT_BYTES + _TIME.size
"""Length of the longest token."""


@attrs.frozen
class FillToken:
    """When a reader missed, and what it had seen of the key."""

    time: int
    context: Context


def make_fill_token(record: bytes | None, fingerprint: int, time: int) -> bytes:
    """Return the token of a miss at a hybrid ``time`` that found ``record`` (no value in it; None for nothing)."""
    entries = make_context(record, fingerprint)[_HEAD.size :]
    return _HEAD.pack(FILL_TOKEN_VERSION, fingerprint) + _TIME.pack(time) + entries


def parse_fill_token(token: object, fingerprint: int) -> FillToken:
    """Read a token back. Raises InvalidContext if it is malformed or was made for a key of another fingerprint."""
    if not isinstance(token, bytes) or not _HEAD.size + _TIME.size <= len(token) <= FILL_TOKEN_LIMIT_BYTES:
        shown = f"{len(token)} bytes" if isinstance(token, bytes) else type(token).__name__
        raise InvalidContext(f"fill: got {shown}, expected the token of a miss")
    if token[0] != FILL_TOKEN_VERSION:
        raise InvalidContext(f"fill: got a token of format {token[0]}, expected format {FILL_TOKEN_VERSION}")
    head = token[1 : _HEAD.size]
    if head != fingerprint.to_bytes(8, "big"):
        raise InvalidContext("fill: got the token of a miss of another key")
    end = _HEAD.size + _TIME.size
    (time,) = _TIME.unpack_from(token, _HEAD.size)
    context = parse_context(b"\x01" + head + token[end:], fingerprint)
    return FillToken(time, context)
