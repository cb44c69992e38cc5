"""What every node of the cluster knows: settings of namespaces, epochs of invalidations. One small replicated map.

What: ``Catalogue`` maps a name to (stamp, value), stamp a hybrid timestamp. A larger (stamp, value) replaces a smaller
one. Each change gets the next sequence number of this process, and ``after`` gives what changed since one, so that a
peer pulls only what it lacks. The first byte of a name says what it is: ``N`` settings of the namespace that follows,
``E`` an epoch (``storage.epochs``).

Invariant: merging commutes, associates and is idempotent, so nodes that have seen the same changes hold the same map,
in whatever order they came. ``digest`` is the same on two nodes exactly when their maps are (64 bits, an XOR over the
entries, kept as entries come and go). Every entry of the map has one place in the journal, later ones later.

Why a map of its own and not keys in the store: it must be whole on every node, also those that own nothing, it must
never be evicted, and reads ask it for every key. It is small: ``ENTRIES_LIMIT`` names, of which this node adds none
beyond; what peers hold is taken up to twice that, so that nodes that reached the limit apart can still agree.
"""

from bisect import bisect_right
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

import attrs

from dynacache.errors import InvalidRequest, Overloaded

__all__ = ["ENTRIES_LIMIT", "NAME_LIMIT_BYTES", "VALUE_LIMIT_BYTES", "Catalogue", "Entry", "check_entry"]

ENTRIES_LIMIT: Final = 300_000
"""Names; one more is refused."""
NAME_LIMIT_BYTES: Final = 2_048
VALUE_LIMIT_BYTES: Final = 4_096

Entry = tuple[bytes, int, bytes]
"""Name, stamp (a hybrid timestamp), value."""

_HOLES_SHARE = 2
"""The journal is written anew when it is longer than this many times what it holds."""
_STAMP_LIMIT = 1 << 64


def check_entry(name: object, stamp: object, value: object) -> None:
    """Raise ``InvalidRequest`` for what no catalogue may hold."""
    if type(name) is not bytes or not 0 < len(name) <= NAME_LIMIT_BYTES:
        raise InvalidRequest(f"catalogue name: got {name!r:.80}, expected 1 to {NAME_LIMIT_BYTES} bytes")
    if type(stamp) is not int or not 0 < stamp < _STAMP_LIMIT:
        raise InvalidRequest(f"catalogue stamp: got {stamp!r:.80}, expected a hybrid timestamp")
    if type(value) is not bytes or len(value) > VALUE_LIMIT_BYTES:
        raise InvalidRequest(f"catalogue value: got {value!r:.80}, expected at most {VALUE_LIMIT_BYTES} bytes")


@attrs.define(eq=False)
class Catalogue:
    """The map and its journal.

    ``listeners`` are called with each entry that was taken, whoever made it. ``accepts`` are asked before: an entry
    that one of them answers False to is left out for good (its time is over, something else covers it).
    """

    entries: dict[bytes, tuple[int, bytes]] = attrs.field(factory=dict)
    sequence: int = 0
    """Number of the newest change; 0 while there was none."""
    digest: int = 0
    listeners: list[Callable[[bytes, int, bytes], None]] = attrs.field(factory=list)
    dropped: list[Callable[[bytes], None]] = attrs.field(factory=list)
    """Called with each name that was dropped here."""
    accepts: list[Callable[[bytes, int, bytes], bool]] = attrs.field(factory=list)
    _changed_at: dict[bytes, int] = attrs.field(factory=dict)
    _journal: list[tuple[int, bytes]] = attrs.field(factory=list)

    def get(self, name: bytes) -> tuple[int, bytes] | None:
        """Return (stamp, value), None for a name that nobody has set."""
        return self.entries.get(name)

    def require_room(self, count: int) -> None:
        """Raise ``Overloaded`` when ``count`` names more would pass the limit."""
        if len(self.entries) + count > ENTRIES_LIMIT:
            raise Overloaded(f"the catalogue holds {len(self.entries)} names, and its limit is {ENTRIES_LIMIT}")

    def merge(self, name: bytes, stamp: int, value: bytes) -> bool:
        """Take an entry if it is larger than what is held; True if it was taken. Raises ``Overloaded``."""
        known = self.entries.get(name)
        if known is not None and known >= (stamp, value):
            return False
        for accepts in self.accepts:
            if not accepts(name, stamp, value):
                return False
        if known is None and len(self.entries) >= 2 * ENTRIES_LIMIT:
            raise Overloaded(f"the catalogue holds {len(self.entries)} names, twice its limit")
        if known is not None:
            self.digest ^= _digest(name, *known)
        self.digest ^= _digest(name, stamp, value)
        self.entries[name] = (stamp, value)
        self.sequence = sequence = self.sequence + 1
        self._changed_at[name] = sequence
        self._journal.append((sequence, name))
        if len(self._journal) > _HOLES_SHARE * len(self.entries) + 64:
            self._compact()
        for listener in self.listeners:
            listener(name, stamp, value)
        return True

    def drop(self, name: bytes) -> None:
        """Forget a name here. Nothing is told to anybody: each node finds by itself when a name's time is over."""
        known = self.entries.pop(name, None)
        if known is not None:
            self.digest ^= _digest(name, *known)
            del self._changed_at[name]
            for listener in self.dropped:
                listener(name)

    def after(self, sequence: int, limit_bytes: int) -> tuple[int, list[Entry]]:
        """Return entries that changed after ``sequence``, in the order of their last change, and up to which number
        that is all: the newest, or earlier when ``limit_bytes`` are full. At least one is returned if there is any."""
        found: list[Entry] = []
        size_bytes = 0
        journal, changed_at, entries = self._journal, self._changed_at, self.entries
        for position in range(bisect_right(journal, sequence, key=lambda change: change[0]), len(journal)):
            number, name = journal[position]
            if changed_at.get(name) != number:
                continue
            if found and size_bytes >= limit_bytes:
                return number - 1, found
            stamp, value = entries[name]
            found.append((name, stamp, value))
            size_bytes += len(name) + len(value) + 16
        return self.sequence, found

    def _compact(self) -> None:
        changed_at = self._changed_at
        self._journal = [change for change in self._journal if changed_at.get(change[1]) == change[0]]


def _digest(name: bytes, stamp: int, value: bytes) -> int:
    content = b"%d:%b%d:%b" % (len(name), name, stamp, value)
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big")
