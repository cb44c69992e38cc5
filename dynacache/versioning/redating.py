"""Versions that were dated by a clock which had run ahead, moved back to when they were made.

What: ``moved_back`` returns a record as it would be had its writer's clock been right: what is dated beyond a limit is
moved back by as much as the clock was ahead, with its end and its beginning.

Invariant: dots and contexts stay as they are, and so does everything dated up to the limit. Only a node that has minted
the versions itself, and from which nobody has taken them, may do this: a dot is one version for ever elsewhere. That is
so for a node whose clock is beyond the allowed skew, since every message that carries such a time is refused.

Why not drop them: a sole owner, or one that acknowledged alone, would lose acknowledged writes for the sake of a date.
What the wrong clock has taken for expired is gone, though: of such a record nothing is kept, and others bring it back.
DESIGN section 7; brief R1.9.
"""

import attrs

from dynacache.versioning.kernel import EXPIRED, State, Version
from dynacache.versioning.layout import decode, encode

__all__ = ["moved_back"]


def moved_back(record: bytes, limit_ms: int, ahead_ms: int) -> bytes | None:
    """Return a record with what is dated after ``limit_ms`` moved back by ``ahead_ms``; None if one of its versions has
    expired, by the wrong clock, after the limit."""
    state = decode(record)
    dots = {}
    for dot, version in state.dots.items():
        if version.flags & EXPIRED and version.created_ms > limit_ms:
            return None
        dots[dot] = _moved(version, limit_ms, ahead_ms) if version.time >> 16 > limit_ms else version
    return encode(State(state.context, state.cloud, dots), record[0])


def _moved(version: Version, limit_ms: int, ahead_ms: int) -> Version:
    created_ms = version.created_ms
    return attrs.evolve(
        version,
        time=version.time - (ahead_ms << 16),
        expire_ms=max(1, version.expire_ms - ahead_ms) if version.expire_ms else 0,
        created_ms=created_ms - ahead_ms if created_ms > limit_ms else created_ms,
    )
