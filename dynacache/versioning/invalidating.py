"""What an invalidation leaves of a packed record.

What: ``remains`` is a single value turned into the tombstone that its end leaves; ``invalidate`` lets every version of
a record meet its fate, by the kernel where there are several.

Invariant: the result equals ``kernel.invalidate`` on the decoded state, in canonical form; it depends on the record and
the fates alone, never on when it is asked for. So replicas that know the same invalidations hold the same, in whatever
order versions and invalidations came.

Why the tombstone bears no time of the invalidation: it only keeps back what its version had superseded, and for that
its version's own time counts. Two invalidations that end the same version leave the same bytes.
"""

from collections.abc import Callable

from dynacache.versioning import kernel
from dynacache.versioning.kernel import BLIND, EXPIRED, MAY_BE_OUTLIVED, Version
from dynacache.versioning.layout import ENTRY_BYTES, HEADER_BYTES, TOMBSTONE, decode, encode

__all__ = ["invalidate", "remains"]

_REMAINS = bytes((TOMBSTONE, MAY_BE_OUTLIVED | EXPIRED | BLIND))
_NEVER = bytes(8)
_EXPIRY_AT = 13
_CREATED_AT = 21


def remains(record: bytes, guarded: bool = False) -> bytes | None:
    """Return what the end of a VALUE leaves: a tombstone if an older version may outlive it, or in any case
    (``guarded``), else None."""
    if not (guarded or record[2] & MAY_BE_OUTLIVED):
        return None
    clock = record[HEADER_BYTES : HEADER_BYTES + ENTRY_BYTES * record[3]]
    return b"".join((record[:1], _REMAINS, record[3:_EXPIRY_AT], _NEVER, record[_EXPIRY_AT:_CREATED_AT], clock))


def invalidate(record: bytes, fate: Callable[[Version], int]) -> bytes | None:
    """Return what remains of a record when each version has met its ``fate``: the record itself if nothing has changed,
    None if it may be forgotten without a tombstone."""
    state = decode(record)
    left = kernel.invalidate(state, fate)
    if left is state:
        return record
    return None if kernel.is_spent(left) else encode(left, record[0])
