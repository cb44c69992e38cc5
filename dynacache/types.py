"""Names of the domain that every layer shares.

What: identifiers, consistency levels, the reasons of a miss, and the pair of clocks that every core is handed.

Invariant: nothing here has behaviour beyond its definition, so any rank may import it. Numbers that travel on the wire
(levels, miss reasons) are append-only.

Why: a level or a reason is named once; the wire, the coordinator, the client and the documentation cannot drift apart.
"""

import enum

import attrs

__all__ = [
    "MEMBER_STOPPING",
    "NO_EXPIRY",
    "Instant",
    "KeyChange",
    "Level",
    "MissReason",
    "NodeId",
    "Role",
    "WriteCondition",
]

NodeId = str
"""A node's stable name: 1 to 64 printable characters, unique in the cluster."""

NO_EXPIRY = 0
"""The expiry instant of an entry that never expires."""


MEMBER_STOPPING = 16
"""The state that a node tells its clients of itself, in a topology, while it serves them no more."""


class Level(enum.IntEnum):
    """How many replicas must answer before a request is answered (DESIGN section 9)."""

    ONE = 1
    QUORUM = 2
    STRICT_QUORUM = 3
    ALL = 4
    STRONG = 5


class MissReason(enum.IntEnum):
    """Why a read found nothing."""

    NEVER_WRITTEN = 0
    DELETED = 1
    EXPIRED = 2
    EVICTED = 3
    UNKNOWN = 4
    INVALIDATED = 5


class KeyChange(enum.IntFlag):
    """What happened to a key, as subscribers are told."""

    SET = 1
    DELETE = 2
    EXPIRE = 4
    EVICT = 8


class WriteCondition(enum.IntEnum):
    """What a write demands of the value it would replace."""

    NONE = 0
    IF_ABSENT = 1
    IF_PRESENT = 2
    IF_VERSION = 3


class Role(enum.IntEnum):
    """Who is at the other end of a connection, as told and proven in the hello."""

    CLIENT = 0
    PEER = 1
    BULK = 2


@attrs.frozen
class Instant:
    """One moment on both clocks a core may use.

    ``monotonic_s`` (seconds, never goes back) measures timeouts; ``wall_ms`` (milliseconds since 1970) feeds the hybrid
    clock and so expiry.
    """

    monotonic_s: float
    wall_ms: int
