"""A partition as it stood at one moment, read in pages while it changes: the source's side of a transfer.

What: ``Snapshot`` keeps the keys of that moment, live ones in the order of their arrival, then tombstones, and the
ghosts; ``page`` returns the records that are still there, as they are now.

Invariants: everything that was there at the moment and still is, is in exactly one page, and of what was evicted or
reaped early meanwhile the ghost is, after the last key. A cursor returned once stays good, so that a lost page can be
asked for again. What came later is not in it: whoever is being filled takes new writes
itself. A page holds ``limit_bytes`` at most, or a single record.

Why keys and not records: a copy of the records would keep in memory what has been overwritten or evicted since.
"""

import struct
from collections.abc import Callable

import attrs

from dynacache.storage.ghost_shard import Ghost
from dynacache.storage.tables import Table
from dynacache.versioning.packed import strip_local

__all__ = ["PACKED_GHOST_BYTES", "Snapshot", "pack_ghosts", "unpack_ghosts"]

_GHOST = struct.Struct(">QQQI")
PACKED_GHOST_BYTES = _GHOST.size
"""Bytes of one ghost on the wire: fingerprint, hybrid time, contribution, second."""

_PAIR_BYTES = 10
"""What a key and a record cost in a message beside their bytes."""


def pack_ghosts(ghosts: list[Ghost]) -> bytes:
    """Return ghosts as they travel."""
    return b"".join([_GHOST.pack(*ghost) for ghost in ghosts])


def unpack_ghosts(content: bytes) -> list[Ghost]:
    """Return the ghosts of a page. Raises ValueError unless ``content`` is a whole number of them."""
    if type(content) is not bytes or len(content) % PACKED_GHOST_BYTES:
        raise ValueError(f"ghosts: got {content!r:.60}, expected bytes in multiples of {PACKED_GHOST_BYTES}")
    return list(_GHOST.iter_unpack(content))


@attrs.define(eq=False)
class Snapshot:
    """One partition. A cursor counts keys first, then ghosts; the first page's is 0."""

    live: Table[bytes]
    tombstones: Table[bytes]
    keys: list[bytes]
    kept_ghosts: list[Ghost]
    ghosts_now: Callable[[], list[Ghost]]
    _has_followed: bool = False

    @classmethod
    def of(
        cls, live: Table[bytes], tombstones: Table[bytes], ghosts_now: Callable[[], list[Ghost]] = list
    ) -> "Snapshot":
        """Return a view of two tables and of ghosts as they are now."""
        return cls(live, tombstones, [*live.entries, *tombstones.entries], ghosts_now(), ghosts_now)

    def page(self, cursor: int, limit_bytes: int) -> tuple[list[bytes], bytes, int | None]:
        """Return ([key, record, key, record, ...], packed ghosts, cursor of the next page or None after the last).

        Raises ValueError for a cursor that no page returned.
        """
        keys = self.keys
        if not 0 <= cursor <= len(keys) + len(self.kept_ghosts):
            raise ValueError(f"cursor: got {cursor}, expected 0 to {len(keys) + len(self.kept_ghosts)}")
        live, tombstones = self.live.entries, self.tombstones.entries
        records: list[bytes] = []
        taken_bytes = 0
        for place in range(cursor, len(keys)):
            key = keys[place]
            record = live.get(key) or tombstones.get(key)
            if record is None:
                continue
            taken_bytes += len(key) + len(record) + _PAIR_BYTES
            if taken_bytes > limit_bytes and records:
                return records, b"", place
            records += key, strip_local(record)
        if not self._has_followed:
            self._has_followed = True
            known = set(self.kept_ghosts)
            self.kept_ghosts += [ghost for ghost in self.ghosts_now() if ghost not in known]
        first = max(0, cursor - len(keys))
        count = max(0 if records else 1, (limit_bytes - taken_bytes) // PACKED_GHOST_BYTES)
        ghosts = self.kept_ghosts[first : first + count]
        end = len(keys) + first + len(ghosts)
        return records, pack_ghosts(ghosts), None if end == len(keys) + len(self.kept_ghosts) else end
