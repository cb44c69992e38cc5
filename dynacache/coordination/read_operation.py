"""One read that needs more than a plain comparison: several answers, differences, repair, metadata.

What: collects answers (found or tombstone record, same, absent, evicted, unknown) from this node and others until the
level has enough that count, widens to every reachable owner when someone has evicted the key, merges what was found,
repairs those who were older, and concludes.

Invariant: UNKNOWN never counts toward a miss; EVICTED counts, and a version older than an evicted one is not returned.
What an incomplete copy found is data, but its answer does not count; of a stale copy, once a complete one has answered,
only what is too young to have been deleted and forgotten meanwhile. At the quorum levels the answer leaves only when a
write quorum holds the merged version (or marked ``unrepaired``), at the strict ones in every set of owners: that makes
them monotonic, also while owners change. Merging never resolves; only the reply picks a winner.

Why an object here and not on the hot path: almost every read finds equal versions; those that do not are worth a
microsecond. (DESIGN section 9; Dynamo section 5; blocking repair as in Cassandra; brief R2.6 for stale copies.)
"""

from typing import TYPE_CHECKING, Any, Protocol

import attrs

from dynacache.coordination.read_repair import RepairGroup, repair_targets
from dynacache.coordination.read_reply import Concluded, absence_reason, reply_to_read
from dynacache.coordination.routes import Route, Target
from dynacache.coordination.shared import Shared
from dynacache.coordination.tally import Tally, required_answers
from dynacache.errors import ConnectionLost, DynacacheError, NotEnoughReplicas, Overloaded
from dynacache.events import ConnectionId
from dynacache.types import Level, MissReason, NodeId
from dynacache.versioning import packed
from dynacache.versioning.context import Context, reaches
from dynacache.versioning.newest import keep_newest

if TYPE_CHECKING:
    from dynacache.coordination.read_batch import Asker

__all__ = ["RESTARTS_LIMIT", "STRICT_LEVELS", "ReadOperation", "Waiter"]

RESTARTS_LIMIT = 3
"""Times a read begins again because the owners have changed under it; then it ends with what it knows."""

STRICT_LEVELS = frozenset({Level.STRICT_QUORUM, Level.ALL})
"""Levels that count owners only."""


class Waiter(Protocol):
    """Someone who reads first in order to write (conditionals, deletes of keys not held)."""

    def prepared(self, operation: "ReadOperation", outcome: Concluded) -> None:
        """Take the read's outcome instead of a client."""
        ...


@attrs.define(eq=False)
class ReadOperation:
    """The state of one read."""

    shared: Shared
    asker: "Asker"
    connection: ConnectionId
    rid: int
    key: bytes
    partition: int
    route: Route
    level: int
    deadline_s: float
    flags: int = 0
    waiter: Waiter | None = None
    minimum_context: Context | None = None
    merged: bytes | None = None
    done: bool = False
    widened: bool = False
    ended: bytes | None = None  # what was found and has been invalidated
    repairing: bool = False
    records: dict[NodeId, bytes] = attrs.field(factory=dict)
    absent: list[NodeId] = attrs.field(factory=list)
    evicted: dict[NodeId, int] = attrs.field(factory=dict)
    unknown: list[NodeId] = attrs.field(factory=list)
    incomplete: dict[NodeId, bytes] = attrs.field(factory=dict)
    """What copies that are warming or stale found: data, but no answers that count."""
    trusted: bool = True
    """What was merged may be brought to others: not so while only stale copies have answered."""
    asked: dict[NodeId, Target] = attrs.field(factory=dict)
    outstanding: dict[NodeId, Target] = attrs.field(factory=dict)
    _restarts: int = 0
    _stale: dict[NodeId, tuple[bytes, int]] = attrs.field(factory=dict)

    def begin(self) -> None:
        """Answer from this node's own copy, then ask as many others as the level needs."""
        self._take(self.shared.node_id, self.own_answer())
        self._step()

    def resume(self, own_answer: Any, target: Target) -> None:
        """Continue what began as a plain item: this node answered, ``target`` was asked."""
        self._take(self.shared.node_id, own_answer)
        self.asked[target.node_id] = self.outstanding[target.node_id] = target

    def answered(self, target: Target, answer: Any) -> None:
        """Take one machine's answer."""
        if self.outstanding.pop(target.node_id, None) is None or self.done or self.repairing:
            return
        if answer is True:
            own = self.shared.node_id
            answer = self.records.get(own) or self.incomplete.get(own)
        self._take(target.node_id, answer)
        self._step()

    def unanswered(self, target: Target) -> None:
        """A machine's answer will not come: ask another."""
        if self.outstanding.pop(target.node_id, None) is not None and not self.done and not self.repairing:
            self._step()

    def restart(self) -> bool:
        """Begin again as another operation: the owners changed, and answers under two member tables make no quorum of
        either. False when that has happened too often, or it is too late for it."""
        if self.done or self.repairing or self._restarts >= RESTARTS_LIMIT:
            return False
        self.done = True
        again = ReadOperation(
            self.shared,
            self.asker,
            self.connection,
            self.rid,
            self.key,
            self.partition,
            self.shared.routes.route(self.partition),
            self.level,
            self.deadline_s,
            self.flags,
            self.waiter,
            self.minimum_context,
        )
        again._restarts = self._restarts + 1
        again.begin()
        return True

    def hedge(self) -> None:
        """Ask one more machine while another is silent."""
        if not self.done and not self.repairing:
            self._ask(1)

    def expired(self, target: Target) -> None:
        """The deadline has passed for one machine; conclude unless others may still answer."""
        if self.outstanding.pop(target.node_id, None) is None or self.done or self.repairing:
            return
        if not self.outstanding:
            self._conclude()

    def repaired(self, reached: bool) -> None:
        """Blocking repair ended: answer, or refuse where the level promises it."""
        if not self.done:
            self._finish(unrepaired=not reached)

    def remaining_ms(self) -> int:
        """Return the time left before the deadline, at most 0 when it has passed."""
        return int((self.deadline_s - self.shared.now_s) * 1000)

    def _repair_ms(self) -> int:
        return max(1, self.remaining_ms())

    def own_answer(self) -> Any:
        """Return what this node's own copy, or the hint it keeps, answers."""
        shared, route = self.shared, self.route
        if not route.is_owner:
            hinted = shared.hints.find(self.key)
            if hinted is not None and self.level in STRICT_LEVELS:
                return [packed.strip_local(hinted)]  # a stand-in's, so it helps and does not count
            return hinted or False
        record = shared.store.get(self.partition, self.key, shared.now_ms)
        if not route.complete:
            return False if record is None else shared.incomplete_answer(self.partition, record)
        return record if record is not None else shared.store.missing(self.partition, self.key)

    def _take(self, node_id: NodeId, answer: Any) -> None:
        if answer is None:
            self.absent.append(node_id)
        elif answer is False or answer is True:
            self._lacks_memory(node_id)
        elif type(answer) is int:
            self.evicted[node_id] = answer
        elif type(answer) is list:
            self._take_incomplete(node_id, answer)
        elif node_id == self.shared.node_id or packed.is_well_formed(answer):
            record = packed.strip_local(answer)
            if self._join(record):
                self.records[node_id] = record
            else:
                self.unknown.append(node_id)
        else:
            self.shared.counters.malformed_messages += 1

    def _take_incomplete(self, node_id: NodeId, answer: list[Any]) -> None:
        """Take what a copy holds that is warming ([record]) or stale ([record, time before which it may lack
        deletions])."""
        stale = len(answer) == 2 and type(answer[1]) is int
        if not answer or not (len(answer) == 1 or stale) or not packed.is_well_formed(answer[0]):
            self.shared.counters.malformed_messages += 1
            return
        record = packed.strip_local(answer[0])
        self.incomplete[node_id] = record
        self._lacks_memory(node_id)
        if stale:
            self._stale[node_id] = record, answer[1]
        else:
            self._join(record)

    def _lacks_memory(self, node_id: NodeId) -> None:
        self.unknown.append(node_id)
        if node_id != self.shared.node_id:
            self.shared.links.link(node_id).incomplete_until_s = self.shared.now_s + 1.0

    def _join(self, record: bytes) -> bool:
        """Merge a record into what was found; False when their clocks together are too large."""
        try:
            merged = record if self.merged is None else packed.merge(self.merged, record)
        except Overloaded:
            return False
        if merged[1] == packed.MANY and self.shared.namespaces.keeps_newest(self.key):
            merged, _ = keep_newest(merged)
        self.merged = merged
        return True

    def _counting(self) -> int:
        return len(self.records) + len(self.absent) + len(self.evicted)

    def _needed(self) -> int:
        owner_count = len(self.route.readers)
        if self.level == Level.ONE:
            return 1 if self.records else min(2, owner_count)
        return required_answers(self.level, owner_count)

    def _step(self) -> None:
        """Move on: ask, wait, widen, or conclude."""
        missing = self._needed() - self._counting()
        if missing > 0:
            self._ask(missing - len(self.outstanding))
            if not self.outstanding:
                self._conclude()
            return
        if (self.evicted or self._behind_session()) and not self.widened and self.level != Level.ONE:
            self.widened = True
            self._ask(len(self.route.readers))
        if self.widened and self.outstanding:
            return
        self._evaluate()

    def _behind_session(self) -> bool:
        context = self.minimum_context
        return context is not None and (self.merged is None or not reaches(self.merged, context))

    def _ask(self, count: int) -> None:
        """Ask up to ``count`` machines that were not asked yet, complete ones first, fallbacks last."""
        if count <= 0:
            return
        now_s, links = self.shared.now_s, self.shared.links
        fresh = [each for each in self.route.sources if each.node_id not in self.asked]
        fresh.sort(key=lambda each: links.link(each.node_id).incomplete_until_s > now_s)
        if self.level in (Level.ONE, Level.QUORUM):
            fresh += [each for each in self.route.spares if each.node_id not in self.asked]
        own = self.records.get(self.shared.node_id) or self.incomplete.get(self.shared.node_id)
        prefix = packed.version_prefix(own) if own is not None else None
        remaining_ms = self.remaining_ms()
        if remaining_ms <= 0:
            return
        for target in fresh[:count]:
            current = Target(target.node_id, links.link(target.node_id).connection, target.stands_for)
            if current.connection:
                self.asked[target.node_id] = self.outstanding[target.node_id] = current
                self.asker.ask(current, remaining_ms, self.key, prefix, self)

    def _evaluate(self) -> None:
        """Enough answers: repair what is older, blocking where the level asks for it, then answer."""
        self._settle()
        if self.merged is None or not self.trusted:
            self._finish(unrepaired=False)
            return
        self._repair_self()
        older, unfilled = repair_targets(self)
        self._fill(unfilled)
        tally = self._holders()
        if self.level in STRICT_LEVELS and len(self.route.owner_sets) > 1 and not tally.won():
            known = {each.node_id for each in older} | set(tally.machines)
            older += [each for each in self.route.others if each.node_id not in known]
        if not older:
            self._finish(unrepaired=False)
            return
        self.shared.counters.read_repairs += len(older)
        group = RepairGroup(self.shared, self.partition, self.key, self.merged, older, self._repair_ms())
        if self.level == Level.ONE or tally.won():
            group.start()
            self._finish(unrepaired=False)
            return
        self.repairing = True
        group.operation, group.tally = self, tally
        group.start()

    def _holders(self) -> Tally:
        """Return a tally of those that hold the merged version, or have held it, at a write quorum: in every set of
        owners where the level promises that reads never go back, else among the readers."""
        assert self.merged is not None
        sets = self.route.owner_sets if self.level in STRICT_LEVELS else (self.route.readers,)
        tally = Tally.at_level(Level.QUORUM, sets)
        time = _time_of(self.merged)
        holding = [node for node, record in self.records.items() if record == self.merged]
        for node in (*holding, *(node for node, evicted in self.evicted.items() if evicted >= time)):
            target = self.asked.get(node)
            tally.add(node, self.route.self_stands_for if target is None else target.stands_for)
        return tally

    def _fill(self, unfilled: list[Target]) -> None:
        """Give what was found to owners whose memory is incomplete, so that they can answer the next time."""
        if unfilled and self.merged is not None:
            RepairGroup(self.shared, self.partition, self.key, self.merged, unfilled, self._repair_ms()).start()

    def _settle(self) -> None:
        """Add what stale copies found, then leave out what is known to have been superseded.

        Where a complete copy has answered, a stale one is believed only as far as it would keep its versions on
        meeting it. Where none has, what it holds is better than nothing for the reader, and for nobody else.
        """
        stale, self._stale = self._stale, {}
        met_complete = self._counting() > 0
        for record, cutoff in stale.values():
            kept = packed.since(record, cutoff) if met_complete else record
            if kept is not None:
                self._join(kept)
        self.trusted = met_complete or not stale
        if self.merged is None:
            return
        newest_evicted = max(self.evicted.values(), default=0)
        if _time_of(self.merged) < newest_evicted:
            self.merged = None
        elif self.shared.node_id in self.absent:
            self.merged = self.shared.not_superseded(self.partition, self.key, self.merged)
        if self.merged is not None:
            found, self.merged = self.merged, self.shared.store.left(self.key, self.merged)
            self.ended = None if found is self.merged else found

    def _repair_self(self) -> None:
        """Bring this node's own copy up to date; what it evicted stays evicted."""
        shared, merged = self.shared, self.merged
        own = shared.node_id
        if merged is None or not self.route.is_owner or own in self.evicted or self.records.get(own) == merged:
            return
        try:
            shared.merge(self.partition, self.key, merged)
        except DynacacheError:
            return
        if self.route.complete:
            self.records[own] = merged

    def _conclude(self) -> None:
        """No more answers will come: say what is known, or fail where the level promises more."""
        if self._counting() >= self._needed():
            self._evaluate()
            return
        self._repair_in_passing()
        if self.level in STRICT_LEVELS:
            text = f"{self._counting()} of {self._needed()} complete replicas answered"
            self._error(NotEnoughReplicas(f"level {Level(self.level).name.lower()}: {text}"))
            return
        self._finish(unrepaired=False, degraded=True)

    def _repair_in_passing(self) -> None:
        """Too few answered, but what was found helps those that lack it: the next read may then reach its level."""
        self._settle()
        if self.merged is None or not self.trusted:
            return
        self._repair_self()
        older, unfilled = repair_targets(self)
        self._fill(older + unfilled)

    def _error(self, error: NotEnoughReplicas | ConnectionLost) -> None:
        self.done = True
        if self.waiter is not None:
            self.waiter.prepared(self, Concluded(None, MissReason.UNKNOWN, error=error))
        else:
            self.shared.fail(self.connection, self.rid, error)

    def _finish(self, *, unrepaired: bool, degraded: bool = False) -> None:
        if unrepaired:
            self.shared.counters.unrepaired_reads += 1
            if self.level in STRICT_LEVELS:
                self._error(NotEnoughReplicas("the newest version could not be brought to enough replicas in time"))
                return
        self.done = True
        reason = absence_reason(self, degraded)
        outcome = Concluded(self.merged, reason, unrepaired=unrepaired, degraded=degraded)
        if self.waiter is not None:
            self.waiter.prepared(self, outcome)
        else:
            reply_to_read(self, outcome)


def _time_of(record: bytes) -> int:
    time: int = packed.HEADER.unpack_from(record)[5]
    return time
