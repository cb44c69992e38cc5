"""Large values made small by the client, in namespaces that ask for it.

What: `compress` turns (payload flags, payload) into those of a zstandard frame, `decompress` turns them back. The nodes
store and compare the frame as they do any payload; one bit of the flags says what it is.

Invariant: a payload below `COMPRESS_FROM_BYTES`, or one that a frame would not make smaller, stays as it is, so numbers
can be counted on and nothing grows. What comes back is at most `VALUE_LIMIT_BYTES`, whatever the frame says.

Why the client: it costs the nodes nothing, and spares the network and the store the difference. The package is
optional (``pip install dynacache[compression]``): a client without it writes values as they are, and is told what to
install by the error that reading a compressed one raises.
"""

from typing import Any, Final

from dynacache.errors import ProtocolError
from dynacache.wire.messages import PAYLOAD_COMPRESSED, VALUE_LIMIT_BYTES

try:
    import zstandard
except ImportError:  # pragma: no cover - the tests take it away and put it back
    zstandard = None  # type: ignore[assignment, unused-ignore]

__all__ = ["COMPRESS_FROM_BYTES", "LEVEL", "compress", "decompress"]

COMPRESS_FROM_BYTES: Final = 1_024
"""The smallest payload worth the attempt."""
LEVEL: Final = 3
"""zstandard's own default: some 300 MB a second."""


def compress(flags: int, payload: bytes) -> tuple[int, bytes]:
    """Return the payload as a frame, or as it is."""
    if len(payload) < COMPRESS_FROM_BYTES or zstandard is None:
        return flags, payload
    frame = zstandard.ZstdCompressor(level=LEVEL).compress(payload)
    if len(frame) >= len(payload):
        return flags, payload
    return flags | PAYLOAD_COMPRESSED, frame


def decompress(payload: bytes) -> bytes:
    """Return what a frame holds; raises ProtocolError for what is none, and where the package is missing."""
    if zstandard is None:
        raise ProtocolError("the value is compressed with zstandard, which is not installed here: install zstandard")
    try:
        size: Any = zstandard.frame_content_size(payload)
        if not 0 <= size <= VALUE_LIMIT_BYTES:
            raise ProtocolError(f"a compressed value of {size} bytes, expected at most {VALUE_LIMIT_BYTES}")
        found: bytes = zstandard.ZstdDecompressor().decompress(payload)
    except zstandard.ZstdError as error:
        raise ProtocolError(f"a stored value that is no zstandard frame: {ascii(str(error))[:100]}") from error
    return found
