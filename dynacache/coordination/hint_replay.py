"""Hinted handoff: bring hints to their owners when they are back, and offer old ones before they end.

What: ``HintReplay.tick`` sends each reachable target one batch at a time, no faster than its rate; an acknowledged
hint is removed if it is still the record that was sent. A hint that has lived its time is offered to the live owners
of its partition; ``hand_over`` does both at once when the node stops.

Invariant: a hint is removed after an acknowledgement of its target, or after its last offer; a counted one whose offer
reached fewer than a write quorum is counted as lost and noted, never dropped silently.

Why slowly and after a pause: a storm of hints knocks a recovering node over again, and a flapping one would receive
the same hints many times (brief R5.5).
"""

from collections.abc import Sequence

import attrs

from dynacache.config.hints import HintConfig
from dynacache.coordination.ports import HintsToReplay, KeptHint
from dynacache.coordination.read_repair import RepairGroup
from dynacache.coordination.shared import Shared
from dynacache.coordination.tally import required_answers
from dynacache.coordination.timeline import timeout_class_ms
from dynacache.errors import DynacacheError
from dynacache.events import ConnectionId, Message
from dynacache.types import Level, NodeId
from dynacache.versioning import packed
from dynacache.wire.messages import WHOLE_GROUP, WRITE

__all__ = ["HintReplay"]

_OFFERS_PER_TICK = 100
_TICK_S = 0.1


@attrs.define(eq=False)
class _Delivery:
    """One batch on its way to its target."""

    replay: "HintReplay"
    target: NodeId
    connection: ConnectionId
    hints: list[tuple[bytes, bytes]]

    def replied(self, connection: ConnectionId, message: Message) -> bool:
        """Remove what was taken."""
        exceptions = message[3] if len(message) > 3 else None
        refused = {each[0] for each in exceptions} if exceptions else set()
        self.replay.delivered(self, refused)
        return True

    def lost(self, connection: ConnectionId) -> bool:
        """The link ended; the hints stay."""
        if connection != self.connection:
            return False
        self.replay.ended(self)
        return True

    def slow(self) -> None:
        """Replay is patient."""

    def overdue(self) -> None:
        """No acknowledgement in time; the hints stay."""
        self.replay.ended(self)

    def refused(self, connection: ConnectionId) -> bool:
        """The tables differ; the next tick tries again."""
        self.replay.ended(self)
        return False


@attrs.define(eq=False)
class _LastOffer:
    """A hint at its end, offered to the live owners."""

    shared: Shared
    target: NodeId
    counted: bool

    def repaired(self, reached: bool) -> None:
        """Count a loss if too few owners hold the record."""
        if not reached and self.counted:
            self.shared.counters.hints_lost += 1
            self.shared.note("hint.lost", "warning", target=self.target)


@attrs.define(eq=False)
class HintReplay:
    """Drives the replay of a hint store."""

    shared: Shared
    settings: HintConfig
    hints: HintsToReplay
    next_tick_s: float = 0.0
    _busy: dict[NodeId, _Delivery] = attrs.field(factory=dict)
    _not_before_s: dict[NodeId, float] = attrs.field(factory=dict)

    def tick(self) -> None:
        """Send what may be sent now."""
        shared = self.shared
        if shared.now_s < self.next_tick_s:
            return
        self.next_tick_s = shared.now_s + _TICK_S
        for target in self.hints.targets():
            link = shared.links.link(target)
            settled = shared.now_s - link.connected_at_s >= self.settings.settle_s
            if link.usable() and settled and self._not_before_s.get(target, 0.0) <= shared.now_s:
                self._deliver(target)
        self._offer(self.hints.expired(shared.now_ms, _OFFERS_PER_TICK))

    def hand_over(self) -> bool:
        """Stopping: deliver without pause and offer the rest; True when nothing is left to do."""
        shared = self.shared
        for target in self.hints.targets():
            if shared.links.usable(target):
                self._deliver(target)
            else:
                self._offer([(target, key, hint) for key, hint in self.hints.batch(target, 1_000, 4 << 20)])
        return not self._busy and not self.hints.targets()

    def give_up(self) -> None:
        """The time to stop has come: what was not handed over ends with this process, counted and told."""
        left = [
            hint.counted for target in self.hints.targets() for _, hint in self.hints.batch(target, 1 << 30, 1 << 62)
        ]
        if left:
            self.shared.counters.hints_lost += sum(left)
            self.shared.note("hints.left", "warning", hints=len(left), counted=sum(left))

    def delivered(self, delivery: _Delivery, refused: set[int]) -> None:
        """Remove acknowledged hints and keep to the rate."""
        size_bytes = 0
        for position, (key, record) in enumerate(delivery.hints):
            size_bytes += len(record)
            if position not in refused and WHOLE_GROUP not in refused:
                self.shared.counters.hints_delivered += 1
                self.hints.delivered(delivery.target, key, record)
        pause_s = size_bytes / self.settings.replay_bytes_per_s
        self._not_before_s[delivery.target] = self.shared.now_s + (1.0 if refused else pause_s)
        self.ended(delivery)

    def ended(self, delivery: _Delivery) -> None:
        """Let the target have its next batch."""
        self._busy.pop(delivery.target, None)

    def _deliver(self, target: NodeId) -> None:
        if target in self._busy:
            return
        shared = self.shared
        batch = self.hints.batch(target, self.settings.replay_batch_count, 256 * 1024)
        link = shared.links.link(target)
        connection = link.bulk_connection or link.connection
        delivery = _Delivery(self, target, connection, [(key, hint.record) for key, hint in batch])
        self._busy[target] = delivery
        timeout_ms = timeout_class_ms(shared.settings.write_timeout_ms)
        request_id = shared.new_request(delivery, timeout_ms, timeout_ms)
        payload = [part for key, hint in batch for part in (key, packed.strip_local(hint.record))]
        message = (WRITE, request_id, shared.clock.last, shared.digest, timeout_ms, None, payload)
        shared.effects.send(connection, message)

    def _offer(self, hints: Sequence[tuple[NodeId, bytes, KeptHint]]) -> None:
        """Offer hints to the live owners of their partitions, and end them."""
        shared = self.shared
        for target, key, hint in hints:
            self.hints.remove(target, key)
            route = shared.routes.route(hint.partition)
            record = packed.strip_local(hint.record)
            if route.is_owner:
                self._merge_own(hint.partition, key, record)
            needed = required_answers(Level.QUORUM, len(route.owners)) - int(route.is_owner)
            group = RepairGroup(
                shared,
                hint.partition,
                key,
                record,
                list(route.others),
                shared.settings.write_timeout_ms,
                _LastOffer(shared, target, hint.counted),
                needed,
            )
            group.start()

    def _merge_own(self, partition: int, key: bytes, record: bytes) -> None:
        """Take a hint into this node's own copy; one that has no room for it is left to repair."""
        shared = self.shared
        try:
            fresh = shared.not_superseded(partition, key, record)
            if fresh is not None:
                shared.store.merge(partition, key, fresh, shared.now_ms)
        except DynacacheError:
            shared.store.dirty.add(partition)
