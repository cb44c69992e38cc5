"""The policies ``ttl`` and ``random``: candidates are drawn, and the record or chance decides.

What: ``Drawn`` keeps no account of use. For everybody it draws ``DRAW_COUNT`` shards and takes of each one of its
first entries; for a part of the keys it takes the first of a queue. ``random`` evicts the first of them; ``ttl`` the
one whose expiry comes soonest, one without an expiry only if all are.

Invariants: those of ``policy``. What was drawn and may stay goes to the end of its shard or of the queue, so that
everything is drawn in time.

Why ``ttl`` by drawing and not by the wheel: its buckets hold the keys of everybody and are seconds to days wide; of
sixteen drawn the soonest is, on average, among the soonest 6 %.
"""

from random import Random

import attrs

from dynacache.storage.eviction.lines import KeyLine
from dynacache.storage.eviction.policy import Cells, Owner
from dynacache.storage.eviction.recency import any_but, first_owned
from dynacache.storage.tables import TableSet

__all__ = ["TTL_DRAW_COUNT", "Drawn"]

TTL_DRAW_COUNT = 16
"""Entries looked at for one victim of ``ttl``."""

_EXPIRY = slice(13, 21)
_NEVER = 1 << 64


@attrs.define(eq=False)
class Drawn(Cells):
    """The policies ``ttl`` (``by_expiry``) and ``random``."""

    live: TableSet
    random: Random
    by_expiry: bool
    whole: bool
    _line: KeyLine = attrs.field(init=False, factory=KeyLine, repr=False)
    _named: tuple[int, bytes] | None = attrs.field(init=False, default=None)

    def inserted(self, shard: int, key: bytes, hashed: int, size: int, returned: bool) -> int:
        """Note that an entry was added."""
        self.count += 1
        self.entry_bytes += size
        if self.whole:
            return 0
        before = self._line.size_bytes
        self._line.append(shard, key, size)
        return self._line.size_bytes - before

    def removed(self, shard: int, key: bytes, hashed: int, size: int) -> int:
        """Note that an entry is gone."""
        self._taken(size)
        if self._named is not None and self._named[1] == key:
            self._named = None
        return 0

    def victim(self, spared: bytes | None, owns: Owner | None) -> tuple[int, bytes] | None:
        """Return the one of those drawn that goes; None if there is nothing but ``spared``."""
        if self._named is not None and not self.whole:
            self._line.append(*self._named, 0)
        self._named = None
        drawn = self._draw(owns) if self.count else []
        best: tuple[int, int, bytes] | None = None
        for shard, key in drawn:
            record = self.live.tables[shard].entries[key]
            expiry = (int.from_bytes(record[_EXPIRY], "big") or _NEVER) if self.by_expiry else 0
            if key != spared and (best is None or expiry < best[0]):
                best = expiry, shard, key
        for shard, key in drawn:
            if best is None or key != best[2]:
                if self.whole:
                    self.live.rotate(shard, key)
                else:
                    self._line.append(shard, key, 0)
        if best is None:
            return any_but(self.live, spared, owns) if self.count else None
        self._named = best[1], best[2]
        return self._named

    def _draw(self, owns: Owner | None) -> list[tuple[int, bytes]]:
        """Take some entries, no key twice."""
        wanted = TTL_DRAW_COUNT if self.by_expiry else 2
        found: dict[bytes, int] = {}
        if self.whole:
            occupied, draw = self.live.occupied, self.random.random
            for _ in range(wanted):
                shard = occupied[int(draw() * len(occupied))]
                skipped = int(draw() * min(_SKIP_COUNT, len(self.live.tables[shard].entries)))
                for _ in range(0 if self.by_expiry else skipped):
                    self.live.rotate(shard, next(iter(self.live.tables[shard].entries)))
                key = first_owned(self.live, shard, owns)
                if key is not None:
                    found[key] = shard
        else:
            for _ in range(0 if self.by_expiry else int(self.random.random() * min(_SKIP_COUNT, self._line.count))):
                item = self._line.pop()
                assert item is not None, "no more are skipped than there are"
                self._line.append(*item)
            while len(found) < wanted and (item := self._line.pop()) is not None:
                if item[1] in self.live.tables[item[0]].entries and (owns is None or owns(item[0], item[1])):
                    found[item[1]] = item[0]
        return [(shard, key) for key, shard in found.items()]

    @property
    def places(self) -> int:
        """How many places in the queue there are, those of entries that are gone included."""
        return self._line.count

    @property
    def size_bytes(self) -> int:
        """The memory of the one cell and the queue."""
        return len(self.cells) + self._line.size_bytes

    def recount_bytes(self) -> int:
        """The same, by visiting the queue."""
        return len(self.cells) + self._line.recount_bytes()


_SKIP_COUNT = 8
