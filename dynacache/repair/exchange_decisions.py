"""The asker's part: what to do about each entry in which the two sides differ, and doing our share of it.

What: ``Decisions`` takes both sides' entries of some leaves, decides about every key (``differences``), and gathers
what goes to the peer: records it lacks, keys of records we lack, ghosts to remember, ghosts to forget. What concerns
our own ghosts it does at once.

Invariant: what is young or about to go on either side is left alone and its leaf is not finished. To a peer that owns
the partition while we do not, we only bring, what is ours and settled here; nothing changes here, and what is written
there meanwhile holds nothing up.

Why ghosts here and there need not change together: a lost message leaves a difference that the next exchange finds.
"""

from collections import deque

import attrs

from dynacache.errors import DynacacheError
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
    decide,
    has_room,
    pack_entries,
)
from dynacache.repair.exchange_nodes import PREFIX_BITS, pack_numbers
from dynacache.repair.exchange_session import Session
from dynacache.versioning import packed

__all__ = ["Decisions", "Side"]

Side = dict[int, tuple[Entry, bytes | None]]
"""By fingerprint: what one side has, and the key of what it holds."""


@attrs.define(eq=False)
class Decisions:
    """What follows from one comparison. ``later`` gathers the leaves that are not finished."""

    session: Session
    their_room: object
    """As ``differences.has_room`` takes it."""
    later: set[int]
    records: deque[tuple[int, bytes, bytes]] = attrs.field(factory=deque)
    """(leaf, key, record) to send."""

    wanted: deque[bytes] = attrs.field(factory=deque)
    """Keys of records to ask for."""

    _returned: set[bytes] = attrs.field(factory=set)
    """Keys whose third version was sent back: once, or two sides that cannot agree would go on for ever."""

    _levels: dict[int, int] = attrs.field(factory=dict)
    _tell: dict[int, list[Entry]] = attrs.field(factory=dict)
    _drop_theirs: dict[int, list[int]] = attrs.field(factory=dict)

    def decide(self, partition: int, level: int, mine: Side, theirs: Side) -> None:
        """Decide about the entries of one partition that are not the same on both sides."""
        session = self.session
        ground = session.ground
        now_ms, our_room = ground.port.now_ms, ground.engine.room()
        young_ms = now_ms - ground.settings.young_ms
        soon_s = (now_ms + ground.settings.young_ms) // 1000
        self._levels[partition] = level
        witness: list[Entry] = []
        drop_ours: list[int] = []
        for fingerprint in sorted(mine.keys() | theirs.keys()):
            our, our_key = mine.get(fingerprint, (None, None))
            their, their_key = theirs.get(fingerprint, (None, None))
            key = our_key or their_key
            action = decide(our, their, has_room(our_room, key), has_room(self.their_room, key))
            if action == LEAVE:
                continue
            ground.counters.differences += 1
            leaf = ground.forest.node(partition, level, fingerprint >> 64 - level)
            sides = [entry for entry in (our, their) if entry is not None]
            if session.one_way:
                # What clients overwrite over there all the time is always young there, and nothing to wait for: ours
                # is brought once, also where theirs is younger, since it may be concurrent, and is done with.
                sides = [our] if our is not None else []
                action = SEND if action in (WANT, BOTH) and our_key is not None else action
            if any(entry.time_ms > young_ms or 0 < entry.expire_s <= soon_s for entry in sides):
                self.later.add(leaf)
            elif action in (SEND, BOTH):
                self._send(partition, leaf, our_key)
            elif action == TELL and our is not None:
                self._tell.setdefault(partition, []).append(our)
            elif session.one_way:
                continue
            elif action == WANT and their_key is not None:
                self.wanted.append(their_key)
            elif action == WITNESS and their is not None:
                witness.append(their)
            elif action == DROP_THEIRS:
                self._drop_theirs.setdefault(partition, []).append(fingerprint)
            elif action == DROP_OURS:
                drop_ours.append(fingerprint)
        session.result.gained += ground.remember(partition, witness, drop_ours)

    def orders(self) -> list[list[object]]:
        """Return, once, what the peer shall remember and forget: [[partition, entries, fingerprints], ...]."""
        partitions = sorted(self._tell.keys() | self._drop_theirs.keys())
        found: list[list[object]] = [
            [
                partition,
                pack_entries(self._tell.get(partition, ())),
                pack_numbers("Q", self._drop_theirs.get(partition, ())),
            ]
            for partition in partitions
        ]
        self._tell.clear()
        self._drop_theirs.clear()
        return found

    def take(self, payload: object) -> None:
        """Merge records that the peer sent; what became of one is sent back if it is a third version. Who hands over
        has done its part when an owner has merged what it brought, whatever became of it there."""
        if not isinstance(payload, list) or len(payload) & 1:
            raise ValueError(f"records: got {payload!r:.80}, expected keys and records in turn")
        if self.session.one_way:
            return
        ground, result = self.session.ground, self.session.result
        for place in range(0, len(payload), 2):
            key, record = payload[place], payload[place + 1]
            try:
                _, _, back = ground.take(key, record)
            except DynacacheError:
                ground.counters.refused += 1
                result.refused += 1
                if type(key) is bytes:
                    self.later.add(self.leaf(key))
                continue
            result.gained += 1
            if back is not None and key not in self._returned:
                self._returned.add(key)
                self.records.append((self.leaf(key), key, back))
            elif back is not None:
                self.later.add(self.leaf(key))

    def leaf(self, key: bytes) -> int:
        """Return the leaf of a key, at the level at which its partition was listed."""
        forest = self.session.ground.forest
        id_ = forest.id_of(key)
        return forest.leaf_of_id(id_, self._levels.get(id_ >> PREFIX_BITS, 0))

    def _send(self, partition: int, leaf: int, key: bytes | None) -> None:
        assert key is not None
        record = self.session.ground.engine.peek(partition, key)
        if record is None:
            self.later.add(leaf)  # gone since it was listed
        else:
            self.records.append((leaf, key, packed.strip_local(record)))
