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

__all__ = ["read_trace"]


def read_trace(path: Path, limit: int | None = None) -> Iterator[bytes]:
    """Yield the key of each request, at most `limit` of them.

    Raises ValueError for a file that cannot be read or a line without a usable key.
    """
    try:
        with lzma.open(path, "rb") if path.suffix == ".xz" else path.open("rb") as lines:
            for number, line in enumerate(lines):
                if limit is not None and number >= limit:
                    return
                yield _key_of(line, path, number + 1)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise ValueError(f"cannot read the trace {path}: {error}") from error


def _key_of(line: bytes, path: Path, number: int) -> bytes:
    fields = line.split(None, 1)
    if not fields or len(fields[0]) > USER_KEY_LIMIT_BYTES:
        raise ValueError(f"{path}, line {number}: expected a key of 1 to {USER_KEY_LIMIT_BYTES} bytes")
    return fields[0]
