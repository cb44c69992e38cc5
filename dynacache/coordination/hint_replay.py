"""Hinted handoff: bring hints to their owners when they are back, and to all owners before they end.

What: ``HintReplay.tick`` sends each reachable target one batch at a time, no faster than its rate; an acknowledged hint
is removed if it is still the record that was sent. A hint whose target owns its key no longer (the member table has
changed), or which is in the last quarter of its life, is offered to all present owners, again and again until a write
quorum of every owner set holds it. ``hand_over`` does both at once when the node stops.

Invariant: a hint ends once, counted by its reason: ``delivered`` to its target, ``offered`` to enough owners,
``superseded`` by what this node knows of the key, ``expired`` (its value has, or it was one more copy of what enough
owners took), or ``lost``: it stood for an acknowledgement and its time ended before enough owners held it. A loss is
noted, never silent, and its partition is visited first by repair. Nothing leaves for anyone after its lifetime: a
tombstone that supersedes it may have been reaped by then.

Why slowly and after a pause: a storm of hints knocks a recovering node over again, and a flapping one would receive
the same hints many times (brief R5.3 to R5.6, R2.4, R2.5, R2.7; DESIGN section 9).
"""

from collections import deque
from typing import Any

import attrs

from dynacache.config.hints import HintConfig
from dynacache.coordination.hint_offer import Offer, OfferedHint
from dynacache.coordination.ports import HintsToReplay, KeptHint
from dynacache.coordination.routes import Route
from dynacache.coordination.shared import Shared
from dynacache.coordination.timeline import timeout_class_ms
from dynacache.errors import DynacacheError
from dynacache.events import ConnectionId, Message
from dynacache.types import NodeId
from dynacache.versioning import packed
from dynacache.wire.messages import TAKEN_UNCOUNTED, WHOLE_GROUP, WRITE

__all__ = ["HintReplay"]

_OFFERS_PER_TICK = 200
_CHECKS_PER_TICK = 2_000
_TICK_S = 0.1
_OFFERED_SHARE = 0.25
"""The last part of its life in which a hint is offered to all owners."""
_OFFERS_PER_LIFE = 10
"""Times an offer that falls short is repeated in that part, at most."""


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
        refused = {each[0] for each in exceptions if each[1] != TAKEN_UNCOUNTED} if exceptions else set()
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
class HintReplay:
    """Drives the replay of a hint store."""

    shared: Shared
    settings: HintConfig
    hints: HintsToReplay
    next_tick_s: float = 0.0
    _busy: dict[NodeId, _Delivery] = attrs.field(factory=dict)
    _not_before_s: dict[NodeId, float] = attrs.field(factory=dict)
    _to_check: list[tuple[NodeId, list[bytes]]] = attrs.field(factory=list)
    """Hints, newest first, to be looked at because the owners have changed."""
    _queue: deque[tuple[float, NodeId, bytes]] = attrs.field(factory=deque)
    """Hints to be offered, each with the monotonic second from which it may be."""
    _offers: int = 0
    _is_stopping: bool = False
    _check_again_s: float = float("inf")

    def tick(self) -> None:
        """Send what may be sent now."""
        shared = self.shared
        if shared.now_s < self.next_tick_s:
            return
        self.next_tick_s = shared.now_s + _TICK_S
        if shared.now_s >= self._check_again_s:
            self._check_all()
            self._check_again_s = float("inf")
        self._check()
        for target in self.hints.targets():
            if shared.links.usable(target) and self._due_s(target) <= shared.now_s:
                self._deliver(target)
        before_end_ms = int(self.settings.lifetime_ms * _OFFERED_SHARE)
        for target, key, hint in self.hints.ending(shared.now_ms, before_end_ms, _OFFERS_PER_TICK):
            self._enqueue(target, key, hint)
        self._offer_due()

    def table_changed(self) -> None:
        """Look at every hint once more: owners have changed. And again when every write that began before has ended: it
        may leave a hint for one who was an owner then."""
        self._check_all()
        self._check_again_s = self.shared.now_s + self.shared.settings.longest_timeout_ms / 1000

    def _check_all(self) -> None:
        self._to_check = [(target, self.hints.keys(target)[::-1]) for target in self.hints.targets()]

    def hand_over(self) -> bool:
        """Stopping: deliver without pause and offer the rest once; True when nothing is left to do."""
        self._is_stopping = True
        return self.offer_all()

    def offer_all(self) -> bool:
        """Drained: deliver without pause, and offer to all owners what waits for those that are away; it stays until
        enough of them hold it. True when nothing is left to do."""
        shared = self.shared
        for target in self.hints.targets():
            if shared.links.usable(target):
                self._deliver(target)
            else:
                for key, hint in self.hints.batch(target, 1_000, 4 << 20):
                    self._enqueue(target, key, hint)
        self._offer_due()
        return not self._busy and not self._offers and not self.hints.targets()

    def give_up(self) -> None:
        """The time to stop has come: what was not handed over ends with this process, counted and told."""
        left = [
            hint.counted for target in self.hints.targets() for _, hint in self.hints.batch(target, 1 << 30, 1 << 62)
        ]
        if left:
            self.shared.counters.hints_lost += sum(left)
            self.shared.note("hints.left", "warning", hints=len(left), counted=sum(left))

    def listing(self) -> list[dict[str, Any]]:
        """Return the hints of each target: count, bytes, age of the oldest (ms), and in how many seconds replay goes
        on (None while the target is away)."""
        now_s = self.shared.now_s
        return [
            {
                **row,
                "next_replay_s": max(0.0, self._due_s(row["target"]) - now_s)
                if self.shared.links.usable(row["target"])
                else None,
            }
            for row in self.hints.summary(self.shared.now_ms)
        ]

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

    def offered(self, hint: OfferedHint, reached: bool) -> None:
        """End a hint that enough owners hold; offer it again later, or end it as its time is over."""
        self._offers -= 1
        current = self.hints.get(hint.target, hint.key)
        if current is not hint.hint:
            return
        current.queued = False
        if reached and self.hints.delivered(hint.target, hint.key, hint.record):
            self.shared.counters.hints_offered += 1
        elif self._is_stopping and not reached:
            self._end_unheld(hint.target, hint.key, current)
        else:
            pause_s = self.settings.lifetime_ms * _OFFERED_SHARE / 1000 / _OFFERS_PER_LIFE
            self._enqueue(hint.target, hint.key, current, 0.0 if reached else pause_s)

    def _due_s(self, target: NodeId) -> float:
        settled_s = self.shared.links.link(target).connected_at_s + self.settings.settle_s
        return max(settled_s, self._not_before_s.get(target, 0.0))

    def _deliver(self, target: NodeId) -> None:
        if target in self._busy:
            return
        shared = self.shared
        batch = [
            (key, hint)
            for key, hint in self.hints.batch(target, self.settings.replay_batch_count, 256 * 1024)
            if self._is_wanted(target, key, hint)
        ]
        if not batch:
            return
        link = shared.links.link(target)
        connection = link.bulk_connection or link.connection
        delivery = _Delivery(self, target, connection, [(key, hint.record) for key, hint in batch])
        self._busy[target] = delivery
        timeout_ms = timeout_class_ms(shared.settings.write_timeout_ms)
        request_id = shared.new_request(delivery, timeout_ms, timeout_ms)
        payload = [part for key, hint in batch for part in (key, packed.strip_local(hint.record))]
        message = (WRITE, request_id, shared.clock.last, shared.digest, timeout_ms, None, payload)
        shared.effects.send(connection, message)

    def _is_wanted(self, target: NodeId, key: bytes, hint: KeptHint) -> bool:
        """Tell whether a hint is to be sent to its target; otherwise it ends here, or is offered to all owners."""
        shared = self.shared
        if shared.now_ms >= hint.stored_ms + self.settings.lifetime_ms:
            self._end_unheld(target, key, hint)
        elif target not in shared.routes.placement.write_owners(hint.partition):
            self._enqueue(target, key, hint)
        else:
            return not self._is_spent(target, key, hint, shared.routes.route(hint.partition))
        return False

    def _is_spent(self, target: NodeId, key: bytes, hint: KeptHint, route: Route) -> bool:
        """End a hint that nobody needs any more: its value has expired, or this owner knows its successor."""
        shared = self.shared
        if packed.clean(hint.record, shared.now_ms) is None:
            shared.counters.hints_expired += 1
        elif route.complete and shared.not_superseded(hint.partition, key, hint.record) is None:
            shared.counters.hints_superseded += 1
        else:
            return False
        self.hints.remove(target, key)
        return True

    def _end_unheld(self, target: NodeId, key: bytes, hint: KeptHint) -> None:
        """End a hint whose time is over, and which too few owners are known to hold."""
        shared = self.shared
        self.hints.remove(target, key)
        if shared.routes.route(hint.partition).is_owner:
            shared.store.dirty.add(hint.partition)
        if hint.counted:
            shared.counters.hints_lost += 1
            shared.note("hint.lost", "warning", target=target, partition=hint.partition)
        else:
            shared.counters.hints_expired += 1

    def _check(self) -> None:
        """After a change of owners: queue hints whose target owns their key no longer, and take those of keys that
        this node owns by now."""
        left = _CHECKS_PER_TICK
        while self._to_check and left:
            target, keys = self._to_check[-1]
            while keys and left:
                left -= 1
                key = keys.pop()
                hint = self.hints.get(target, key)
                if hint is not None:
                    self._check_one(target, key, hint)
            if not keys:
                self._to_check.pop()

    def _check_one(self, target: NodeId, key: bytes, hint: KeptHint) -> None:
        shared = self.shared
        owners = shared.routes.placement.write_owners(hint.partition)
        if target not in owners:
            self._enqueue(target, key, hint)
        elif shared.node_id in owners:
            try:
                shared.merge(hint.partition, key, packed.strip_local(hint.record))
            except DynacacheError:
                shared.store.dirty.add(hint.partition)

    def _enqueue(self, target: NodeId, key: bytes, hint: KeptHint, pause_s: float = 0.0) -> None:
        """Have a hint offered to all owners."""
        if not hint.queued:
            hint.queued = True
            self._queue.append((self.shared.now_s + pause_s, target, key))

    def _offer_due(self) -> None:
        """Offer hints that are due, those of one route together."""
        shared = self.shared
        by_route: dict[Route, list[OfferedHint]] = {}
        for _ in range(min(_OFFERS_PER_TICK, len(self._queue))):
            due_s, target, key = self._queue.popleft()
            hint = self.hints.get(target, key)
            if hint is None or not hint.queued:
                continue
            if due_s > shared.now_s and not self._is_stopping:
                self._queue.append((due_s, target, key))
                continue
            route = shared.routes.route(hint.partition)
            if shared.now_ms >= hint.stored_ms + self.settings.lifetime_ms:
                self._end_unheld(target, key, hint)
            elif not self._is_spent(target, key, hint, route):
                by_route.setdefault(route, []).append(OfferedHint(target, key, hint, hint.record))
        self._start(by_route)

    def _start(self, by_route: dict[Route, list[OfferedHint]]) -> None:
        self._offers += sum(map(len, by_route.values()))
        for route, hints in by_route.items():
            Offer(self.shared, route, hints, self).start()
