"""The answering side of an exchange: compare digests, say what to do about entries, merge records.

What: handlers of COMPARE, ENTRIES and RECORDS. They keep nothing between two messages but what every view of a peer
keeps anyway, so a session that breaks off leaves nothing behind.

Invariant: only partitions that both own are compared, and only copies that may meet: none that is warming, a stale one
only with a stale asker or as the one that asks. Someone who is no owner any more may push what it has, and gets
nothing. An answer holds at most ``MESSAGE_LIMIT_BYTES`` of records unless one alone is larger, and waits while this
node's rate is used up; each asker has at most one question on the way, so few answers wait.

Why the answerer decides: it sees both sides' entries at one instant, its own clock being the later one.
"""

from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Any

import attrs
from pyroaring import BitMap

from dynacache.errors import DynacacheError
from dynacache.events import ConnectionId, Message
from dynacache.repair.copy_state import unpack_partitions, unpack_state
from dynacache.repair.differences import Entry, unpack_entries
from dynacache.repair.exchange_ground import ExchangeGround, size_of
from dynacache.repair.exchange_listing import Budget, Listing
from dynacache.repair.exchange_nodes import PREFIX_BITS, TOP, pack_numbers, unpack_numbers
from dynacache.repair.exchange_peer import PeerView
from dynacache.repair.exchange_repair import LEAVES_LIMIT, MESSAGE_LIMIT_BYTES, SCAN_LIMIT
from dynacache.repair.exchange_session import DIRECT_LIMIT, NODES_LIMIT, NOT_NOW, OTHER_SET, WAS_COMPARED
from dynacache.repair.ports import Handler
from dynacache.types import NodeId
from dynacache.wire.messages import COMPARE, COMPARED, DIFFERENCES, ENTRIES, GROUP_LIMIT_KEYS, RECORDS, WRITE_ACK

__all__ = ["ExchangeAnswers"]

_Body = tuple[bytes, bytes, list[list[int]], bytes | None]
"""Positions that differ, their digests, levels of less deep trees, changed leaves."""

_NOTHING: _Body = (b"", b"", [], None)


@attrs.define(eq=False)
class ExchangeAnswers:
    """Answers peers' exchanges. ``asked`` is called with the view of a peer that has begun one."""

    ground: ExchangeGround
    waiting: deque[tuple[ConnectionId, Message]] = attrs.field(factory=deque)
    """Answers that wait for the rate."""

    @property
    def handlers(self) -> Mapping[int, Handler]:
        """The kinds answered here."""
        return {COMPARE: self.compare, ENTRIES: self.entries, RECORDS: self.records}

    # COMPARE

    def compare(self, connection: ConnectionId, node_id: NodeId, message: Message) -> None:
        """Say which of the asker's digests are not ours."""
        ground = self.ground
        engine, forest = ground.engine, ground.forest
        _, request_id, clock, _, state, excluded, packed_nodes, packed_digests = message[:8]
        nodes = list(unpack_numbers("I", packed_nodes, NODES_LIMIT))
        digests = unpack_numbers("Q", packed_digests, NODES_LIMIT)
        if len(nodes) != len(digests) or not all(map(forest.is_node, nodes)):
            raise ValueError("compare: nodes and digests do not fit each other")
        view = ground.peers.get(node_id) or PeerView(node_id, forest)
        ground.absorb()
        view.note_state(*unpack_state(state, forest.partition_count))
        left_out = unpack_partitions(excluded, forest.partition_count)
        if nodes[:1] == [TOP]:
            self._begun(view)
        outcome, body = WAS_COMPARED, _NOTHING
        if not engine.sweep(ground.port.now_ms):
            outcome = NOT_NOW
        elif not self._comparable(view, nodes, left_out):
            outcome = OTHER_SET
        else:
            body = self._compared(view, nodes, digests, clock >> 16)
        answer = (COMPARED, request_id, ground.port.hybrid, ground.state_for(view), outcome, *body)
        self._reply(connection, message, answer)

    def _compared(self, view: PeerView, nodes: list[int], digests: Any, at_ms: int) -> _Body:
        ground = self.ground
        forest, engine = ground.forest, ground.engine
        comparable = view.shared - ground.excluded(view)
        deeper: dict[int, int] = {}
        for node in nodes:
            level = forest.level(node)
            if level > 0 and level > (own := engine.tree_level(forest.partition(node))):
                deeper[forest.partition(node)] = own
        places = [
            place
            for place, node in enumerate(nodes)
            if forest.level(node) <= 0 or forest.level(node) <= deeper.get(forest.partition(node), PREFIX_BITS)
        ]
        ours = ground.digests([nodes[place] for place in places], comparable)
        unequal = [(place, our) for place, our in zip(places, ours, strict=True) if our != digests[place]]
        differing = {place for place, _ in unequal}
        equal = [nodes[place] for place in places if place not in differing]
        view.clear(equal, comparable, asked=False)
        self._agreed(view, equal, comparable, at_ms)
        dirty = None
        if nodes == [TOP] and unequal:
            leaves = list(islice(forest.leaves(view.dirty, comparable, engine.tree_level), DIRECT_LIMIT + 1))
            dirty = pack_numbers("I", leaves) if len(leaves) <= DIRECT_LIMIT else None
        return (
            pack_numbers("H", [place for place, _ in unequal]),
            pack_numbers("Q", [our for _, our in unequal]),
            [[partition, level] for partition, level in deeper.items()],
            dirty,
        )

    def _agreed(self, view: PeerView, nodes: list[int], comparable: BitMap, at_ms: int) -> None:
        """Take note of partitions found equal; two stale copies that are equal are stale no longer."""
        ground = self.ground
        forest, engine = ground.forest, ground.engine
        for node in nodes:
            level = forest.level(node)
            if level > 0:
                continue
            first, end = forest.partitions(node)
            agreed = comparable & BitMap(range(first, end)) if level else comparable & BitMap([first])
            ground.sync.synced_all(agreed, at_ms)
            ground.visited(agreed)
            if not level and first in engine.stale and first in view.stale:
                engine.stale.discard(first)
                ground.sync.synced(first, at_ms)

    def _comparable(self, view: PeerView, nodes: list[int], left_out: BitMap) -> bool:
        """Tell whether the asker and we mean the same partitions and may compare them."""
        ground = self.ground
        forest = ground.forest
        for node in nodes:
            if forest.level(node) >= 0:
                if not self._may_meet(view, forest.partition(node)):
                    return False
            elif left_out != ground.excluded(view) or not view.shared:
                return False
        return True

    def _may_meet(self, view: PeerView, partition: int) -> bool:
        """Tell whether our copy of a partition may be compared with the asker's, or is being handed over to us."""
        ground = self.ground
        engine = ground.engine
        if partition not in view.shared:
            return partition in ground.owned
        if partition in engine.warming or partition in view.warming:
            return False
        return partition not in engine.stale or partition in view.stale

    def _begun(self, view: PeerView) -> None:
        """The peer has asked, so it is not our turn before the next interval; the peers take turns."""
        ground = self.ground
        ground.counters.answered += 1
        if not view.requested and not view.walk:
            jitter = 0.9 + 0.2 * ground.port.random.random()
            view.due_s = ground.port.now_s + ground.settings.exchange_interval_s * jitter * 2**view.refusals

    # ENTRIES

    def entries(self, connection: ConnectionId, node_id: NodeId, message: Message) -> None:
        """Say what to do about the entries of some leaves, and do our part of it."""
        ground = self.ground
        _, request_id, _, _, they_admit, questions = message[:6]
        if not isinstance(questions, list) or len(questions) > SCAN_LIMIT or type(they_admit) is not bool:
            raise ValueError(f"entries: got {questions!r:.80}, expected at most {SCAN_LIMIT} partitions")
        view = ground.peers.get(node_id) or PeerView(node_id, ground.forest)
        listings: list[tuple[Listing, list[int], list[Entry]]] = []
        leaves_count = 0
        for partition, level, packed_leaves, packed_entries in questions:
            leaves = list(unpack_numbers("H", packed_leaves, LEAVES_LIMIT))
            leaves_count += len(leaves)
            self._check_place(partition, level, leaves)
            listing = Listing(ground, partition, level, partition in view.shared)
            listings.append((listing, leaves, unpack_entries(packed_entries)))
        if leaves_count > LEAVES_LIMIT:
            raise ValueError(f"entries: got {leaves_count} leaves, expected at most {LEAVES_LIMIT}")
        budget = Budget(min(MESSAGE_LIMIT_BYTES, ground.pace.bytes_per_s))
        gained = 0
        for listing, leaves, theirs in listings:
            if self._may_meet(view, listing.partition) and listing.level <= ground.engine.tree_level(listing.partition):
                gained += listing.decide(leaves, theirs, they_admit, budget)
            else:
                listing.later.update(ground.forest.node(listing.partition, listing.level, leaf) for leaf in leaves)
        later = sorted({node for listing, _, _ in listings for node in listing.later})
        more = sorted({node for listing, _, _ in listings for node in listing.more})
        answer = (
            DIFFERENCES,
            request_id,
            ground.port.hybrid,
            [listing.fields() for listing, _, _ in listings],
            pack_numbers("I", later),
            pack_numbers("I", more),
            gained,
        )
        self._reply(connection, message, answer)

    def _check_place(self, partition: object, level: object, leaves: list[int]) -> None:
        count = self.ground.forest.partition_count
        if type(partition) is not int or not 0 <= partition < count:
            raise ValueError(f"entries: got partition {partition!r:.40}, expected a number below {count}")
        if type(level) is not int or not 0 <= level <= PREFIX_BITS or any(leaf >> level for leaf in leaves):
            raise ValueError(f"entries: got level {level!r:.40}, expected 0 to {PREFIX_BITS} and leaves that fit it")

    # RECORDS

    def records(self, connection: ConnectionId, node_id: NodeId, message: Message) -> None:
        """Merge records; give back what became a third version."""
        ground = self.ground
        _, request_id, _, _, payload = message[:5]
        if not isinstance(payload, list) or len(payload) & 1 or len(payload) > 2 * GROUP_LIMIT_KEYS:
            raise ValueError(f"records: got {payload!r:.80}, expected keys and records in turn")
        budget = Budget(MESSAGE_LIMIT_BYTES)
        exceptions: list[list[int]] = []
        given_back: list[bytes] = []
        for place in range(0, len(payload), 2):
            try:
                _, key, back = ground.take(payload[place], payload[place + 1])
            except DynacacheError as error:
                ground.counters.refused += 1
                exceptions.append([place >> 1, error.code])
                continue
            if back is not None and budget.admits(len(key) + len(back)):
                given_back += (key, back)
                ground.counters.records_sent += 1
        answer = (WRITE_ACK, request_id, ground.port.hybrid, exceptions or None, given_back)
        self._reply(connection, message, answer)

    # Sending

    def tick(self) -> None:
        """Send answers that have waited for the rate."""
        ground = self.ground
        while self.waiting and ground.pace.room_bytes(ground.port.now_s):
            self._send(*self.waiting.popleft())

    def next_due_s(self) -> float:
        """Return when the next waiting answer may go, infinity if none waits."""
        return self.ground.pace.ready_s(self.ground.port.now_s, 0.0) if self.waiting else float("inf")

    def _reply(self, connection: ConnectionId, question: Message, answer: Message) -> None:
        ground = self.ground
        received = size_of(question)
        ground.counters.bytes_received += received
        ground.pace.moved(received, ground.port.now_s)
        if self.waiting or not ground.pace.room_bytes(ground.port.now_s):
            self.waiting.append((connection, answer))
        else:
            self._send(connection, answer)

    def _send(self, connection: ConnectionId, answer: Message) -> None:
        ground = self.ground
        sent = size_of(answer)
        ground.counters.bytes_sent += sent
        ground.pace.moved(sent, ground.port.now_s)
        ground.port.reply(connection, answer)
