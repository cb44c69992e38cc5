"""One read that needs more than a plain comparison: several answers, differences, repair, metadata.

What: collects answers (found or tombstone record, same, absent, evicted, unknown) from this node and others until the
level has enough that count, widens to every reachable owner when someone has evicted the key, merges what was found,
repairs those who were older, and concludes.

Invariant: UNKNOWN never counts toward a miss; EVICTED counts, and a version older than an evicted one is not returned.
At the quorum levels the answer leaves only when a write quorum of the nodes asked holds the merged version (or marked
``unrepaired``): that makes quorum reads monotonic. Merging never resolves; only the reply picks a winner.

Why an object here and not on the hot path: almost every read finds equal versions; those that do not are worth a
microsecond. (DESIGN section 9; Dynamo section 5; blocking repair as in Cassandra.)
"""

from typing import TYPE_CHECKING, Any, Protocol

import attrs

from dynacache.coordination.read_repair import RepairGroup, repair_targets
from dynacache.coordination.read_reply import Concluded, reply_to_read
from dynacache.coordination.routes import Route, Target
from dynacache.coordination.shared import Shared
from dynacache.coordination.tally import required_answers
from dynacache.errors import ConnectionLost, DynacacheError, NotEnoughReplicas, Overloaded
from dynacache.events import ConnectionId
from dynacache.types import Level, MissReason, NodeId
from dynacache.versioning import packed
from dynacache.versioning.context import Context, reaches

if TYPE_CHECKING:
    from dynacache.coordination.read_batch import Asker

__all__ = ["ReadOperation", "Waiter"]


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
    repairing: bool = False
    records: dict[NodeId, bytes] = attrs.field(factory=dict)
    absent: list[NodeId] = attrs.field(factory=list)
    evicted: dict[NodeId, int] = attrs.field(factory=dict)
    unknown: list[NodeId] = attrs.field(factory=list)
    asked: dict[NodeId, Target] = attrs.field(factory=dict)
    outstanding: dict[NodeId, Target] = attrs.field(factory=dict)

    def begin(self) -> None:
        """Answer from this node's own copy, then ask as many others as the level needs."""
        self._take(self.shared.node_id, self._own_answer())
        self._step()

    def resume(self, self_id: NodeId, record: bytes | None, target: Target) -> None:
        """Continue what began as a plain item: this node answered, ``target`` was asked."""
        self._take(self_id, record)
        self.asked[target.node_id] = self.outstanding[target.node_id] = target

    def answered(self, target: Target, answer: Any) -> None:
        """Take one machine's answer."""
        if self.outstanding.pop(target.node_id, None) is None or self.done or self.repairing:
            return
        if answer is True:
            answer = self.records.get(self.shared.node_id)
        self._take(target.node_id, answer)
        self._step()

    def unanswered(self, target: Target) -> None:
        """A machine's answer will not come: ask another."""
        if self.outstanding.pop(target.node_id, None) is not None and not self.done and not self.repairing:
            self._step()

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

    def _own_answer(self) -> Any:
        shared = self.shared
        if not self.route.is_owner:
            return shared.hints.find(self.key) or False
        record = shared.store.get(self.partition, self.key, shared.now_ms)
        if record is not None:
            return record
        if self.partition in shared.store.warming:
            return False
        return shared.store.missing(self.partition, self.key)

    def _take(self, node_id: NodeId, answer: Any) -> None:
        if answer is None:
            self.absent.append(node_id)
        elif answer is False or answer is True:
            self.unknown.append(node_id)
            self.shared.links.link(node_id).incomplete_until_s = self.shared.now_s + 1.0
        elif type(answer) is int:
            self.evicted[node_id] = answer
        elif node_id == self.shared.node_id or packed.is_well_formed(answer):
            record = packed.strip_local(answer)
            try:
                self.merged = record if self.merged is None else packed.merge(self.merged, record)
            except Overloaded:
                self.unknown.append(node_id)
                return
            self.records[node_id] = record
        else:
            self.shared.counters.malformed_messages += 1

    def _counting(self) -> int:
        return len(self.records) + len(self.absent) + len(self.evicted)

    def _needed(self) -> int:
        owner_count = len(self.route.owners)
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
            self._ask(len(self.route.owners))
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
        fresh = [each for each in self.route.others if each.node_id not in self.asked]
        fresh.sort(key=lambda each: links.link(each.node_id).incomplete_until_s > now_s)
        if self.level in (Level.ONE, Level.QUORUM):
            fresh += [each for each in self.route.fallbacks if each.node_id not in self.asked]
        own = self.records.get(self.shared.node_id)
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
        self._drop_superseded()
        if self.merged is None:
            self._finish(unrepaired=False)
            return
        self._repair_self()
        older, unfilled = repair_targets(self)
        self._fill(unfilled)
        if not older:
            self._finish(unrepaired=False)
            return
        self.shared.counters.read_repairs += len(older)
        holding = sum(1 for record in self.records.values() if record == self.merged)
        blocking = self.level != Level.ONE and holding < required_answers(self.level, len(self.route.owners))
        needed = required_answers(self.level, len(self.route.owners)) - holding if blocking else 0
        group = RepairGroup(self.shared, self.partition, self.key, self.merged, older, self._repair_ms())
        if blocking:
            self.repairing = True
            group.operation, group.needed = self, needed
        group.start()
        if not blocking:
            self._finish(unrepaired=False)

    def _fill(self, unfilled: list[Target]) -> None:
        """Give what was found to owners whose memory is incomplete, so that they can answer the next time."""
        if unfilled and self.merged is not None:
            RepairGroup(self.shared, self.partition, self.key, self.merged, unfilled, self._repair_ms()).start()

    def _drop_superseded(self) -> None:
        """A version older than one that was evicted somewhere is not the newest: it is not returned."""
        newest_evicted = max(self.evicted.values(), default=0)
        if self.merged is not None and _time_of(self.merged) < newest_evicted:
            self.merged = None

    def _repair_self(self) -> None:
        """Bring this node's own copy up to date; what it evicted stays evicted."""
        shared, merged = self.shared, self.merged
        own = shared.node_id
        if merged is None or not self.route.is_owner or own in self.evicted or self.records.get(own) == merged:
            return
        try:
            shared.store.merge(self.partition, self.key, merged, shared.now_ms)
        except DynacacheError:
            return
        self.records[own] = merged

    def _conclude(self) -> None:
        """No more answers will come: say what is known, or fail where the level promises more."""
        if self._counting() >= self._needed():
            self._evaluate()
            return
        self._repair_in_passing()
        if self.level in (Level.STRICT_QUORUM, Level.ALL):
            text = f"{self._counting()} of {self._needed()} complete replicas answered"
            self._error(NotEnoughReplicas(f"level {Level(self.level).name.lower()}: {text}"))
            return
        self._finish(unrepaired=False, degraded=True)

    def _repair_in_passing(self) -> None:
        """Too few answered, but what was found helps those that lack it: the next read may then reach its level."""
        self._drop_superseded()
        if self.merged is None:
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
            if self.level in (Level.STRICT_QUORUM, Level.ALL):
                self._error(NotEnoughReplicas("the newest version could not be brought to enough replicas in time"))
                return
        self.done = True
        reason = MissReason.NEVER_WRITTEN
        if self.evicted:
            reason = MissReason.EVICTED
        elif degraded:
            reason = MissReason.UNKNOWN
        outcome = Concluded(self.merged, reason, unrepaired=unrepaired, degraded=degraded)
        if self.waiter is not None:
            self.waiter.prepared(self, outcome)
        else:
            reply_to_read(self, outcome)


def _time_of(record: bytes) -> int:
    time: int = packed.HEADER.unpack_from(record)[5]
    return time
