"""Strict checks of values that came from somewhere else.

What: one function a kind of value. Each returns the value if it has exactly the expected type and lies within its
bounds, and raises ``WireValueError`` naming the field, the value and the expectation otherwise.

Invariant: nothing that passed is larger than its bound, so whatever is built from it is bounded too; a boolean is not
an integer and bytes are not text, as msgpack keeps them apart as well.

Why exceptions of both ``ProtocolError`` and ``ValueError``: to a connection a malformed table is a peer that broke the
protocol; to a caller in the same process it is a bad argument.
"""

from collections.abc import Sequence
from typing import Any

from dynacache.errors import ProtocolError

__all__ = [
    "U64_MAX",
    "WireValueError",
    "integer",
    "octets",
    "sequence",
    "shown",
    "text",
]

U64_MAX = 2**64 - 1
_SHOWN_LIMIT = 80


class WireValueError(ProtocolError, ValueError):
    """A value has the wrong type or lies outside of its bounds; the text names it and what was expected."""


def shown(value: object) -> str:
    """Return ``repr(value)``, cut to a length that fits a message."""
    if isinstance(value, bytes | str | list | tuple | dict) and len(value) > _SHOWN_LIMIT:
        return f"{type(value).__name__} of length {len(value)}"
    full = repr(value)
    return full if len(full) <= _SHOWN_LIMIT else f"{full[:_SHOWN_LIMIT]}..."


def integer(value: object, name: str, low: int, high: int) -> int:
    """Return ``value`` if it is an integer between ``low`` and ``high``, both included."""
    if type(value) is int and low <= value <= high:
        return value
    raise WireValueError(f"{name}: got {shown(value)}, expected an integer between {low} and {high}")


def text(value: object, name: str, low: int, high: int) -> str:
    """Return ``value`` if it is text of ``low`` to ``high`` printable characters."""
    if type(value) is str and low <= len(value) <= high and value.isprintable():
        return value
    raise WireValueError(f"{name}: got {shown(value)}, expected {low} to {high} printable characters")


def octets(value: object, name: str, size: int) -> bytes:
    """Return ``value`` if it is bytes of exactly ``size``."""
    if type(value) is bytes and len(value) == size:
        return value
    raise WireValueError(f"{name}: got {shown(value)}, expected {size} bytes")


def sequence(value: object, name: str, low: int, high: int) -> Sequence[Any]:
    """Return ``value`` if it is a list or tuple of ``low`` to ``high`` items, unchecked themselves."""
    if isinstance(value, list | tuple) and low <= len(value) <= high:
        return value
    raise WireValueError(f"{name}: got {shown(value)}, expected a list of {low} to {high} items")
