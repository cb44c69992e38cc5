"""The policies ``ttl`` and ``random``: candidates are drawn, and the record or chance decides.

What: ``Drawn`` keeps no account of use. For everybody, ``random`` takes any of the first ``RANDOM_SPAN`` entries of a
shard drawn; ``ttl`` draws the first entries of ``TTL_DRAW_COUNT`` shards for each victim and keeps of all that it met
the ``TTL_POOL_COUNT`` that expire soonest: the soonest goes, one without an expiry only if all are. For a part of the
keys candidates are the first of a queue.

Invariants: those of ``policy``. What ``ttl`` has looked at goes to the end of its shard or of the queue, so that
everything is looked at in time. What was pooled is held against its record when its turn comes.

Why ``ttl`` by drawing and not by the wheel: its buckets hold the keys of everybody and are seconds to days wide. Why a
pool: an expiry does not change by waiting, so what was looked at for one victim serves for those after it; the victims
are sooner ones than the soonest of sixteen drawn afresh, for a quarter of the looks.
"""

from bisect import insort_right
from itertools import islice
from operator import itemgetter
from random import Random

import attrs

from dynacache.storage.eviction.lines import KeyLine
from dynacache.storage.eviction.policy import Cells, Owner
from dynacache.storage.eviction.recency import any_but, first_owned
from dynacache.storage.tables import TableSet

__all__ = ["RANDOM_SPAN", "TTL_DRAW_COUNT", "TTL_POOL_COUNT", "Drawn"]

TTL_DRAW_COUNT = 4
"""Entries looked at for one victim of ``ttl``, more while the pool is not full."""

TTL_POOL_COUNT = 16
"""Candidates of ``ttl`` kept from one victim to the next."""

RANDOM_SPAN = 1_024
"""Entries of a shard, its first, among which ``random`` chooses: it has to count them off."""

_TRIES_COUNT = 4
_SKIP_COUNT = 8

_EXPIRY = slice(13, 21)
_NEVER = 1 << 64
_expiry_of = itemgetter(0)


@attrs.define(eq=False)
class Drawn(Cells):
    """The policies ``ttl`` (``by_expiry``) and ``random``."""

    live: TableSet
    random: Random
    by_expiry: bool
    whole: bool
    _line: KeyLine = attrs.field(init=False, factory=KeyLine, repr=False)
    _named: tuple[int, bytes] | None = attrs.field(init=False, default=None)

    _pool: list[tuple[int, int, bytes]] = attrs.field(init=False, factory=list, repr=False)
    """(expiry, shard, key) of some that were looked at, soonest first, of equal ones that which was met first."""

    def inserted(self, shard: int, key: bytes, hashed: int, size: int, returned: bool) -> int:
        """Note that an entry was added."""
        self.count += 1
        self.entry_bytes += size
        if self.whole:
            return 0
        growth = self._line.append(shard, key, size)
        self.size_bytes += growth
        return growth

    def removed(self, shard: int, key: bytes, hashed: int, size: int) -> int:
        """Note that an entry is gone."""
        self.count -= 1
        self.entry_bytes -= size
        if self._named is not None and self._named[1] == key:
            self._named = None
        return 0

    def victim(self, spared: bytes | None, owns: Owner | None) -> tuple[int, bytes] | None:
        """Return the one of those drawn that goes; None if there is nothing but ``spared``."""
        if not self.count:
            return None
        if not self.whole:
            found = self._from_line(spared, owns)
        elif self.by_expiry:
            found = self._soonest(spared, owns)
        else:
            found = self._any(spared, owns)
        return any_but(self.live, spared, owns) if found is None else found

    def _any(self, spared: bytes | None, owns: Owner | None) -> tuple[int, bytes] | None:
        """Return an entry by chance."""
        tables, occupied, draw = self.live.tables, self.live.occupied, self.random.random
        for _ in range(_TRIES_COUNT):
            shard = occupied[int(draw() * len(occupied))]
            entries = tables[shard].entries
            key = next(islice(entries, int(draw() * min(RANDOM_SPAN, len(entries))), None))
            if key != spared and (owns is None or owns(shard, key)):
                return shard, key
        return None

    def _soonest(self, spared: bytes | None, owns: Owner | None) -> tuple[int, bytes] | None:
        """Return the one of the pool that expires soonest, having looked at some more."""
        live, pool, draw = self.live, self._pool, self.random.random
        tables, occupied = live.tables, live.occupied
        for _ in range(max(TTL_DRAW_COUNT, TTL_POOL_COUNT - len(pool))):
            shard = occupied[int(draw() * len(occupied))]
            key = first_owned(live, shard, owns)
            if key is None:
                continue
            expiry = int.from_bytes(tables[shard].entries[key][_EXPIRY], "big") or _NEVER
            live.rotate(shard, key)
            if len(pool) < TTL_POOL_COUNT or expiry < pool[-1][0]:
                candidate = expiry, shard, key
                if candidate not in pool:
                    insort_right(pool, candidate, key=_expiry_of)
        del pool[TTL_POOL_COUNT:]
        for place, (expiry, shard, key) in enumerate(pool):
            record = tables[shard].entries.get(key)
            is_there = record is not None and (int.from_bytes(record[_EXPIRY], "big") or _NEVER) == expiry
            if is_there and key != spared and (owns is None or owns(shard, key)):
                del pool[: place + 1]
                return shard, key
        pool.clear()
        return None

    def _from_line(self, spared: bytes | None, owns: Owner | None) -> tuple[int, bytes] | None:
        """Return the one of the first of the queue that goes; the others go to its end."""
        line = self._line
        before = line.size_bytes
        if self._named is not None:
            line.append(*self._named, 0)
            self._named = None
        best: tuple[int, int, bytes] | None = None
        drawn = self._draw(owns)
        for shard, key in drawn:
            record = self.live.tables[shard].entries[key]
            expiry = (int.from_bytes(record[_EXPIRY], "big") or _NEVER) if self.by_expiry else 0
            if key != spared and (best is None or expiry < best[0]):
                best = expiry, shard, key
        for shard, key in drawn:
            if best is None or key != best[2]:
                line.append(shard, key, 0)
        self.size_bytes += line.size_bytes - before
        if best is not None:
            self._named = best[1], best[2]
        return self._named

    def _draw(self, owns: Owner | None) -> list[tuple[int, bytes]]:
        """Take some entries from the queue, no key twice."""
        line, wanted = self._line, TTL_POOL_COUNT if self.by_expiry else 2
        for _ in range(0 if self.by_expiry else int(self.random.random() * min(_SKIP_COUNT, line.count))):
            line.append(*line.take())
        found: dict[bytes, int] = {}
        while len(found) < wanted and (item := line.pop()) is not None:
            if item[1] in self.live.tables[item[0]].entries and (owns is None or owns(item[0], item[1])):
                found[item[1]] = item[0]
        return [(shard, key) for key, shard in found.items()]

    @property
    def places(self) -> int:
        """How many places in the queue there are, those of entries that are gone included."""
        return self._line.count

    def recount_bytes(self) -> int:
        """Return the memory of the one cell and the queue by visiting the queue."""
        return len(self.cells) + self._line.recount_bytes()
