"""Messages to bytes and back: one msgpack array per frame behind a 4-byte big-endian length.

What: `frame_of_messages` encodes a whole batch with one call into C; `pack_message` and `frame_of_packed` let a message
that several destinations share be encoded once and stand in every one of their frames. `messages_of_body` decodes the
body of a frame and checks the little that every receiver relies on: each message is an array that starts with its kind.

Invariant: what is encoded here is accepted by `messages_of_body` at the other end, whatever its size: a batch over the
limits of one frame leaves as several frames, in order. Arbitrary bytes end in a list of messages or in a
`ProtocolError`, never in another exception, and allocate in proportion to their own length.

Why: the array header of msgpack has three forms that depend only on the count, so packed messages can be joined under
a header without decoding them. Extension types are refused and timestamps become integers, so that a decoded message
holds plain values only.
"""

import struct
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import msgpack

from dynacache.errors import ProtocolError
from dynacache.wire.messages import FRAME_LIMIT_BYTES, MESSAGE_LIMIT_COUNT

__all__ = [
    "LENGTH_BYTES",
    "Message",
    "frame_of_messages",
    "frame_of_packed",
    "messages_of_body",
    "pack_message",
]

LENGTH_BYTES: Final = 4

Message = list[Any] | tuple[Any, ...]
"""A message as it is encoded: its kind, then its fields by position."""

_unpack = msgpack.unpackb
_pack_length = struct.Struct(">I").pack
_SMALL_HEADERS: Final = tuple(bytes((0x90 | count,)) for count in range(16))
_pack_array_header = struct.Struct(">BH").pack

pack_message = msgpack.Packer(autoreset=True, use_bin_type=True).pack
"""Encode one message (or a list of them); bytes stay bytes, text is UTF-8."""


def frame_of_messages(messages: Sequence[Message]) -> bytes:
    """Encode messages as one frame, or as several in order where one frame would pass its limits.

    Raises ValueError when a single message is larger than a frame may be.
    """
    if len(messages) <= MESSAGE_LIMIT_COUNT:
        body: bytes = pack_message(messages)
        if len(body) <= FRAME_LIMIT_BYTES:
            return _pack_length(len(body)) + body
    return frame_of_packed([pack_message(message) for message in messages], len(messages))


def frame_of_packed(chunks: Sequence[bytes], count: int) -> bytes:
    """Join packed messages (one chunk each) into one frame, or into several where one would pass its limits.

    ``count`` is the number of chunks. Raises ValueError when a single message is larger than a frame may be.
    """
    assert count == len(chunks)
    if count <= MESSAGE_LIMIT_COUNT:
        body = b"".join(chunks)
        header = _SMALL_HEADERS[count] if count < 16 else _pack_array_header(0xDC, count)
        length = len(header) + len(body)
        if length <= FRAME_LIMIT_BYTES:
            return b"".join((_pack_length(length), header, body))
    if count == 1:
        raise ValueError(f"a message of {len(chunks[0])} bytes, a frame holds at most {FRAME_LIMIT_BYTES}")
    half = count // 2
    return frame_of_packed(chunks[:half], half) + frame_of_packed(chunks[half:], count - half)


def messages_of_body(body: bytes | memoryview) -> list[Message]:
    """Decode the body of one frame; raises ProtocolError for anything but an array of messages."""
    limit = len(body)
    if limit > MESSAGE_LIMIT_COUNT:
        limit = MESSAGE_LIMIT_COUNT
    try:
        messages = _unpack(
            body,
            strict_map_key=False,
            timestamp=2,
            ext_hook=_refuse_extension,
            max_array_len=limit,
            max_map_len=limit,
        )
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise ProtocolError(f"a frame that is not one msgpack array of messages: {_shortened(error)}") from error
    if type(messages) is not list:
        raise ProtocolError(f"a frame holds an array of messages, got {type(messages).__name__}")
    for message in messages:
        if type(message) is not list or not message or type(message[0]) is not int:
            raise ProtocolError("a message is an array that starts with its kind, an integer")
    return messages


def _refuse_extension(kind: int, _: bytes) -> NoReturn:
    raise ValueError(f"extension type {kind} is not used")


def _shortened(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:200]
