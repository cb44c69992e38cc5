"""Questions to one peer, collected over a turn and asked in one message.

What: a ``ReadBatch`` holds what one ``READ`` message asks: plain items (tuples, the hot path: this node holds a copy
and one more answer makes the quorum) and ``ReadOperation`` objects (everything else). Each key travels with the version
held here; a peer that holds the same version answers one byte, and only a difference carries a record.

Invariant: every item is answered exactly once: by the reply, by the link's end, or by the deadline. A plain item whose
answer is anything but "the same" becomes an operation that knows both answers.

Why compare versions and not values: equal versions mean equal values, and a version is 44 bytes for a key that one
actor wrote. It replaces the hash of a digest read by the thing itself, and the second round trip by sending the record
at once (brief R5.7).
"""

from typing import Any

import attrs

from dynacache.coordination.read_operation import ReadOperation
from dynacache.coordination.routes import Target
from dynacache.coordination.shared import Shared
from dynacache.coordination.timeline import timeout_class_ms
from dynacache.events import ConnectionId, Message
from dynacache.types import Level
from dynacache.versioning import packed
from dynacache.wire.messages import GROUP_LIMIT_KEYS, MISS, PAYLOAD_FLAGS, READ, VALUE

__all__ = ["HEDGES_LIMIT", "Asker", "FastItem", "ReadBatch"]

FastItem = tuple[ConnectionId, int, bytes, bytes | None, int, int, int, int]
"""(client connection, rid, key, record held here, offset of its payload, partition, level, timeout in ms)."""

HEDGES_LIMIT = 100.0
"""Hedged reads that a node may save up."""

_RESEND_LIMIT = 3


@attrs.define(eq=False)
class ReadBatch:
    """One ``READ`` under way to one peer."""

    shared: Shared
    asker: "Asker"
    target: Target
    timeout_ms: int
    items: list[FastItem | ReadOperation] = attrs.field(factory=list)
    payload: list[bytes | None] = attrs.field(factory=list)
    request_id: int = 0
    _sent_at_s: float = 0.0
    _slow_calls: int = 0
    _resends: int = 0
    _digest: int = 0
    _held: list[Any] = attrs.field(factory=list)

    def start(self) -> None:
        """Send the question."""
        shared = self.shared
        self._sent_at_s = shared.now_s
        link = shared.links.link(self.target.node_id)
        hedge_ms = timeout_class_ms(max(shared.settings.hedge_floor_ms, int(link.latency_ms * 4)))
        self.request_id = shared.new_request(
            self, timeout_class_ms(self.timeout_ms), min(hedge_ms, shared.settings.replica_timeout_ms)
        )
        self._send()

    def replied(self, connection: ConnectionId, message: Message) -> bool:
        """Take the peer's answers, one per item in order."""
        answers = message[3]
        items, self.items = self.items, []
        if type(answers) is not list or len(answers) != len(items):
            self.shared.counters.malformed_messages += 1
            self._unanswered(items)
            return True
        link = self.shared.links.by_connection.get(connection)
        if link is not None:
            self.shared.links.succeeded(link, (self.shared.now_s - self._sent_at_s) * 1000)
        if len(message) > 4 and self.shared.catalogue_port.is_behind(self.target.node_id, message[4]):
            items, answers = self._hold(items, answers, message[4])
        self._take(items, answers)
        return not self.items

    def caught_up(self, reached: bool) -> None:
        """Conclude the items whose answers had to wait for what the peer knew of invalidations."""
        held, self.items = self.items, []
        answers, self._held = self._held, []
        self.shared.pending.pop(self.request_id, None)
        if not held:
            return
        # What this node's own copy has of the key may be invalid by now, or another one: it answers afresh, and "the
        # same" still means what the peer was asked about.
        for position, item in enumerate(held):
            if answers[position] is True and not isinstance(item, ReadOperation) and item[3] is not None:
                answers[position] = packed.strip_local(item[3])
        operations: list[FastItem | ReadOperation] = [self._operation(item, afresh=True) for item in held]
        if reached:
            self._take(operations, answers)
        else:
            self._unanswered(operations)

    def _hold(
        self, items: list[FastItem | ReadOperation], answers: list[Any], sequence: int
    ) -> tuple[list[FastItem | ReadOperation], list[Any]]:
        """Keep back what is asked for above level one until this node knows of every invalidation that the peer knew
        of; return the rest."""
        waits = [(item.level if isinstance(item, ReadOperation) else item[6]) > Level.ONE for item in items]
        if any(waits):
            self.items = [item for item, held in zip(items, waits, strict=True) if held]
            self._held = [answer for answer, held in zip(answers, waits, strict=True) if held]
            self.shared.counters.reads_held += len(self.items)
            self.shared.catalogue_port.wait(self.target.node_id, sequence, self)
        return (
            [item for item, held in zip(items, waits, strict=True) if not held],
            [answer for answer, held in zip(answers, waits, strict=True) if not held],
        )

    def lost(self, connection: ConnectionId) -> bool:
        """The link ended: every item asks someone else."""
        if connection != self.target.connection:
            return False
        items, self.items = self.items, []
        self._unanswered(items)
        return True

    def slow(self) -> None:
        """The peer is silent: ask another for as many items as the hedging budget allows, later for all."""
        shared = self.shared
        self._slow_calls += 1
        if self._slow_calls == 1 and shared.settings.replica_timeout_ms < self.timeout_ms:
            shared.attention.add(shared.now_s, shared.settings.replica_timeout_ms, self.request_id)
        elif self._slow_calls == 2:
            link = shared.links.by_connection.get(self.target.connection)
            if link is not None:
                shared.links.failed(link, shared.now_s)
        for position, item in enumerate(self.items):
            if self._slow_calls == 1 and not self.asker.may_hedge():
                return
            operation = self._operation(item)
            self.items[position] = operation
            operation.hedge()

    def overdue(self) -> None:
        """The deadline has passed: every item concludes with what it knows."""
        items, self.items = self.items, []
        for item in items:
            self._operation(item).expired(self.target)

    def refused(self, connection: ConnectionId) -> bool:
        """Ask once more after the tables were made equal; if ours has changed, every item begins again."""
        self._resends += 1
        if self._digest != self.shared.digest:
            items, self.items = self.items, []
            for item in items:
                operation = self._operation(item)
                if not operation.restart():
                    operation.unanswered(self.target)
            return False
        if self._resends > _RESEND_LIMIT:
            return False
        self._send()
        return True

    def _send(self) -> None:
        shared = self.shared
        self._digest = shared.digest
        message = (READ, self.request_id, shared.clock.last, shared.digest, self.timeout_ms, self.payload)
        shared.effects.send(self.target.connection, message)

    def _take(self, items: list[FastItem | ReadOperation], answers: list[Any]) -> None:
        shared = self.shared
        sends, counters = shared.effects.sends, shared.counters
        for item, answer in zip(items, answers, strict=True):
            reply: Message
            if isinstance(item, ReadOperation):
                item.answered(self.target, answer)
                continue
            connection, rid, key, record, offset, partition, level, _ = item
            if answer is True and record is not None:
                counters.hits += 1
                reply = (VALUE, rid, record[2] & PAYLOAD_FLAGS, record[offset:])
            elif answer is None and record is None:
                counters.misses += 1
                reason = shared.store.why_gone(partition, key)
                shared.misses.fresh.append((key, shared.now_ms, level, reason, shared.node_id, self.target.node_id))
                reply = (MISS, rid, reason)
            else:
                counters.digest_mismatches += 1
                self._operation(item).answered(self.target, answer)
                continue
            queue = sends.get(connection)
            if queue is None:
                sends[connection] = [reply]
            else:
                queue.append(reply)

    def _unanswered(self, items: list[FastItem | ReadOperation]) -> None:
        for item in items:
            self._operation(item).unanswered(self.target)

    def _operation(self, item: FastItem | ReadOperation, *, afresh: bool = False) -> ReadOperation:
        """Return the item as an operation that has heard this node's own answer (``afresh``: asked once more) and
        waits for the peer's."""
        if isinstance(item, ReadOperation):
            return item
        connection, rid, key, record, _, partition, level, timeout_ms = item
        operation = ReadOperation(
            self.shared,
            self.asker,
            connection,
            rid,
            key,
            partition,
            self.shared.routes.route(partition),
            level,
            self._sent_at_s + timeout_ms / 1000,
        )
        # A batch goes to one machine for many partitions: of this key it is an owner, whatever it is for the others.
        owner = Target(self.target.node_id, self.target.connection, self.target.node_id)
        operation.resume(operation.own_answer() if afresh else record, owner)
        return operation


@attrs.define(eq=False)
class Asker:
    """The batches that this turn fills, and the hedging budget."""

    shared: Shared
    _batches: dict[tuple[ConnectionId, int], ReadBatch] = attrs.field(factory=dict)
    rounds: int = 0
    hedges_left: float = HEDGES_LIMIT

    def ask(self, target: Target, timeout_ms: int, key: bytes, prefix: bytes | None, item: Any) -> None:
        """Add a question for one peer to this turn's batch."""
        batch_key = (target.connection, timeout_ms)
        batch = self._batches.get(batch_key)
        if batch is None:
            batch = self._batches[batch_key] = ReadBatch(self.shared, self, target, timeout_ms)
        batch.items.append(item)
        batch.payload.append(key)
        batch.payload.append(prefix)
        if len(batch.items) >= GROUP_LIMIT_KEYS:
            del self._batches[batch_key]
            batch.start()

    def may_hedge(self) -> bool:
        """Spend one hedged read of the budget, if there is one."""
        if self.hedges_left < 1:
            return False
        self.hedges_left -= 1
        self.shared.counters.hedged_reads += 1
        return True

    def earn(self, reads: int) -> None:
        """Let ``reads`` reads add their share to the hedging budget."""
        self.hedges_left = min(HEDGES_LIMIT, self.hedges_left + reads * self.shared.settings.hedge_budget)

    def flush(self) -> None:
        """Send the batches that this turn filled."""
        if self._batches:
            self.rounds += 1
            batches, self._batches = self._batches, {}
            for batch in batches.values():
                batch.start()
