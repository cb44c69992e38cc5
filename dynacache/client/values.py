"""Application values and keys as they travel.

What: `encode_value` turns a value into (payload flags, payload) and `decode_value` turns them back; `encode_key` turns
a key into its bytes. Bytes travel raw and untouched; everything else is msgpack: str, int, float, bool, None, lists and
maps, with bytes allowed inside them.

Invariant: what is accepted comes back equal, except that tuples become lists, bytearray and memoryview become bytes,
and subclasses (an OrderedDict, an IntEnum) become the plain type they derive from. Whatever would not come back is
refused before anything is sent, with an InvalidRequest that names it; so is a value over `VALUE_LIMIT_BYTES` or nested
deeper than `DEPTH_LIMIT`.

Why: msgpack alone accepts things that it cannot return (tuples as keys of a map, extension types), and its own depth
limits differ between packing and unpacking. Containers are therefore checked first, by the set of their elements'
types, which runs in C and costs a flat list or map little. A raw payload needs neither pass.
"""

from typing import Any, Final

import msgpack

from dynacache.client.compression import decompress
from dynacache.errors import InvalidRequest, ProtocolError
from dynacache.namespaces.names import DEFAULT, qualify
from dynacache.wire.messages import (
    PAYLOAD_COMPRESSED,
    PAYLOAD_MSGPACK,
    PAYLOAD_RAW,
    USER_KEY_LIMIT_BYTES,
    VALUE_LIMIT_BYTES,
)

__all__ = ["DEPTH_LIMIT", "INTEGER_MAX", "INTEGER_MIN", "Key", "decode_value", "encode_key", "encode_value"]

Key = str | bytes
"""A key: text (sent as UTF-8) or bytes, 1 to 1,024 bytes. The text and its UTF-8 bytes name the same entry."""

DEPTH_LIMIT: Final = 64
"""Lists and maps inside one another."""
INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**64 - 1

_SCALARS: Final = frozenset({str, int, float, bool, type(None), bytes})
_SCALAR_BASES: Final = (str, int, float, bytes, bytearray, memoryview)
_BYTES_LIKE: Final = (bytes, bytearray, memoryview)
_pack = msgpack.Packer(autoreset=True, use_bin_type=True).pack
_unpack = msgpack.unpackb


def encode_key(key: Key, prefix: bytes = b"") -> bytes:
    """Return the bytes of a key as it travels, in the namespace of a ``prefix`` (`namespaces.names`), none for the
    default one; raises InvalidRequest for another type, an empty key or one over 1,024 bytes."""
    if type(key) is bytes:
        encoded = key
    elif isinstance(key, str):
        try:
            encoded = key.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequest(f"a key of text must be valid Unicode, got {_shortened(key)}") from error
    elif isinstance(key, bytes):
        encoded = bytes(key)
    else:
        raise InvalidRequest(f"a key is str or bytes, got {type(key).__name__}")
    if not 0 < len(encoded) <= USER_KEY_LIMIT_BYTES:
        raise InvalidRequest(f"a key has 1 to {USER_KEY_LIMIT_BYTES} bytes, got {len(encoded)}")
    return prefix + encoded if prefix or encoded[0] else qualify(DEFAULT, encoded)


def encode_value(value: object) -> tuple[int, bytes]:
    """Return (payload flags, payload); raises InvalidRequest for what cannot be stored."""
    if type(value) is bytes:
        if len(value) > VALUE_LIMIT_BYTES:
            raise InvalidRequest(f"a value has at most {VALUE_LIMIT_BYTES} bytes, got {len(value)}")
        return PAYLOAD_RAW, value
    if type(value) not in _SCALARS:
        if isinstance(value, _BYTES_LIKE):
            return encode_value(bytes(value))
        _check(value, 0)
    try:
        payload: bytes = _pack(value)
    except OverflowError as error:
        raise InvalidRequest(f"an integer is between {INTEGER_MIN} and {INTEGER_MAX}") from error
    except (UnicodeEncodeError, TypeError, ValueError) as error:
        raise InvalidRequest(f"a value that cannot be stored: {_shortened(error)}") from error
    if len(payload) > VALUE_LIMIT_BYTES:
        raise InvalidRequest(f"a value has at most {VALUE_LIMIT_BYTES} bytes, this one takes {len(payload)}")
    return PAYLOAD_MSGPACK, payload


def decode_value(payload_flags: int, payload: bytes) -> Any:
    """Return the value; raises ProtocolError for a payload that no client of ours wrote."""
    if payload_flags & PAYLOAD_COMPRESSED:
        payload = decompress(payload)
    if payload_flags & PAYLOAD_RAW:
        return payload
    try:
        return _unpack(payload, strict_map_key=False, ext_hook=_refuse_extension, timestamp=2)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise ProtocolError(f"a stored value that is not msgpack: {_shortened(error)}") from error


def _check(value: object, depth: int) -> None:
    """Refuse what msgpack would not carry there and back."""
    if isinstance(value, _SCALAR_BASES):
        return
    if not isinstance(value, dict | list | tuple) or isinstance(value, msgpack.ExtType):
        raise InvalidRequest(
            f"a value is bytes, str, int, float, bool, None, or a list or map of these, got {type(value).__name__}"
        )
    if depth >= DEPTH_LIMIT:
        raise InvalidRequest(f"a value is nested at most {DEPTH_LIMIT} deep")
    if isinstance(value, dict):
        if not _SCALARS.issuperset(map(type, value)):
            _check_map_keys(value)
        inside: Any = value.values()
    else:
        inside = value
    if not _SCALARS.issuperset(map(type, inside)):
        for element in inside:
            if type(element) not in _SCALARS:
                _check(element, depth + 1)


def _check_map_keys(value: dict[Any, Any]) -> None:
    for key in value:
        if not isinstance(key, str | int | float | bytes | None):
            raise InvalidRequest(f"a key of a map is str, int, float, bool, None or bytes, got {type(key).__name__}")


def _refuse_extension(kind: int, _: bytes) -> Any:
    raise ValueError(f"extension type {kind} is not used")


def _shortened(what: object) -> str:
    return ascii(what if isinstance(what, str) else str(what))[:100]
