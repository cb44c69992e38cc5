"""From leaves that differ to records that travel, as the asker drives it.

What: tags of what stands in the leaves go to the peer in bounded batches; it answers with its entries that we have not
and says which of ours it has not. We decide (``exchange_decisions``), send records that it lacks and what it shall
remember or forget, and ask for records that we lack; it answers with those.

Invariant: what is young or about to go is left alone, what is refused is not settled. No message is larger than
``MESSAGE_LIMIT_BYTES`` unless one record is; a record above ``LARGE_RECORD_BYTES`` travels alone. Each side merges and
nothing else, so a repeated, late or lost batch does no harm.

Why leaves of few partitions at a time: listing leaves is one pass over their partition's keys, half a millisecond for a
thousand of them, and no turn of the node may take more than a few (brief R8.6).
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from pyroaring import BitMap

from dynacache.repair.differences import Entry, unpack_entries
from dynacache.repair.exchange_decisions import Decisions, Side
from dynacache.repair.exchange_nodes import pack_numbers, unpack_numbers
from dynacache.repair.exchange_session import Session
from dynacache.repair.exchange_steps import Ask, Pause, Steps
from dynacache.repair.exchange_store import Listed
from dynacache.repair.exchange_tags import tags_of
from dynacache.wire.messages import ENTRIES, GROUP_LIMIT_KEYS, RECORDS, WHOLE_GROUP

__all__ = [
    "LARGE_RECORD_BYTES",
    "LEAVES_LIMIT",
    "MESSAGE_LIMIT_BYTES",
    "ROUNDS_LIMIT",
    "SCAN_LIMIT",
    "WANTED_LIMIT",
    "repair_leaves",
    "take_batch",
]

LEAVES_LIMIT = 256
"""Leaves listed in one message."""

SCAN_LIMIT = 4
"""Partitions listed in one message."""

MESSAGE_LIMIT_BYTES = 1024 * 1024
"""Records in one message, unless a single one is larger."""

LARGE_RECORD_BYTES = 256 * 1024
"""A record above this travels alone."""

WANTED_LIMIT = 512
"""Records asked for in one message."""

ROUNDS_LIMIT = 64
"""Times that leaves are listed again in one exchange because their records did not fit one answer."""

_STARVED_PAUSE_S = 0.25

_Part = tuple[int, int, list[int]]
"""Partition, level, leaves."""


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


def take_batch(records: deque[tuple[int, bytes, bytes]], limit_bytes: int) -> list[tuple[int, bytes, bytes]]:
    """Take records off the front: at most ``limit_bytes`` (and ``MESSAGE_LIMIT_BYTES``) of them but at least one, and a
    large one alone."""
    limit_bytes = min(limit_bytes, MESSAGE_LIMIT_BYTES)
    batch: list[tuple[int, bytes, bytes]] = []
    size_bytes = 0
    while records and len(batch) < GROUP_LIMIT_KEYS:
        record_bytes = len(records[0][1]) + len(records[0][2])
        large = record_bytes > LARGE_RECORD_BYTES
        if batch and (large or size_bytes + record_bytes > limit_bytes):
            break
        batch.append(records.popleft())
        size_bytes += record_bytes
        if large:
            break
    return batch


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
    """Compare what stands in some leaves and do what follows."""
    ground = session.ground
    forest, engine, now_ms = ground.forest, ground.engine, ground.port.now_ms
    multiplier = ground.port.random.getrandbits(64) | 1
    questions: list[list[object]] = []
    listings: dict[int, tuple[int, Sequence[Listed]]] = {}
    for partition, level, leaves in parts:
        if level > engine.tree_level(partition) or partition in listings:
            later.update(forest.node(partition, level, leaf) for leaf in leaves)
            continue
        listed = engine.leaf_entries(partition, level, BitMap(leaves), now_ms)
        ground.counters.entries_listed += len(listed)
        listings[partition] = level, listed
        counts = Counter(each[0] for each in listed)
        tags = pack_numbers("I", tags_of(listed, multiplier))
        counted = pack_numbers("I", [counts[leaf] for leaf in leaves])
        questions.append([partition, level, pack_numbers("H", leaves), counted, tags])
    if not questions:
        return
    answer = yield Ask(ENTRIES, (multiplier, questions))
    later.update(unpack_numbers("I", answer[5], LEAVES_LIMIT))
    more.update(unpack_numbers("I", answer[6], LEAVES_LIMIT))
    decisions = Decisions(session, answer[3], later)
    for partition, missing, entries, keys in answer[4]:
        level, listed = listings.pop(partition)
        missing_here = [listed[place] for place in unpack_numbers("I", missing, len(listed))]
        mine: Side = {each[1]: (Entry.of(each), each[6]) for each in missing_here}
        theirs = _side(entries, keys)
        if partition in session.outdated:
            changed = _discard_old(session, partition, mine)
            more.update(forest.node(partition, level, number >> 64 - level) for number in changed)
            theirs = {number: entry for number, entry in theirs.items() if number not in changed}
        decisions.decide(partition, level, mine, theirs)
    yield from _carry_out(session, decisions)


def _discard_old(session: Session, partition: int, mine: Side) -> set[int]:
    """Discard what is too old of our entries that the peer has not. They leave ``mine``, and so do those of which a
    part is left; these are returned."""
    ghosts = {number for number, (entry, key) in mine.items() if key is None and entry.time_ms >= session.keep_from_ms}
    keys = {number: key for number, (_, key) in mine.items() if number not in ghosts}
    kept, changed = session.ground.discard(partition, keys, session.keep_from_ms)
    for number in keys.keys() - kept:
        del mine[number]
    return changed


def _side(packed_entries: object, keys: object) -> Side:
    """Return the peer's entries from its answer."""
    entries = unpack_entries(packed_entries)
    if not isinstance(keys, list) or len(keys) != len(entries):
        raise ValueError(f"differences: got keys {keys!r:.80}, expected one for each of {len(entries)} entries")
    for entry, key in zip(entries, keys, strict=True):
        if (type(key) is bytes) != entry.is_held:
            raise ValueError(f"differences: got {key!r:.80}, expected a key for what is held and nil for a ghost")
    return {entry.fingerprint: (entry, key) for entry, key in zip(entries, keys, strict=True)}


def _carry_out(session: Session, decisions: Decisions) -> Steps[None]:
    """Send what the peer lacks, ask for what we lack, until nothing of either is left."""
    ground = session.ground
    orders = decisions.orders()
    while orders or decisions.records or decisions.wanted:
        batch = take_batch(decisions.records, ground.pace.bytes_per_s)
        wanted = list(islice(decisions.wanted, WANTED_LIMIT))
        ground.counters.records_sent += len(batch)
        payload = [field for _, key, record in batch for field in (key, record)]
        answer = yield Ask(RECORDS, (payload, wanted, orders))
        orders = []
        refused = {position for position, _ in answer[3] or ()}
        if WHOLE_GROUP in refused:
            refused = set(range(len(batch)))
        decisions.later.update(leaf for position, (leaf, _, _) in enumerate(batch) if position in refused)
        session.result.refused += len(refused)
        session.result.gained += len(batch) - len(refused)
        served = answer[5]
        if type(served) is not int or not 0 <= served <= len(wanted) or (wanted and not batch and not served):
            raise ValueError(f"records: got {served!r:.40} served, expected 1 to {len(wanted)}")
        for _ in range(served):
            decisions.wanted.popleft()
        decisions.take(answer[4])
