"""The register: a plain value, replaced as a whole.

What: reading a register gives the payload of the winning version, untouched; the others are its siblings. ``number_of``
tells whether a register can be the base that counter cells add to.

Invariant: a number here is an int or a finite float packed by msgpack. A bool is not a number, and neither are raw
bytes that look like one: the application that stored bytes gets bytes back.

Why so strict: adding to something that merely resembles a number would change the type of a user's value in silence.
"""

import math
from collections.abc import Sequence

import attrs
import msgpack

from dynacache.datatypes.contract import Cell
from dynacache.versioning.attachments import ATTACHED, value_start
from dynacache.versioning.kernel import COMPRESSED, RAW, REGISTER

__all__ = ["Register", "number_of"]

_NUMBER_LIMIT_BYTES = 9
"""The longest msgpack of an int or a float."""


@attrs.frozen
class Register:
    """The plain value type."""

    kind: int = REGISTER

    def payload(self, base: Cell | None, cells: Sequence[Cell]) -> bytes:
        """Return the winner's value; counter cells beside it do not belong to this type."""
        assert base is not None, "a register is read from its winning version"
        flags, payload = base[1].flags, base[1].payload
        return payload[value_start(flags, payload, 0) :] if flags & ATTACHED else payload


def number_of(flags: int, payload: bytes) -> int | float | None:
    """Return the number that a register's payload holds; None if it holds anything else."""
    if flags & ATTACHED:
        payload = payload[value_start(flags, payload, 0) :]
    if flags & (RAW | COMPRESSED) or not 1 <= len(payload) <= _NUMBER_LIMIT_BYTES:
        return None
    try:
        number = msgpack.unpackb(payload, strict_map_key=False)
    except (ValueError, msgpack.UnpackException):
        return None
    if type(number) is int:
        return number
    return number if type(number) is float and math.isfinite(number) else None
