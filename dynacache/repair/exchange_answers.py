"""The answering side of an exchange: compare digests, say which entries differ, merge and give records.

What: handlers of COMPARE, ENTRIES and RECORDS. They keep nothing between two messages but what every view of a peer
keeps anyway, so a session that breaks off leaves nothing behind.

Invariant: only partitions that both own are compared, and only copies that may meet: none that is warming, a stale one
only with a stale asker or as the one that asks. Someone who is no owner any more may push what it has, and gets
nothing. An answer holds at most ``MESSAGE_LIMIT_BYTES`` of records unless one alone is larger, and waits while this
node's rate is used up; each asker has at most one question on the way, so few answers wait.

Why nothing is kept: an asker that dies, or a table that changes in between, leaves nothing to clean up.
"""

from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Any

import attrs
from pyroaring import BitMap

from dynacache.errors import DynacacheError
from dynacache.events import ConnectionId, Message
from dynacache.placement.partitions import partition_of_key
from dynacache.repair.copy_state import unpack_partitions, unpack_state
from dynacache.repair.differences import unpack_entries
from dynacache.repair.exchange_ground import ExchangeGround, size_of
from dynacache.repair.exchange_listing import Budget, Listing
from dynacache.repair.exchange_nodes import PREFIX_BITS, TOP, pack_numbers, unpack_numbers
from dynacache.repair.exchange_peer import PeerView
from dynacache.repair.exchange_repair import LEAVES_LIMIT, MESSAGE_LIMIT_BYTES, SCAN_LIMIT, WANTED_LIMIT
from dynacache.repair.exchange_session import DIRECT_LIMIT, NODES_LIMIT, NOT_NOW, OTHER_SET, WAS_COMPARED
from dynacache.repair.ports import Handler
from dynacache.types import NodeId
from dynacache.versioning import packed
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
        view.note_state(*unpack_state(state, ground.port.placement.numbers_end))
        left_out = unpack_partitions(excluded, ground.port.placement.numbers_end)
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
                ground.sync.completed(first, at_ms)

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
        """The peer has asked, so it is not our turn before the next interval; the peers take turns. But a stale copy
        only we can catch up, however often the peer asks."""
        ground = self.ground
        ground.counters.answered += 1
        if not view.requested and not view.walk and ground.engine.stale.isdisjoint(view.shared):
            jitter = 0.9 + 0.2 * ground.port.random.random()
            view.due_s = ground.port.now_s + ground.settings.exchange_interval_s * jitter * 2**view.refusals

    # ENTRIES

    def entries(self, connection: ConnectionId, node_id: NodeId, message: Message) -> None:
        """Say in which entries of some leaves the two sides differ."""
        ground = self.ground
        _, request_id, _, _, multiplier, questions = message[:6]
        if not isinstance(questions, list) or len(questions) > SCAN_LIMIT:
            raise ValueError(f"entries: got {questions!r:.80}, expected at most {SCAN_LIMIT} partitions")
        if type(multiplier) is not int or not multiplier & 1 or not 0 < multiplier < 1 << 64:
            raise ValueError(f"entries: got {multiplier!r:.40}, expected an odd number of 64 bits")
        view = ground.peers.get(node_id) or PeerView(node_id, ground.forest)
        budget = Budget(min(MESSAGE_LIMIT_BYTES, ground.pace.bytes_per_s))
        listings: list[Listing] = []
        later: list[int] = []
        leaves_left = LEAVES_LIMIT
        for partition, level, packed_leaves, packed_counts, packed_tags in questions:
            leaves = list(unpack_numbers("H", packed_leaves, leaves_left))
            leaves_left -= len(leaves)
            counts = unpack_numbers("I", packed_counts, LEAVES_LIMIT)
            tags = unpack_numbers("I", packed_tags, len(packed_tags))
            self._check_place(partition, level, leaves)
            if self._may_meet(view, partition) and level <= ground.engine.tree_level(partition):
                listing = Listing(ground, partition, level)
                listing.compare(leaves, counts, tags, multiplier, budget)
                listings.append(listing)
            else:
                later += [ground.forest.node(partition, level, leaf) for leaf in leaves]
        answer = (
            DIFFERENCES,
            request_id,
            ground.port.hybrid,
            ground.engine.room(),
            [listing.fields() for listing in listings],
            pack_numbers("I", later),
            pack_numbers("I", [node for listing in listings for node in listing.more]),
        )
        self._reply(connection, message, answer)

    def _check_place(self, partition: object, level: object, leaves: list[int]) -> None:
        if type(partition) is not int or not self.ground.port.placement.has(partition):
            raise ValueError(f"entries: got partition {partition!r:.40}, expected one that there is")
        if type(level) is not int or not 0 <= level <= PREFIX_BITS or any(leaf >> level for leaf in leaves):
            raise ValueError(f"entries: got level {level!r:.40}, expected 0 to {PREFIX_BITS} and leaves that fit it")

    # RECORDS

    def records(self, connection: ConnectionId, node_id: NodeId, message: Message) -> None:
        """Merge records, remember and forget ghosts, and give what is wanted and what became a third version."""
        ground = self.ground
        _, request_id, _, _, payload, wanted, orders = message[:7]
        if not isinstance(payload, list) or len(payload) & 1 or len(payload) > 2 * GROUP_LIMIT_KEYS:
            raise ValueError(f"records: got {payload!r:.80}, expected keys and records in turn")
        if not isinstance(wanted, list) or len(wanted) > WANTED_LIMIT or not all(type(key) is bytes for key in wanted):
            raise ValueError(f"records: got {wanted!r:.80}, expected at most {WANTED_LIMIT} keys")
        view = ground.peers.get(node_id) or PeerView(node_id, ground.forest)
        self._obey(view, orders)
        budget = Budget(min(MESSAGE_LIMIT_BYTES, ground.pace.bytes_per_s))
        given: list[bytes] = []
        exceptions = self._merge(view, payload, budget, given)
        served = self._give(view, wanted, budget, given)
        answer = (WRITE_ACK, request_id, ground.port.hybrid, exceptions or None, given, served)
        self._reply(connection, message, answer)

    def _merge(self, view: PeerView, payload: list[object], budget: Budget, given: list[bytes]) -> list[list[int]]:
        """Merge records; return [position, error code] of those refused. What does not fit the answer is found to
        differ by the next exchange; a sender that owns the partition no longer has no use for it."""
        ground = self.ground
        exceptions: list[list[int]] = []
        for place in range(0, len(payload), 2):
            try:
                partition, key, back = ground.take(payload[place], payload[place + 1])
            except DynacacheError as error:
                ground.counters.refused += 1
                exceptions.append([place >> 1, error.code])
                continue
            if back is not None and partition in view.shared and budget.admits(len(key) + len(back)):
                given += (key, back)
                ground.counters.records_sent += 1
        return exceptions

    def _give(self, view: PeerView, wanted: list[bytes], budget: Budget, given: list[bytes]) -> int:
        """Add the records of keys, in order, while there is room; return how many keys were served. One that is gone
        meanwhile, or of a copy that may not be compared any more, is served with nothing."""
        ground = self.ground
        for served, key in enumerate(wanted):
            partition = partition_of_key(key, ground.port.placement.shift)
            record = ground.engine.peek(partition, key)
            if record is None or partition not in view.shared or not self._may_meet(view, partition):
                continue
            if not budget.admits(len(key) + len(record)):
                return served
            given += (key, packed.strip_local(record))
            ground.counters.records_sent += 1
        return len(wanted)

    def _obey(self, view: PeerView, orders: object) -> None:
        """Remember and forget what the asker says."""
        if not isinstance(orders, list) or len(orders) > SCAN_LIMIT:
            raise ValueError(f"records: got {orders!r:.80}, expected at most {SCAN_LIMIT} partitions")
        read = [
            (partition, unpack_entries(ghosts), unpack_numbers("Q", drops, len(drops)))
            for partition, ghosts, drops in orders
        ]
        for partition, entries, dropped in read:
            self._check_place(partition, 0, [])
            if self._may_meet(view, partition):
                self.ground.remember(partition, entries, dropped if partition in view.shared else [])

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
