"""The answerer's decision about the leaves of one partition: what to send, what to ask for, what to remember.

What: ``Listing`` holds the asker's entries against ours, key by key, and gathers what the answer says; ``Budget``
bounds the records in one answer.

Invariant: what is young or about to go is left alone and its leaf named as one to come back to; a leaf whose records
did not all fit is named as cut short. Of someone who is no owner we take what we lack and nothing else happens.

Why ghosts are dropped and taken here at once and the asker does the same on its side: neither needs the other to have
done it, so a lost answer leaves a difference that the next exchange finds, never a wrong ghost.
"""

import attrs
from pyroaring import BitMap

from dynacache.repair import differences
from dynacache.repair.differences import (
    BOTH,
    DROP_OURS,
    DROP_THEIRS,
    LEAVE,
    SEND,
    TELL,
    WANT,
    WITNESS,
    Entry,
    pack_entries,
)
from dynacache.repair.exchange_ground import ExchangeGround
from dynacache.repair.exchange_nodes import pack_numbers
from dynacache.repair.exchange_repair import LARGE_RECORD_BYTES
from dynacache.repair.exchange_store import TOMBSTONE
from dynacache.versioning import packed

__all__ = ["Budget", "Listing"]


@attrs.define(eq=False)
class Budget:
    """How many bytes of records an answer may still hold."""

    left_bytes: int
    is_first: bool = True
    is_closed: bool = False

    def admits(self, size_bytes: int) -> bool:
        """Take a record in, or refuse it: the first one fits if anything does, a large one only alone."""
        if self.is_closed:
            return False
        large = size_bytes > LARGE_RECORD_BYTES
        if not self.is_first and (large or size_bytes > self.left_bytes):
            return False
        self.is_first, self.is_closed = False, large
        self.left_bytes -= size_bytes
        return True


@attrs.define(eq=False)
class Listing:
    """What is decided about the leaves of one partition: what to answer with, and what to do here."""

    ground: ExchangeGround
    partition: int
    level: int
    they_own: bool
    records: list[bytes] = attrs.field(factory=list)
    wanted: list[int] = attrs.field(factory=list)
    tell: list[Entry] = attrs.field(factory=list)
    witness: list[Entry] = attrs.field(factory=list)
    drop_theirs: list[int] = attrs.field(factory=list)
    drop_ours: list[int] = attrs.field(factory=list)
    later: set[int] = attrs.field(factory=set)
    more: set[int] = attrs.field(factory=set)

    def fields(self) -> list[object]:
        """Return what travels."""
        return [
            self.partition,
            self.records,
            pack_numbers("Q", self.wanted),
            pack_entries(self.tell),
            pack_numbers("Q", self.drop_theirs),
        ]

    def decide(self, leaves: list[int], theirs: list[Entry], they_admit: bool, budget: Budget) -> int:
        """Decide about every key of some leaves, and do our part; return how many things changed here."""
        ground = self.ground
        engine, port = ground.engine, ground.port
        partition, level = self.partition, self.level
        asked = BitMap(leaves)
        listed = engine.leaf_entries(partition, level, asked, port.now_ms)
        ground.counters.entries_listed += len(listed)
        ours = {each[1]: Entry.of(each) for each in listed}
        keys = {each[1]: each[6] for each in listed}
        soon_s = (port.now_ms + ground.settings.young_ms) // 1000
        given = {entry.fingerprint: entry for entry in theirs}
        young_ms = port.now_ms - ground.settings.young_ms
        we_admit = engine.admits()
        for fingerprint in sorted(ours.keys() | given.keys()):
            mine, other = ours.get(fingerprint), given.get(fingerprint)
            leaf = fingerprint >> 64 - level
            if leaf not in asked:
                raise ValueError("entries: got an entry of a leaf that was not listed")
            action = differences.decide(mine, other, we_admit, they_admit)
            if action == LEAVE:
                continue
            ground.counters.differences += 1
            sides = [entry for entry in (mine, other) if entry is not None]
            if any(entry.time_ms > young_ms or 0 < entry.expire_s <= soon_s for entry in sides):
                self.later.add(ground.forest.node(partition, level, leaf))
            elif not self.they_own:
                self._receive_only(action, fingerprint, other)
            elif not self._act(action, mine, other, keys.get(fingerprint), budget):
                self.more.add(ground.forest.node(partition, level, leaf))
        return self._remember()

    def _act(
        self,
        action: int,
        mine: Entry | None,
        other: Entry | None,
        key: bytes | None,
        budget: Budget,
    ) -> bool:
        """Note one action in the answer; False if the answer has no room for its record."""
        if action in (SEND, BOTH):
            assert key is not None
            record = self.ground.engine.peek(self.partition, key)
            if record is None:
                return False
            if not budget.admits(len(key) + len(record)):
                return False
            self.records += (key, packed.strip_local(record))
            self.ground.counters.records_sent += 1
        if action in (WANT, BOTH):
            assert other is not None
            self.wanted.append(other.fingerprint)
        elif action == TELL:
            assert mine is not None
            self.tell.append(mine)
        elif action == WITNESS:
            assert other is not None
            self.witness.append(other)
        elif action == DROP_THEIRS:
            assert other is not None
            self.drop_theirs.append(other.fingerprint)
        elif action == DROP_OURS:
            assert mine is not None
            self.drop_ours.append(mine.fingerprint)
        return True

    def _receive_only(self, action: int, fingerprint: int, other: Entry | None) -> None:
        """What someone brings who is no owner: take what is wanted, keep what we have."""
        if action in (WANT, BOTH):
            self.wanted.append(fingerprint)
        elif action == WITNESS and other is not None and other.kind <= TOMBSTONE:
            self.witness.append(other)

    def _remember(self) -> int:
        """Carry out what concerns our own ghosts."""
        ground = self.ground
        if self.witness:
            ground.engine.witness_many(self.partition, [entry.ghost for entry in self.witness])
        for fingerprint in self.drop_ours:
            ground.engine.drop_ghost(self.partition, fingerprint)
        ground.counters.witnessed += len(self.witness)
        ground.counters.ghosts_dropped += len(self.drop_ours)
        return len(self.witness) + len(self.drop_ours)
