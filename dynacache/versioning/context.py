"""Contexts: the opaque version tokens that readers carry back to writers.

What: ``version byte | fingerprint of the key, 8 B | packed clock``. A write with a context supersedes exactly what the
context covers; a conditional write demands that its context is current.

Invariant: a token taken for one key is refused for every other, and no bytes from outside make anything but a Context
or an InvalidContext that names what is wrong with them.

Why bound to the key: a clock of one key covers dots of another only by chance, and then a write would silently
supersede what its writer never read. Why opaque: clients that cannot look inside cannot come to depend on the layout.
"""

import struct

import attrs

from dynacache.errors import InvalidContext
from dynacache.versioning.actors import Actor
from dynacache.versioning.layout import (
    ENTRY_BYTES,
    ENTRY_LIMIT,
    HEADER_BYTES,
    MANY,
    decode,
    decode_clock,
)

__all__ = [
    "CONTEXT_LIMIT_BYTES",
    "CONTEXT_VERSION",
    "Context",
    "covers",
    "covers_any",
    "current",
    "make_context",
    "parse_context",
    "reaches",
]

CONTEXT_VERSION = 1
"""First byte of every token; another format takes another number."""

_PREFIX = struct.Struct(">BQ")

CONTEXT_LIMIT_BYTES = _PREFIX.size + ENTRY_BYTES * ENTRY_LIMIT
"""Length of the longest token."""


@attrs.frozen
class Context:
    """What a reader had seen of one key: a version vector, and the same vector packed."""

    clock: dict[Actor, int]
    packed: bytes


def make_context(record: bytes | None, fingerprint: int) -> bytes:
    """Return the token for what ``record`` holds of the key with this 64-bit fingerprint; None is a key never seen."""
    entries = b"" if record is None else record[HEADER_BYTES : HEADER_BYTES + ENTRY_BYTES * record[3]]
    return _PREFIX.pack(CONTEXT_VERSION, fingerprint) + entries


def parse_context(token: bytes, fingerprint: int) -> Context:
    """Read a token back. Raises InvalidContext if it is malformed or was made for a key of another fingerprint."""
    if not isinstance(token, bytes):
        raise InvalidContext(f"a version is bytes, not {type(token).__name__}")
    if not _PREFIX.size <= len(token) <= CONTEXT_LIMIT_BYTES:
        raise InvalidContext(f"a version of {len(token)} bytes, expected {_PREFIX.size} to {CONTEXT_LIMIT_BYTES}")
    version, made_for = _PREFIX.unpack_from(token)
    if version != CONTEXT_VERSION:
        raise InvalidContext(f"a version of format {version}, expected format {CONTEXT_VERSION}")
    if made_for != fingerprint:
        raise InvalidContext("the version was read from another key")
    packed = token[_PREFIX.size :]
    if len(packed) % ENTRY_BYTES:
        raise InvalidContext(f"a version whose clock has {len(packed)} bytes, not a multiple of {ENTRY_BYTES}")
    clock = decode_clock(packed)
    if len(clock) != len(packed) // ENTRY_BYTES or list(clock) != sorted(clock) or 0 in clock.values():
        raise InvalidContext("a version whose clock is not in canonical order, or counts from 0")
    return Context(clock, packed)


def covers(context: Context, record: bytes) -> bool:
    """Return whether the reader had seen every version that lives in the record."""
    if record[1] == MANY:
        return all(context.clock.get(actor, 0) >= n for actor, n in decode(record).dots)
    start = HEADER_BYTES + ENTRY_BYTES * record[4]
    ((actor, n),) = decode_clock(record[start : start + ENTRY_BYTES]).items()
    return context.clock.get(actor, 0) >= n


def covers_any(context: Context, record: bytes) -> bool:
    """Return whether the reader had seen some version that lives in the record."""
    if record[1] == MANY:
        return any(context.clock.get(actor, 0) >= n for actor, n in decode(record).dots)
    return covers(context, record)


def reaches(record: bytes, context: Context) -> bool:
    """Return whether the record includes all that the reader had seen (a session's reads must not go back)."""
    entries = record[HEADER_BYTES : HEADER_BYTES + ENTRY_BYTES * record[3]]
    if entries == context.packed:
        return True
    clock = decode_clock(entries)
    return all(clock.get(actor, 0) >= n for actor, n in context.clock.items())


def current(context: Context, record: bytes) -> bool:
    """Return whether the record is the very version that was read: nothing in it is newer, and it misses nothing."""
    return covers(context, record) and reaches(record, context)
