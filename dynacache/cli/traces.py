"""Recorded request streams: one request a line, the key first, in the order in which they happened.

What: `read_trace` yields the keys of a plain or xz-compressed text file. Anything after the key (a size, a time) is
left to whoever wants it.

Invariant: a line becomes one key, unchanged, as bytes; a file that is not such a trace ends in one clear `ValueError`
that names the file and the line.

Why: synthetic keys flatter a cache. A recording has the bursts, scans and one-hit keys that a law of probability
leaves out, so hit ratios mean something.
"""

import lzma
from collections.abc import Iterator
from pathlib import Path

from dynacache.wire.messages import USER_KEY_LIMIT_BYTES

__all__ = ["read_sized_trace", "read_trace"]


def read_trace(path: Path, limit: int | None = None) -> Iterator[bytes]:
    """Yield the key of each request, at most `limit` of them.

    Raises ValueError for a file that cannot be read or a line without a usable key.
    """
    return (key for key, _ in read_sized_trace(path, limit))


def read_sized_trace(path: Path, limit: int | None = None) -> Iterator[tuple[bytes, int | None]]:
    """Yield key and size of each request; None where the line has no number after the key. Raises as ``read_trace``."""
    try:
        with lzma.open(path, "rb") if path.suffix == ".xz" else path.open("rb") as lines:
            for number, line in enumerate(lines):
                if limit is not None and number >= limit:
                    return
                yield _request_of(line, path, number + 1)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise ValueError(f"cannot read the trace {path}: {error}") from error


def _request_of(line: bytes, path: Path, number: int) -> tuple[bytes, int | None]:
    fields = line.split(None, 2)
    if not fields or len(fields[0]) > USER_KEY_LIMIT_BYTES:
        raise ValueError(f"{path}, line {number}: expected a key of 1 to {USER_KEY_LIMIT_BYTES} bytes")
    return fields[0], int(fields[1]) if len(fields) > 1 and fields[1].isdigit() else None
