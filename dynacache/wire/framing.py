"""Cut a stream of bytes into frames, and frames into messages, without doing any I/O.

What: a `FrameReader` belongs to one connection. Each `feed` takes what one read brought and returns every message that
is complete now; the rest is kept.

Invariant: the messages returned do not depend on how the stream was cut into reads. A frame that announces more than
`limit_bytes` is refused from its header, before any of its body is kept, so a reader never holds more than one frame of
the limit plus one read. After an error the reader is of no further use: the stream has lost its boundaries.

Why: the common read holds exactly one whole frame, which costs one header, one slice and one decode. The parts of a
large frame are kept in a list and joined once, when the last has come, so a 16 MiB value costs two copies and not one
for each read (the quadratic trap of ``buffer += data``). The limit can be raised after the hello: a stranger is granted
a few kilobytes, a proven peer the full size.

`frames` and `pending_bytes` let the runtime tell a frame that is slow to arrive from a connection that is idle.
"""

import struct

import attrs

from dynacache.errors import FrameTooLarge
from dynacache.wire.codec import LENGTH_BYTES, Message, messages_of_body
from dynacache.wire.messages import FRAME_LIMIT_BYTES

__all__ = ["FrameReader"]

_length_at = struct.Struct(">I").unpack_from


@attrs.define(eq=False)
class FrameReader:
    """The receiving half of one connection's framing."""

    limit_bytes: int = FRAME_LIMIT_BYTES
    """Largest body accepted; may be changed between two calls of `feed`."""
    frames: int = attrs.field(default=0, init=False)
    """Frames completed since the start."""
    pending_bytes: int = attrs.field(default=0, init=False)
    """Bytes held of a frame that is not complete."""
    _parts: list[bytes] = attrs.field(factory=list, init=False)
    _wanted_bytes: int = attrs.field(default=0, init=False)

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that ``data`` completes, in order.

        Raises FrameTooLarge for a frame over the limit and ProtocolError for a malformed one; messages of earlier
        frames in the same read are then dropped with the connection.
        """
        if self.pending_bytes:
            self._parts.append(data)
            self.pending_bytes += len(data)
            if self.pending_bytes < self._wanted_bytes:
                return []
            data = b"".join(self._parts)
            self._parts.clear()
            self.pending_bytes = 0
        end = len(data)
        if end >= LENGTH_BYTES and _length_at(data)[0] == end - LENGTH_BYTES <= self.limit_bytes:
            self.frames += 1
            return messages_of_body(data[LENGTH_BYTES:])
        return self._feed_many(data, end)

    def feed_one(self, data: bytes) -> list[Message] | None:
        """Like `feed`, but stop after the first frame: its messages, or None while no frame is complete.

        The rest waits for the next call (of either kind, with ``b""`` if need be). During the hello the limit may rise
        between two frames of one read.
        """
        data = b"".join((*self._parts, data))
        self._keep(b"", LENGTH_BYTES)
        end = len(data)
        if end < LENGTH_BYTES:
            self._keep(data, LENGTH_BYTES)
            return None
        length = _length_at(data)[0]
        if length > self.limit_bytes:
            raise self._too_large(length)
        wanted = LENGTH_BYTES + length
        if end < wanted:
            self._keep(data, wanted)
            return None
        self._keep(data[wanted:], LENGTH_BYTES)
        self.frames += 1
        return messages_of_body(data[LENGTH_BYTES:wanted])

    def _keep(self, data: bytes, wanted_bytes: int) -> None:
        self._parts = [data] if data else []
        self.pending_bytes = len(data)
        self._wanted_bytes = wanted_bytes

    def _too_large(self, length: int) -> FrameTooLarge:
        return FrameTooLarge(f"a frame announces {length} bytes, at most {self.limit_bytes} are accepted")

    def _feed_many(self, data: bytes, end: int) -> list[Message]:
        messages: list[Message] = []
        view = memoryview(data)
        start = 0
        wanted = LENGTH_BYTES
        while end - start >= LENGTH_BYTES:
            length = _length_at(data, start)[0]
            if length > self.limit_bytes:
                raise self._too_large(length)
            wanted = LENGTH_BYTES + length
            if end - start < wanted:
                break
            messages += messages_of_body(view[start + LENGTH_BYTES : start + wanted])
            self.frames += 1
            start += wanted
            wanted = LENGTH_BYTES
        if start < end:
            self._keep(data[start:] if start else data, wanted)
        return messages
