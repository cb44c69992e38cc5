"""What to do about one key that two owners hold differently: a table, and the entries that travel.

What: an ``Entry`` is what one side has of a key: kind, version hash, time, when it goes by itself. ``decide`` says what
is to be done, in the words of the side that decides, which is the asker (``exchange_decisions``): *ours* is its own.

Invariant: a decision never moves a value to a node that has no room for what it was not asked for. A value never falls
to the ghost of another value; to that of a younger tombstone it does, for every owner has held that one. After it was
carried out on both sides either both contribute the same to their trees, or a second visit decides ``LEAVE``.
Tombstones always travel.

Why ghosts take part: trees describe the versions *witnessed*. A ghost against nothing is dropped, a resident value
against nothing at a full node is witnessed there, so that eviction alone never makes traffic; a value older than what
the other side has evicted is not sent, since the other side would refuse it as superseded (DESIGN section 8).

Which of two records travels: the newer one. The side that takes it answers with the merged record if that is a third
one, so a plain missed update costs one record and concurrent writes cost two.
"""

import struct
from collections.abc import Iterable

import attrs

from dynacache.repair.exchange_store import GHOST, REAPED, RESIDENT, TOMBSTONE, Ghost, Listed

__all__ = [
    "BOTH",
    "DROP_OURS",
    "DROP_THEIRS",
    "ENTRY_BYTES",
    "LEAVE",
    "SEND",
    "TELL",
    "WANT",
    "WITNESS",
    "Entry",
    "decide",
    "has_room",
    "pack_entries",
    "unpack_entries",
]

LEAVE, SEND, WANT, BOTH, TELL, WITNESS, DROP_OURS, DROP_THEIRS = range(8)
"""Nothing to do; our record to them; their record to us; both; they remember ours as a ghost; we theirs; we forget our
ghost; they theirs."""

_ENTRY = struct.Struct(">QQQIB")

ENTRY_BYTES = _ENTRY.size
"""Fingerprint, version hash, time in milliseconds, second at which it goes, kind."""


@attrs.frozen
class Entry:
    """What one side has of one key."""

    fingerprint: int
    version_hash: int
    time_ms: int
    expire_s: int
    kind: int

    @property
    def is_held(self) -> bool:
        """Whether there is a record to send."""
        return self.kind <= TOMBSTONE

    @property
    def ghost(self) -> Ghost:
        """The entry as the other side would remember it."""
        deleted = self.kind in (TOMBSTONE, REAPED)
        return self.fingerprint, self.version_hash, self.time_ms << 16, self.expire_s, deleted

    @classmethod
    def of(cls, listed: Listed) -> "Entry":
        """Return a listed entry without its place."""
        return cls(listed[1], listed[2], listed[4], listed[5] // 1000, listed[3])


def pack_entries(entries: Iterable[Entry]) -> bytes:
    """Return entries as they travel."""
    pack = _ENTRY.pack
    return b"".join(pack(e.fingerprint, e.version_hash, e.time_ms, e.expire_s, e.kind) for e in entries)


def unpack_entries(packed: object) -> list[Entry]:
    """Return entries from a message; raises ValueError for anything that ``pack_entries`` never made."""
    if type(packed) is not bytes or len(packed) % ENTRY_BYTES:
        raise ValueError(f"entries: got {packed!r:.80}, expected bytes in steps of {ENTRY_BYTES}")
    entries = [Entry(*fields) for fields in _ENTRY.iter_unpack(packed)]
    if any(entry.kind > REAPED for entry in entries):
        raise ValueError("entries: got a kind that does not exist")
    return entries


def decide(ours: Entry | None, theirs: Entry | None, we_admit: bool, they_admit: bool) -> int:
    """Return what to do about a key of which at least one side has something.

    ``we_admit`` and ``they_admit`` say who has room for values that nobody asked for.
    """
    if ours is None:
        assert theirs is not None
        return _of_one(theirs, we_admit, WANT, WITNESS, DROP_THEIRS)
    if theirs is None:
        return _of_one(ours, they_admit, SEND, TELL, DROP_OURS)
    if ours.version_hash == theirs.version_hash:
        return LEAVE
    if ours.is_held and theirs.is_held:
        if ours.time_ms == theirs.time_ms:
            return BOTH
        return SEND if ours.time_ms > theirs.time_ms else WANT
    if ours.is_held:
        return _against_ghost(ours, theirs, they_admit, SEND, TELL, WITNESS)
    if theirs.is_held:
        return _against_ghost(theirs, ours, we_admit, WANT, WITNESS, TELL)
    if ours.time_ms == theirs.time_ms:
        return LEAVE  # a store keeps the ghost it has unless another's version is newer
    return TELL if ours.time_ms > theirs.time_ms else WITNESS


def has_room(room: object, key: bytes | None) -> bool:
    """Return whether a side has room for a key: ``room`` is True, False, or the prefixes of keys that it has none for,
    as it comes in a message."""
    if isinstance(room, list):
        return key is None or not any(type(prefix) is bytes and key.startswith(prefix) for prefix in room)
    return room is True


def _of_one(entry: Entry, admitted: bool, travel: int, witness: int, drop: int) -> int:
    """Return what to do about what only one side has."""
    if entry.kind == TOMBSTONE:
        return travel
    if entry.kind == RESIDENT:
        return travel if admitted else witness
    assert entry.kind in (GHOST, REAPED)
    return drop


def _against_ghost(held: Entry, ghost: Entry, admitted: bool, travel: int, witness: int, bury: int) -> int:
    """Return what to do about a record on one side and the ghost of another version on the other."""
    if held.time_ms >= ghost.time_ms:
        return travel if admitted or held.kind == TOMBSTONE else witness
    return bury if held.kind == RESIDENT and ghost.kind == REAPED else LEAVE
