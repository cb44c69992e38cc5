"""A turn's writes that go to the same machines at the same level: replicated, acknowledged and timed as one.

What: one ``WRITE`` message carries every key of the group, one acknowledgement answers for all of them, one tally
counts. A replica that refuses single keys names their positions; each of those goes on with a tally of its own.

Invariant: clients are answered once, when every owner set has its acknowledgements or the deadline passes. All
acknowledgements that are counted were given under one member table: when the owners have changed, whatever is not
answered yet starts again as a new group. What a stale copy takes does not count above level one. An owner
that has not acknowledged when the group ends (or whose link is lost) has a hint, at a fallback that acknowledged for it
or here; if neither has room the partition is marked dirty. A fallback stands in for one owner, never beside it.

Why groups: the work per key shrinks to building its record; everything that counts is done once a batch (DESIGN
section 3). Sloppy quorums and hinted handoff: Dynamo section 4.6.
"""

from collections.abc import Callable

import attrs

from dynacache.coordination.links import Link
from dynacache.coordination.routes import Route, Target
from dynacache.coordination.shared import Shared
from dynacache.coordination.tally import Tally
from dynacache.coordination.timeline import timeout_class_ms
from dynacache.events import ConnectionId, Message
from dynacache.types import Level, NodeId
from dynacache.wire.messages import TAKEN_UNCOUNTED, WHOLE_GROUP, WRITE

__all__ = ["BULK_BYTES", "WriteGroup"]

BULK_BYTES = 256 * 1024
"""A record larger than this travels on the peer's bulk connection, so that it delays no acknowledgement."""

_RESEND_LIMIT = 3


@attrs.define(eq=False)
class WriteGroup:
    """Writes under way to one route.

    ``replies``: (client connection, message to send when the level is reached), one per key.
    ``payload``: key, record, key, record, ... as they travel. ``partitions``: one per key.
    """

    shared: Shared
    route: Route
    level: int
    timeout_ms: int
    bulk: bool = False
    replies: list[tuple[ConnectionId, Message]] = attrs.field(factory=list)
    payload: list[bytes] = attrs.field(factory=list)
    partitions: list[int] = attrs.field(factory=list)
    size_bytes: int = 0
    answered: bool = False
    request_id: int = 0
    restarts: int = 0
    again: Callable[["WriteGroup"], None] | None = None
    """Starts what is not answered yet once more, under the present owners."""
    tally: Tally = attrs.field(init=False)
    waiting: dict[ConnectionId, Target] = attrs.field(factory=dict)
    _used: set[NodeId] = attrs.field(factory=set)
    _sent_at_s: float = 0.0
    _resends: int = 0
    _digest: int = 0
    _is_over: bool = False
    _solos: dict[int, "WriteGroup"] = attrs.field(factory=dict)

    def start(self) -> None:
        """Send the group to every reachable owner, and to a fallback for each that is away."""
        shared, route = self.shared, self.route
        self.tally = Tally.at_level(self.level, route.owner_sets)
        self._sent_at_s = shared.now_s
        self._digest = shared.digest
        self.request_id = shared.new_request(
            self, timeout_class_ms(self.timeout_ms), shared.settings.replica_timeout_ms
        )
        sloppy = self.level in (Level.ONE, Level.QUORUM)
        counts = route.counts_self or self.level == Level.ONE
        if route.self_stands_for and counts and (route.is_owner or sloppy):
            self.tally.add(shared.node_id, route.self_stands_for)
        self._send_to_owners()
        if route.absent:
            self._send_to_fallbacks()
        if self.tally.won():
            self._answer()
        if not self.waiting:
            self.overdue()
            del shared.pending[self.request_id]

    def replied(self, connection: ConnectionId, message: Message) -> bool:
        """Count an acknowledgement; positions it excepts go on alone."""
        target = self.waiting.pop(connection, None)
        if target is None:
            return not self.waiting
        shared = self.shared
        link = shared.links.by_connection.get(connection)
        if link is not None:
            shared.links.succeeded(link, (shared.now_s - self._sent_at_s) * 1000)
        exceptions = message[3] if len(message) > 3 else None
        if exceptions:
            self._except(target, exceptions)
        else:
            self._acknowledged(target)
        return self._finished()

    def lost(self, connection: ConnectionId) -> bool:
        """A link ended: let a fallback stand in, or keep the hint here."""
        if self._is_over:
            return True
        target = self.waiting.pop(connection, None)
        if target is not None and not self._stand_in(target):
            self._hint(target)
        return self._finished()

    def slow(self) -> None:
        """A replica is silent: hold it against the link and, if the level still needs it, ask a fallback as well."""
        for connection, target in list(self.waiting.items()):
            link = self.shared.links.by_connection.get(connection)
            if link is not None and link.connection == connection:
                self.shared.links.failed(link, self.shared.now_s)
            if not self.answered:
                self._stand_in(target)

    def overdue(self) -> None:
        """End of the group: hint whoever is missing, and tell the clients if the level was not reached."""
        if self._is_over:
            return
        shared = self.shared
        for solo in self._solos.values():
            solo.overdue()
        for target in self.waiting.values():
            self._hint(target)
        self.waiting.clear()
        for owner in self.route.absent:
            if owner not in self.tally.covered and owner != self.route.self_stands_for:
                self._hint(Target(owner, 0, owner))
        if not self.answered:
            self.answered = True
            counted, needed = len(self.tally.covered), max(self.tally.required)
            for position, (connection, message) in enumerate(self.replies):
                if position not in self._solos:
                    shared.timed_out(connection, message[1], "write", counted, needed)

    def left_ms(self) -> int:
        """Return what is left of the time the client gave, at least 1."""
        return max(1, self.timeout_ms - int((self.shared.now_s - self._sent_at_s) * 1000))

    def unanswered(self) -> list[tuple[int, bytes, bytes, tuple[ConnectionId, Message]]]:
        """Return (partition, key, record, reply) of the writes whose clients wait, and leave their answers to whoever
        asked; what was answered gets hints for the owners still awaited."""
        found = []
        for position, partition in enumerate(self.partitions):
            group = self._solos.get(position, self)
            if not group.answered:
                key, record = self.payload[2 * position : 2 * position + 2]
                found.append((partition, key, record, self.replies[position]))
            else:
                for target in self.waiting.values():
                    self._keep(position, target.stands_for)
        self.answered = True
        self._solos.clear()
        self.waiting.clear()
        return found

    def refused(self, connection: ConnectionId) -> bool:
        """Send once more to a node whose table was newer or older than ours; if ours has changed by that, begin again
        with the present owners."""
        if self._digest != self.shared.digest and not self.answered:
            if self.again is None or self.restarts >= _RESEND_LIMIT:
                return False
            self.again(self)
            self._is_over = True
            return False
        target = self.waiting.get(connection)
        if target is None or self._resends >= _RESEND_LIMIT:
            return False
        self._resends += 1
        self._send((connection,), None if target.stands_for == target.node_id else target.stands_for)
        return True

    def _send(self, connections: tuple[ConnectionId, ...], hint_for: NodeId | None) -> None:
        shared = self.shared
        message = (WRITE, self.request_id, shared.clock.last, shared.digest, self.timeout_ms, hint_for, self.payload)
        shared.effects.shared.append((connections, message))

    def _send_to_owners(self) -> None:
        waiting, links = self.waiting, self.shared.links
        if self.bulk:
            for target in self.route.others:
                waiting[_connection(links.link(target.node_id), True)] = target
        else:
            for target in self.route.others:
                waiting[target.connection] = target
        if waiting:
            self._send(tuple(waiting), None)

    def _send_to_fallbacks(self) -> None:
        if self.level in (Level.STRICT_QUORUM, Level.ALL):
            return
        self.shared.counters.sloppy_writes += len(self.replies)
        for target in self.route.fallbacks:
            self._ask(target)

    def _ask(self, target: Target) -> None:
        connection = _connection(self.shared.links.link(target.node_id), self.bulk)
        self._used.add(target.node_id)
        self.waiting[connection] = target
        self._send((connection,), target.stands_for)

    def _stand_in(self, lost: Target) -> bool:
        """Ask the next fallback to acknowledge for ``lost``'s owner; False if there is none or the level forbids it."""
        if self.answered or self.level in (Level.STRICT_QUORUM, Level.ALL) or not self.partitions:
            return False
        shared = self.shared
        owners = self.route.owners
        for node in shared.routes.placement.preference(self.partitions[0])[len(owners) :]:
            taken = node in self._used or node == shared.node_id or node in self.route.owners
            if not taken and shared.links.usable(node):
                self._ask(Target(node, 0, lost.stands_for))
                return True
        return False

    def _acknowledged(self, target: Target) -> None:
        for solo in self._solos.values():
            solo._acknowledged(target)
        if self.tally.add(target.node_id, target.stands_for) and not self.answered:
            self._answer()

    def _answer(self) -> None:
        self.answered = True
        sends = self.shared.effects.sends
        replies = self.replies
        if self._solos:
            replies = [reply for position, reply in enumerate(replies) if position not in self._solos]
        for connection, message in replies:
            queue = sends.get(connection)
            if queue is None:
                sends[connection] = [message]
            else:
                queue.append(message)

    def _except(self, target: Target, exceptions: list[list[int]]) -> None:
        """Take an acknowledgement that leaves some keys out, or took them without its counting."""
        codes = {each[0]: each[1] for each in exceptions}
        if WHOLE_GROUP in codes:
            if codes[WHOLE_GROUP] != TAKEN_UNCOUNTED:
                if not self._stand_in(target):
                    self._hint(target)
            elif self.level == Level.ONE:
                self._acknowledged(target)
            return
        if self.level == Level.ONE:
            codes = {position: code for position, code in codes.items() if code != TAKEN_UNCOUNTED}
        for position in sorted(codes):
            if 0 <= position < len(self.partitions) and position not in self._solos:
                self._solos[position] = self._split(position)
        for position, solo in self._solos.items():
            code = codes.get(position)
            if code is None:
                solo._acknowledged(target)
            elif code != TAKEN_UNCOUNTED:
                solo._hint(target)
        if self.tally.add(target.node_id, target.stands_for) and not self.answered:
            self._answer()

    def _split(self, position: int) -> "WriteGroup":
        """Let one key go on alone, with the acknowledgements it has; its place in the group answers nobody."""
        solo = WriteGroup(self.shared, self.route, self.level, self.timeout_ms, answered=self.answered)
        solo.payload = self.payload[2 * position : 2 * position + 2]
        solo.partitions = [self.partitions[position]]
        solo.tally = Tally(self.tally.owner_sets, self.tally.required)
        for machine, owner in self.tally.machines.items():
            solo.tally.add(machine, owner)
        if not self.answered:
            solo.replies = [self.replies[position]]
        return solo

    def _hint(self, target: Target) -> None:
        """Keep the group's records for an owner that did not acknowledge, unless a fallback did for it."""
        if target.stands_for not in self.tally.covered:
            for position in range(len(self.partitions)):
                self._keep(position, target.stands_for)

    def _keep(self, position: int, owner: NodeId) -> None:
        """Keep one record for an owner; where there is no room for it, repair visits the partition first.

        It is as old as the write: after a standstill what has deleted or invalidated it may be forgotten by now.
        """
        shared = self.shared
        sent_ms = shared.now_ms - int((shared.now_s - self._sent_at_s) * 1000)
        key, record = self.payload[2 * position : 2 * position + 2]
        partition = self.partitions[position]
        if shared.hints.add(owner, partition, key, record, sent_ms, counted=False):
            shared.counters.hints_stored += 1
        else:
            shared.counters.hints_refused += 1
            shared.store.dirty.add(partition)

    def _finished(self) -> bool:
        if self.waiting:
            return False
        self.overdue()
        return True


def _connection(link: Link, bulk: bool) -> ConnectionId:
    return link.bulk_connection if bulk and link.bulk_connection else link.connection
