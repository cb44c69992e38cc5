"""Merkle anti-entropy between owners: when to exchange with whom, and what is known from it.

What: ``Exchange`` is the repair core that keeps owners' copies equal. It schedules exchanges (one peer after the other,
a few at once, peers taking turns in asking), hands over partitions that this node has lost, marks copies that have not
synced for too long as stale, and tells the reaper which tombstones every owner is known to hold.

Invariant: what differs between two owners that can reach each other is repaired within two intervals without a client
touching it (P2); what is equal costs one message pair an exchange; eviction and expiry cost nothing (P5). No mark of a
change is lost whatever messages are (``exchange_peer``).

Why peers take turns: both learn of equality from either's question, so asking twice as often would find nothing more;
but each must ask now and then, since only the asker repairs and settles. DESIGN section 8, brief section 8.
"""

from collections.abc import Mapping

import attrs
from pyroaring import BitMap

from dynacache.config.repair import RepairConfig
from dynacache.placement.placement import Placement
from dynacache.repair.exchange_answers import ExchangeAnswers
from dynacache.repair.exchange_drive import exchange, hand_over, hand_over_batch
from dynacache.repair.exchange_ground import ExchangeGround, Fresh
from dynacache.repair.exchange_nodes import Forest
from dynacache.repair.exchange_pace import Pace
from dynacache.repair.exchange_peer import PeerView
from dynacache.repair.exchange_session import Session
from dynacache.repair.exchange_steps import Runner
from dynacache.repair.exchange_store import ExchangeStore
from dynacache.repair.ports import Handler, RepairPort
from dynacache.repair.ring_rules import witnesses
from dynacache.repair.sync_times import SyncTimes
from dynacache.types import NodeId

__all__ = ["REFUSAL_DOUBLINGS", "STALE_REFUSAL_DOUBLINGS", "Exchange"]

REFUSAL_DOUBLINGS = 6
"""Times that the interval doubles while exchanges with a peer see more records refused than taken."""

STALE_REFUSAL_DOUBLINGS = 2
"""The same while a copy that is shared with the peer is stale here."""

_CLOCK_BACK_MS = 1_000
"""The hybrid clock never goes back but when a node's quarantine ends after its clock had run ahead."""

_AWAY_RETRY_S = 1.0
_FAILED_RETRY_S = 2.0
_MORE_S = 0.1
_URGENT_SHARE = 0.2


@attrs.define(eq=False)
class Exchange:
    """The exchange core of one node. ``now_ms`` is the hybrid clock at its start, ``grace_ms`` the age at which every
    complete copy drops a tombstone."""

    port: RepairPort
    settings: RepairConfig
    engine: ExchangeStore
    fresh: Fresh
    grace_ms: int
    ground: ExchangeGround = attrs.field(init=False)
    runner: Runner = attrs.field(init=False)
    answers: ExchangeAnswers = attrs.field(init=False)
    _handed_over: dict[int, list[NodeId]] = attrs.field(init=False, factory=dict)
    """Departing partitions, and the present owners that have all we had of them."""

    _seen_ms: int = attrs.field(init=False, default=0)
    _requests: int = attrs.field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        """Begin with every peer never compared."""
        port, settings = self.port, self.settings
        placement = port.placement
        pace = Pace(settings.repair_bytes_per_s, settings.pause_load, settings.busy_pause_s)
        sync = SyncTimes.since(port.now_ms, placement.numbers_end, self.grace_ms)
        forest = Forest.of(placement)
        self.ground = ExchangeGround(port, settings, self.engine, self.fresh, forest, sync, pace)
        self.runner = Runner(self.ground)
        self.answers = ExchangeAnswers(self.ground)
        self.ground.follow(placement)

    # The core

    @property
    def handlers(self) -> Mapping[int, Handler]:
        """COMPARE, ENTRIES and RECORDS."""
        return self.answers.handlers

    def tick(self) -> None:
        """Go on with what is under way, begin what is due."""
        now_ms = self.port.now_ms
        if now_ms < self._seen_ms - _CLOCK_BACK_MS:
            self.ground.sync.set_back(now_ms)
        self._seen_ms = now_ms
        if now_ms >= self.stale_due_ms:
            self.mark_stale()
        if self.engine.stale:
            self._trust_the_last()
        self._visit_first()
        self.runner.tick()
        self.answers.tick()
        if self.ground.departing:
            self._hand_over()
        if len(self.runner.running) < self.settings.session_limit:
            self._begin()

    def next_due_s(self) -> float:
        """Return when ``tick`` has something to do."""
        due_s = min(self.runner.next_due_s(), self.answers.next_due_s())
        if len(self.runner.running) < self.settings.session_limit:
            due_s = min(due_s, *(view.due_s for view in self._idle_peers()), float("inf"))
        return due_s

    def table_changed(self, before: Placement, after: Placement) -> None:
        """Follow other owners. Exchanges under way end; what this node lost is handed over."""
        me, ground = self.port.node_id, self.ground
        self.runner.stop_all()
        # Who was the only owner has missed nothing until now.
        ground.sync.synced_all(ground.owned - ground.shared, self.port.now_ms)
        ground.follow(after)
        lost = before.owned_by(me) - ground.owned
        for partition in ground.departing & ground.owned:
            self._handed_over.pop(partition, None)
        ground.departing = (ground.departing | lost) - ground.owned
        for partition in lost:
            self._handed_over[partition] = []
        self.engine.dirty &= ground.owned

    def statistics(self) -> Mapping[str, object]:
        """Return counters, and gauges of what is left to do."""
        ground = self.ground
        return {
            **attrs.asdict(ground.counters),
            "pauses": ground.pace.pauses,
            "running": len(self.runner.running),
            "settled": sum(view.settled.count for view in ground.peers.values()),
            "departing_partitions": len(ground.departing),
            "stale_partitions": len(self.engine.stale & ground.owned),
        }

    # What others ask

    @property
    def departing(self) -> BitMap:
        """Partitions that this node owns no more and has not handed over yet."""
        return self.ground.departing

    @property
    def stale_due_ms(self) -> int:
        """The hybrid millisecond from which ``mark_stale`` must be called before anything is served or reaped."""
        return self.ground.sync.next_due_ms

    def mark_stale(self) -> None:
        """Mark copies stale that have not synced for too long, those too that wait to be handed over: meanwhile their
        owners forget deletes that were never seen here."""
        ground, engine = self.ground, self.engine
        overdue = ground.sync.overdue(ground.shared | ground.departing, engine.warming | engine.stale, self.port.now_ms)
        if overdue:
            engine.stale |= overdue
            ground.counters.became_stale += len(overdue)
            self.port.note("copy.stale", "warning", partitions=len(overdue))
            for view in ground.peers.values():
                view.due_s = min(view.due_s, self.port.now_s)

    def _trust_the_last(self) -> None:
        """A copy without any other owner has nobody to catch up with: nothing is known beside it."""
        engine, ground = self.engine, self.ground
        for partition in (engine.stale & ground.owned) - ground.shared - engine.warming:
            engine.stale.discard(partition)
            ground.sync.completed(partition, self.port.now_ms)

    def synced(self, partition: int, since_ms: int) -> None:
        """Take note that a copy is complete as of a hybrid millisecond: it was filled from others."""
        self.ground.sync.completed(partition, since_ms)

    def last_sync_ms(self, partition: int) -> int:
        """Return when a copy last agreed with another complete one, in hybrid milliseconds."""
        return self.ground.sync.times_ms[partition]

    def is_clean(self, partition: int, prefix: int) -> bool:
        """Tell whether every other owner is known to have witnessed what stands in the leaf around a prefix."""
        ground, engine = self.ground, self.engine
        if partition in engine.warming or partition in engine.stale or partition not in ground.owned:
            return False
        ground.absorb()
        level = engine.tree_level(partition)
        return all(
            view.is_clean(partition, prefix, level) for view in ground.peers.values() if partition in view.shared
        )

    def repair_now(self, partitions: BitMap | None = None) -> None:
        """Exchange with every peer at once, walking all (or some) shared partitions whatever is known of them."""
        self._requests += 1
        for view in self.ground.peers.values():
            wanted = view.shared if partitions is None else view.shared & partitions
            if wanted:
                view.requested |= wanted
                view.walk |= partitions is None
                view.due_s = self.port.now_s

    def progress(self) -> dict[str, object]:
        """Return how repair stands: one row for each peer, and what is left of the last request."""
        ground = self.ground
        now_ms, now_s = self.port.now_ms, self.port.now_s
        rows = [
            {
                "node": view.node_id,
                "running": self.runner.is_running(view.node_id),
                "shared_partitions": len(view.shared),
                "dirty_partitions": len({id_ >> 14 for id_ in view.dirty.to_array()}) if len(view.dirty) < 4096 else -1,
                "settled_leaves": view.settled.count,
                "requested_partitions": len(view.requested),
                "last_ms_ago": now_ms - view.finished_ms if view.finished_ms else None,
                "due_in_ms": max(0, int((view.due_s - now_s) * 1000)),
            }
            for view in ground.peers.values()
        ]
        oldest_ms = min((ground.sync.times_ms[partition] for partition in ground.owned), default=now_ms)
        return {
            "requests": self._requests,
            "requested_partitions": sum(len(view.requested) for view in ground.peers.values()),
            "running": len(self.runner.running),
            "departing_partitions": len(ground.departing),
            "stale_partitions": len(self.engine.stale & ground.owned),
            "oldest_sync_ms_ago": now_ms - oldest_ms,
            "peers": rows,
        }

    # Schedule

    def _idle_peers(self) -> list[PeerView]:
        running = [each.node_id for each in self.runner.running]
        return [view for view in self.ground.peers.values() if view.node_id not in running]

    def _visit_first(self) -> None:
        """Bring exchanges forward that concern partitions marked as to be visited first, where both copies can be
        compared now."""
        dirty, ground = self.engine.dirty, self.ground
        if not dirty:
            return
        soon_s = self.port.now_s + self.settings.exchange_interval_s * _URGENT_SHARE
        for view in ground.peers.values():
            if view.due_s > soon_s and not dirty.isdisjoint(view.shared - ground.excluded(view)):
                view.due_s = soon_s

    def _begin(self) -> None:
        """Begin exchanges that are due, the longest overdue first."""
        port = self.port
        due = sorted((view.due_s, view.node_id) for view in self._idle_peers() if view.due_s <= port.now_s)
        for _, node_id in due:
            view = self.ground.peers[node_id]
            if not port.is_up(node_id):
                view.due_s = port.now_s + _AWAY_RETRY_S
                continue
            if len(self.runner.running) >= self.settings.session_limit:
                return
            if not self.engine.sweep(port.now_ms):
                return
            session = Session(self.ground, view, port.now_ms)
            self.ground.counters.exchanges += 1
            self.runner.start(node_id, exchange(session), _End(self, session))

    def ended(self, session: Session, finished: bool) -> None:
        """Decide when the next exchange with a peer is due."""
        port, view, result = self.port, session.view, session.result
        interval_s = self.settings.exchange_interval_s * (0.9 + 0.2 * port.random.random())
        if not finished:
            self.ground.counters.exchanges_failed += 1
            view.due_s = port.now_s + min(_FAILED_RETRY_S, interval_s)
            return
        self.ground.counters.exchanges_equal += result.is_equal
        view.finished_ms = port.now_ms
        view.unexplained = 0 if result.is_explained else view.unexplained + 1
        view.refusals = min(view.refusals + 1, REFUSAL_DOUBLINGS) if result.refused > result.gained else 0
        if (result.was_walk and not result.more) or result.is_equal:
            view.walk = False
            view.walk_due_s = port.now_s + self.settings.walk_interval_s
        # A stale copy answers no miss, so it tries more often whether there is room by now.
        most = REFUSAL_DOUBLINGS if self.engine.stale.isdisjoint(view.shared) else STALE_REFUSAL_DOUBLINGS
        doubled_s = 2 * interval_s * 2 ** min(view.refusals, most)
        pause_s = _MORE_S if result.more and result.gained else doubled_s
        view.due_s = port.now_s + pause_s

    # Departing

    def _hand_over(self) -> None:
        """Push what present owners lack of partitions that we lost; drop those that enough of them have."""
        ground, port = self.ground, self.port
        placement = port.placement
        wanting: dict[NodeId, list[int]] = {}
        for partition in ground.departing:
            owners = placement.new(partition)
            done = self._handed_over.setdefault(partition, [])
            # So many of those who will own it that every write quorum of the past meets one of them.
            needed = witnesses(placement.factor_of(partition), len(owners))
            if not owners or len([node_id for node_id in owners if node_id in done]) >= needed:
                self.engine.clear(partition)
                self.engine.stale.discard(partition)
                ground.departing.discard(partition)
                del self._handed_over[partition]
                continue
            for node_id in owners:
                if node_id not in done and node_id != port.node_id:
                    wanting.setdefault(node_id, []).append(partition)
        for node_id in sorted(wanting):
            if len(self.runner.running) >= self.settings.session_limit:
                return
            if port.is_up(node_id) and not self.runner.is_running(node_id) and self.engine.sweep(port.now_ms):
                self._push(node_id, BitMap(wanting[node_id]))

    def _push(self, node_id: NodeId, partitions: BitMap) -> None:
        ground = self.ground
        session = Session(ground, PeerView(node_id, ground.forest), self.port.now_ms, one_way=True)
        batch = hand_over_batch(session, partitions)
        before_ms = self.port.now_ms - ground.sync.limit_ms
        for partition in batch & self.engine.stale:
            self.engine.discard_older(partition, before_ms)
            self.engine.stale.discard(partition)
        done = BitMap()

        def ended(finished: bool) -> None:
            for partition in done:
                self._handed_over.get(partition, []).append(node_id)

        self.runner.start(node_id, hand_over(session, batch, done), ended)


@attrs.define(eq=False)
class _End:
    """Tells the core how a session ended."""

    exchange: Exchange
    session: Session

    def __call__(self, finished: bool) -> None:
        """Take note."""
        self.exchange.ended(self.session, finished)
