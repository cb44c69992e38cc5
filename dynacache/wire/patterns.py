"""Glob patterns over keys, as scans and invalidations take them.

What: ``*`` any bytes, ``?`` one byte, ``[abc]`` ``[a-z]`` ``[^x]`` one byte of a set, ``\\`` takes the next byte as it
is; everything else stands for itself. A pattern matches a whole key, byte for byte, as Redis's do.

Invariant: every pattern within ``PATTERN_LIMIT_BYTES`` compiles, and matching one key takes at most the product of
their lengths. A ``[`` that is never closed ends with the pattern; a range given backwards is taken forwards.

Why regular expressions with atomic groups: the engine in C is forty times faster than a loop here. What stands between
two stars has a fixed length, so its first place is as good as any later one; an atomic group forbids the engine to come
back and try the later ones, which takes time that grows as a power of the number of stars.
"""

import re
from collections.abc import Callable
from typing import Final

from dynacache.errors import InvalidRequest

__all__ = ["PATTERN_LIMIT_BYTES", "compile_pattern", "literal_prefix"]

PATTERN_LIMIT_BYTES: Final = 1_024

_STAR, _ANY, _OPEN, _CLOSE, _ESCAPE, _NOT, _RANGE = b"*?[]\\^-"


def compile_pattern(pattern: bytes) -> Callable[[bytes], object]:
    """Return a function of a key that is true where the pattern matches it; raises InvalidRequest for one that is no
    bytes or too long."""
    if type(pattern) is not bytes or not 0 < len(pattern) <= PATTERN_LIMIT_BYTES:
        raise InvalidRequest(f"pattern: got {_shown(pattern)}, expected 1 to {PATTERN_LIMIT_BYTES} bytes")
    segments = _segments(pattern)
    first, last = segments[0], segments[-1]
    if len(segments) == 1:
        return re.compile(first, re.DOTALL).fullmatch
    middle = b"".join(b"(?>.*?%s)" % segment for segment in segments[1:-1] if segment)
    return re.compile(first + middle + b".*" + last, re.DOTALL).fullmatch


def literal_prefix(pattern: bytes) -> bytes:
    """Return the bytes with which every key that matches begins."""
    prefix = bytearray()
    place = 0
    while place < len(pattern) and pattern[place] not in (_STAR, _ANY, _OPEN):
        if pattern[place] == _ESCAPE and place + 1 < len(pattern):
            place += 1
        prefix.append(pattern[place])
        place += 1
    return bytes(prefix)


def _segments(pattern: bytes) -> list[bytes]:
    """Return what stands between the stars, each as a regular expression of a fixed length."""
    segments = [bytearray()]
    place = 0
    while place < len(pattern):
        byte = pattern[place]
        place += 1
        if byte == _STAR:
            segments.append(bytearray())
        elif byte == _ANY:
            segments[-1] += b"."
        elif byte == _OPEN:
            one, place = _set(pattern, place)
            segments[-1] += one
        else:
            if byte == _ESCAPE and place < len(pattern):
                byte = pattern[place]
                place += 1
            segments[-1] += re.escape(bytes((byte,)))
    return [bytes(segment) for segment in segments]


def _set(pattern: bytes, place: int) -> tuple[bytes, int]:
    """Return the set that begins after a ``[`` as a regular expression of one byte, and the place behind it."""
    inverted = place < len(pattern) and pattern[place] == _NOT
    place += inverted
    wanted: set[int] = set()
    while place < len(pattern) and pattern[place] != _CLOSE:
        if pattern[place] == _ESCAPE and place + 1 < len(pattern):
            place += 1
        low = high = pattern[place]
        if place + 2 < len(pattern) and pattern[place + 1] == _RANGE:
            high = pattern[place + 2]
            place += 2
        wanted.update(range(min(low, high), max(low, high) + 1))
        place += 1
    chosen = sorted(set(range(256)) - wanted) if inverted else sorted(wanted)
    if not chosen:
        return b"(?!)", place + 1
    return b"[%s]" % b"".join(b"\\x%02x" % byte for byte in chosen), place + 1


def _shown(pattern: object) -> str:
    return f"{len(pattern)} bytes" if isinstance(pattern, bytes) else repr(pattern)[:80]
