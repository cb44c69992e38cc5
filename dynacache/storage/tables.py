"""Dictionaries that know their own size, and one of them for every partition.

What: ``Table`` is a plain ``dict`` with three numbers beside it: how many more insertions it takes before it grows,
how many dead slots it carries, and what it occupies. ``TableSet`` is one table a shard, a shard being a
partition, and the list of shards that hold anything.

Invariants: ``size_bytes`` is exact at all times. Dead slots stay below ``HOLES_FREE`` plus an eighth of the entries (as
many as there are entries, after ``remove_many``), so that the first entry is found at once and a table that is written
and deleted from for ever stays dense; a table in which a fifth of the slots are dead does not grow. Order in a table is
the order of arrival; ``rotate`` makes an entry the latest.

Why: a dictionary of ``bytes`` is invisible to the garbage collector, and many small ones grow and shrink in
microseconds where one large one stalls (DESIGN section 4). CPython never shrinks a dictionary and never reuses the
slot of a deleted entry until it is rebuilt, and skips such slots one by one to find the first entry; copying it in
good time costs some 0.2 microseconds a deletion.
"""

from collections.abc import Iterable
from typing import Generic, TypeVar

import attrs

from dynacache.storage.accounting import capacity, dictionary_bytes, grown_dictionary_bytes, object_bytes

__all__ = ["HOLES_FREE", "TABLE_BYTES", "Table", "TableSet"]

HOLES_FREE = 32
"""Dead slots that are never worth a rebuild."""

TABLE_BYTES = 144
"""What a table costs beside its dictionary: the object, its numbers, a place in a list or two."""

_WORTH = 4
"""A dictionary without a free slot is rebuilt instead of growing if it has a dead slot for so many entries."""

_V = TypeVar("_V")


@attrs.define(eq=False, weakref_slot=False)
class Table(Generic[_V]):
    """One dictionary. Read ``entries`` directly; change it only through the methods."""

    entries: dict[bytes, _V] = attrs.field(factory=dict)
    room: int = 0
    holes: int = 0
    size_bytes: int = 0

    def __attrs_post_init__(self) -> None:
        self.size_bytes = dictionary_bytes(self.entries)

    def insert(self, key: bytes, value: _V) -> int:
        """Add a key that is not there; return by how many bytes the dictionary grew."""
        growth = 0
        if not self.room:
            if self.holes * _WORTH <= len(self.entries):
                return self._grow(key, value)
            growth = self.rebuild()
            if not self.room:
                return growth + self._grow(key, value)
        self.entries[key] = value
        self.room -= 1
        return growth

    def remove(self, key: bytes) -> int:
        """Delete a key that is there; return by how many bytes the dictionary grew (never above 0)."""
        entries = self.entries
        del entries[key]
        self.holes = holes = self.holes + 1
        if holes > HOLES_FREE + (len(entries) >> 3) or not entries:
            return self.rebuild()
        return 0

    def rotate(self, key: bytes) -> int:
        """Make ``key``, the object given, the latest entry; return by how many bytes the dictionary grew."""
        entries = self.entries
        value = entries.pop(key)
        self.holes = holes = self.holes + 1
        growth = 0
        if not self.room or holes > HOLES_FREE + (len(entries) >> 3):
            growth = self.rebuild()
        return growth + self.insert(key, value)

    def next_growth_bytes(self) -> int:
        """Return by how many bytes the next insertion will grow the dictionary; some more in rare cases."""
        if self.room or self.holes * _WORTH > len(self.entries):
            return 0
        return grown_dictionary_bytes(len(self.entries)) - self.size_bytes

    def _grow(self, key: bytes, value: _V) -> int:
        """Add a key for which the dictionary has no slot left, so that it rebuilds itself."""
        self.entries[key] = value
        self.holes = 0
        return self._measure()

    def rebuild(self) -> int:
        """Copy the dictionary without its dead slots; return by how many bytes it grew."""
        self.entries = dict(self.entries)
        self.holes = 0
        return self._measure()

    def _measure(self) -> int:
        before = self.size_bytes
        self.size_bytes = size = dictionary_bytes(self.entries)
        self.room = max(0, capacity(size) - len(self.entries))
        return size - before


_VACANT: Table[bytes] = Table()
"""What stands for the table of a shard that is not used; nothing is ever put into it."""


@attrs.define(eq=False)
class TableSet:
    """One table of records for every shard; ``occupied`` lists, in no order, the shards that are not empty."""

    tables: list[Table[bytes]] = attrs.field(factory=list)
    occupied: list[int] = attrs.field(factory=list)
    count: int = 0
    size_bytes: int = 0
    """What the dictionaries occupy, without keys and records."""

    _places: list[int] = attrs.field(factory=list)

    def extend(self, shards: int) -> None:
        """Add ``shards`` empty tables."""
        self.skip(len(self.tables) + shards)
        self.fill(len(self.tables) - shards, len(self.tables))

    def skip(self, end: int) -> None:
        """Let there be shards up to ``end``, as yet without tables."""
        more = end - len(self.tables)
        if more > 0:
            self.tables.extend([_VACANT] * more)
            self._places.extend([-1] * more)

    def fill(self, first: int, end: int) -> None:
        """Give tables to shards that were skipped."""
        added: list[Table[bytes]] = [Table() for _ in range(first, end)]
        self.tables[first:end] = added
        self.size_bytes += sum(table.size_bytes for table in added)

    def insert(self, shard: int, key: bytes, record: bytes) -> int:
        """Add a key that is not there; return by how many bytes its dictionary grew."""
        table = self.tables[shard]
        if not table.entries:
            self._places[shard] = len(self.occupied)
            self.occupied.append(shard)
        self.count += 1
        growth = table.insert(key, record)
        if growth:
            self.size_bytes += growth
        return growth

    def remove(self, shard: int, key: bytes) -> int:
        """Delete a key that is there; return by how many bytes its dictionary grew (never above 0)."""
        table = self.tables[shard]
        growth = table.remove(key)
        self.count -= 1
        if not table.entries:
            self._vacate(shard)
        if growth:
            self.size_bytes += growth
        return growth

    def remove_many(self, shards: Iterable[int], keys: Iterable[bytes]) -> int:
        """Delete keys that are there; return by how many bytes their dictionaries grew (never above 0).

        A table is rebuilt only when more than half of its slots are dead, when a dictionary of half the size will do.
        """
        tables, removed, growth = self.tables, 0, 0
        for shard, key in zip(shards, keys, strict=True):
            table = tables[shard]
            entries = table.entries
            del entries[key]
            table.holes = holes = table.holes + 1
            removed += 1
            left = len(entries)
            if holes > HOLES_FREE + left or not left:
                growth += table.rebuild()
                if not left:
                    self._vacate(shard)
        self.count -= removed
        self.size_bytes += growth
        return growth

    def rotate(self, shard: int, key: bytes) -> int:
        """Make ``key``, the object given, the latest of its shard; return by how many bytes its dictionary grew."""
        growth = self.tables[shard].rotate(key)
        if growth:
            self.size_bytes += growth
        return growth

    def contents_bytes(self) -> int:
        """Return what keys, records and dictionaries occupy, by visiting every one."""
        total = 0
        for table in self.tables:
            if table is _VACANT:
                continue
            total += dictionary_bytes(table.entries)
            total += sum(object_bytes(len(key)) + object_bytes(len(record)) for key, record in table.entries.items())
        return total

    def _vacate(self, shard: int) -> None:
        place, last = self._places[shard], self.occupied.pop()
        if last != shard:
            self.occupied[place] = last
            self._places[last] = place
        self._places[shard] = -1
