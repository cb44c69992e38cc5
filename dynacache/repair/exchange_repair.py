"""From leaves that differ to records that travel, as the asker drives it.

What: what stands in the leaves goes to the peer in bounded batches; it answers with records we lack, records it wants,
what we shall remember and which ghosts we shall forget (``differences`` decides); wanted records follow.

Invariant: what is young or about to go is left alone, what is refused is not settled. No message is larger than
``MESSAGE_LIMIT_BYTES`` unless one record is; a record above ``LARGE_RECORD_BYTES`` travels alone. Each side merges and
nothing else, so a repeated, late or lost batch does no harm.

Why leaves of few partitions at a time: listing leaves is one pass over their partition's keys, half a millisecond for a
thousand of them, and no turn of the node may take more than a few (brief R8.6).
"""

from collections.abc import Iterable, Iterator

import attrs
from pyroaring import BitMap

from dynacache.errors import DynacacheError
from dynacache.placement.partitions import key_hash
from dynacache.repair.differences import Entry, pack_entries, unpack_entries
from dynacache.repair.exchange_nodes import PREFIX_BITS, pack_numbers, unpack_numbers
from dynacache.repair.exchange_session import Session
from dynacache.repair.exchange_steps import Ask, Pause, Steps
from dynacache.versioning import packed
from dynacache.wire.messages import ENTRIES, GROUP_LIMIT_KEYS, RECORDS, WHOLE_GROUP

__all__ = [
    "LARGE_RECORD_BYTES",
    "LEAVES_LIMIT",
    "MESSAGE_LIMIT_BYTES",
    "ROUNDS_LIMIT",
    "SCAN_LIMIT",
    "WANTED_LIMIT",
    "batches",
    "repair_leaves",
]

LEAVES_LIMIT = 256
"""Leaves listed in one message."""

SCAN_LIMIT = 4
"""Partitions listed in one message."""

MESSAGE_LIMIT_BYTES = 1024 * 1024
"""Records in one message, unless a single one is larger."""

LARGE_RECORD_BYTES = 256 * 1024
"""A record above this travels alone."""

WANTED_LIMIT = 1 << 17
"""Fingerprints that one answer may name."""

ROUNDS_LIMIT = 64
"""Times that leaves are listed again in one exchange because their records did not fit one answer."""

_STARVED_PAUSE_S = 0.25

_Part = tuple[int, int, list[int]]
"""Partition, level, leaves."""

_Records = list[tuple[int, bytes, bytes]]
"""(leaf's node, key, record) of each."""


def repair_leaves(session: Session, nodes: list[int]) -> Steps[set[int]]:
    """Repair leaves; return those of them that are not finished: young, refused, or in want of room."""
    later: set[int] = set()
    todo = nodes
    for _ in range(ROUNDS_LIMIT):
        more: set[int] = set()
        gained = session.result.gained
        for parts in _chunks(session, todo):
            yield from _repair_parts(session, parts, later, more)
        todo = sorted(more - later)
        if not todo:
            return later
        if session.result.gained == gained:
            yield Pause(_STARVED_PAUSE_S)
    later.update(todo)
    session.result.more = True
    return later


def batches(records: _Records, limit_bytes: int = MESSAGE_LIMIT_BYTES) -> Iterator[_Records]:
    """Yield records in batches of at most ``limit_bytes`` (and ``MESSAGE_LIMIT_BYTES``), large ones alone."""
    limit_bytes = min(limit_bytes, MESSAGE_LIMIT_BYTES)
    batch: _Records = []
    size_bytes = 0
    for each in records:
        record_bytes = len(each[1]) + len(each[2])
        is_full = len(batch) >= GROUP_LIMIT_KEYS or size_bytes + record_bytes > limit_bytes
        if batch and (is_full or record_bytes > LARGE_RECORD_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(each)
        size_bytes += record_bytes
        if record_bytes > LARGE_RECORD_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def _chunks(session: Session, nodes: Iterable[int]) -> Iterator[list[_Part]]:
    """Group leaves by partition, and partitions into messages; what a node was told to visit first goes first."""
    forest, dirty = session.ground.forest, session.ground.engine.dirty
    leaves: dict[tuple[bool, int, int], list[int]] = {}
    for node in nodes:
        partition, level, leaf = forest.locate(node)
        leaves.setdefault((partition not in dirty, partition, level), []).append(leaf)
    chunk: list[_Part] = []
    count = 0
    for (_, partition, level), group in sorted(leaves.items()):
        for place in range(0, len(group), LEAVES_LIMIT):
            part = group[place : place + LEAVES_LIMIT]
            if chunk and (len(chunk) >= SCAN_LIMIT or count + len(part) > LEAVES_LIMIT):
                yield chunk
                chunk, count = [], 0
            chunk.append((partition, level, part))
            count += len(part)
    if chunk:
        yield chunk


def _repair_parts(session: Session, parts: list[_Part], later: set[int], more: set[int]) -> Steps[None]:
    """List some leaves to the peer and do what it answers."""
    ground = session.ground
    forest, engine, now_ms = ground.forest, ground.engine, ground.port.now_ms
    questions: list[list[object]] = []
    keys: dict[int, dict[int, bytes]] = {}
    levels: dict[int, int] = {}
    for partition, level, leaves in parts:
        if level > engine.tree_level(partition):
            later.update(forest.node(partition, level, leaf) for leaf in leaves)
            continue
        listed = engine.leaf_entries(partition, level, BitMap(leaves), now_ms)
        keys.setdefault(partition, {}).update({each[1]: each[6] for each in listed if each[6] is not None})
        levels[partition] = level
        entries = pack_entries(Entry.of(each) for each in listed)
        ground.counters.entries_listed += len(listed)
        questions.append([partition, level, pack_numbers("H", leaves), entries])
    if not questions:
        return
    answer = yield Ask(ENTRIES, (engine.admits(), questions))
    later.update(unpack_numbers("I", answer[4], LEAVES_LIMIT))
    more.update(unpack_numbers("I", answer[5], LEAVES_LIMIT))
    session.result.gained += _count(answer[6])
    outgoing = _Applied(session, levels, later)
    for partition, records, wanted, ghosts, drops in answer[3]:
        if partition not in levels:
            raise ValueError(f"differences: got partition {partition!r:.40}, which was not listed")
        outgoing.take_records(records)
        outgoing.take_ghosts(partition, ghosts, drops)
        outgoing.look_up(partition, keys[partition], wanted)
    for batch in batches(outgoing.records, ground.pace.bytes_per_s):
        yield from _push(session, batch, outgoing)


def _push(session: Session, batch: _Records, applied: "_Applied") -> Steps[None]:
    """Send records, and take back what they became where that is a third version."""
    payload = [field for _, key, record in batch for field in (key, record)]
    session.ground.counters.records_sent += len(batch)
    answer = yield Ask(RECORDS, (payload,))
    refused = {position for position, _ in answer[3] or ()}
    if WHOLE_GROUP in refused:
        refused = set(range(len(batch)))
    for position, (node, _, _) in enumerate(batch):
        if position in refused:
            applied.later.add(node)
    session.result.refused += len(refused)
    session.result.gained += len(batch) - len(refused)
    if len(answer) > 4:
        applied.take_records(answer[4], give_back=False)


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"count: got {value!r:.40}, expected a number")
    return value


@attrs.define(eq=False)
class _Applied:
    """Carries out one answer. ``records`` gathers what we send, ``later`` the leaves that are not finished."""

    session: Session
    levels: dict[int, int]
    later: set[int]
    records: _Records = attrs.field(factory=list)

    def take_records(self, payload: object, *, give_back: bool = True) -> None:
        """Merge records that the peer sent; what became of one is sent back if it is a third version."""
        if not isinstance(payload, list) or len(payload) & 1:
            raise ValueError(f"records: got {payload!r:.80}, expected keys and records in turn")
        ground, result = self.session.ground, self.session.result
        for place in range(0, len(payload), 2):
            key, record = payload[place], payload[place + 1]
            try:
                _, _, back = ground.take(key, record)
            except DynacacheError:
                ground.counters.refused += 1
                result.refused += 1
                if type(key) is bytes:
                    self.later.add(self._node(key))
                continue
            result.gained += 1
            if back is not None and give_back:
                self.records.append((self._node(key), key, back))
            elif back is not None:
                self.later.add(self._node(key))

    def take_ghosts(self, partition: int, ghosts: object, drops: object) -> None:
        """Remember what the peer holds and we have no room for; forget what it has never seen."""
        ground = self.session.ground
        entries = unpack_entries(ghosts)
        dropped = unpack_numbers("Q", drops, WANTED_LIMIT)
        if entries:
            ground.engine.witness_many(partition, [entry.ghost for entry in entries])
        for fingerprint in dropped:
            ground.engine.drop_ghost(partition, fingerprint)
        ground.counters.witnessed += len(entries)
        ground.counters.ghosts_dropped += len(dropped)
        self.session.result.gained += len(entries) + len(dropped)

    def look_up(self, partition: int, keys: dict[int, bytes], wanted: object) -> None:
        """Gather the records that the peer wants. One that has gone meanwhile is for the next exchange."""
        ground = self.session.ground
        for fingerprint in unpack_numbers("Q", wanted, WANTED_LIMIT):
            key = keys[fingerprint]
            record = ground.engine.peek(partition, key)
            node = self._node(key)
            if record is None:
                self.later.add(node)
            else:
                self.records.append((node, key, packed.strip_local(record)))

    def _node(self, key: bytes) -> int:
        """Return the leaf of a key, at the level at which its partition was listed."""
        forest = self.session.ground.forest
        id_ = forest.id_of(key_hash(key))
        return forest.leaf_of_id(id_, self.levels.get(id_ >> PREFIX_BITS, 0))
