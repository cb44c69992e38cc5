"""Hints offered to all present owners of their key, because their target is gone for good or their time runs out.

What: an ``Offer`` sends the records of hints that go to the same owners in one message each, merges them into this
node's own copy if it is an owner, and tells for every hint whether a write quorum of every owner set holds it.

Invariant: every hint is told about exactly once. Only what an owner has taken without exception counts, and only one
machine for one owner; what a stale copy took does not.

Why apart from ``hint_replay``: that decides when and what becomes of a hint, this one asks and counts (DESIGN section
9, hints; brief R4.5 for the sets).
"""

from typing import Protocol

import attrs

from dynacache.coordination.ports import KeptHint
from dynacache.coordination.routes import Route, Target
from dynacache.coordination.shared import Shared
from dynacache.coordination.tally import Tally
from dynacache.coordination.timeline import timeout_class_ms
from dynacache.errors import DynacacheError
from dynacache.events import ConnectionId, Message
from dynacache.types import Level, NodeId
from dynacache.versioning import packed
from dynacache.wire.messages import WHOLE_GROUP, WRITE

__all__ = ["Offer", "Offered", "OfferedHint"]


@attrs.frozen(eq=False)
class OfferedHint:
    """A hint as it was when it was offered."""

    target: NodeId
    key: bytes
    hint: KeptHint
    record: bytes


class Offered(Protocol):
    """Whoever decides what becomes of a hint that was offered."""

    def offered(self, hint: OfferedHint, reached: bool) -> None:
        """Take note whether enough owners hold the record now."""
        ...


@attrs.define(eq=False)
class Offer:
    """Hints on their way to the owners that one route names."""

    shared: Shared
    route: Route
    hints: list[OfferedHint]
    asker: Offered
    _waiting: dict[ConnectionId, Target] = attrs.field(factory=dict)
    _taken: list[tuple[Target, set[int]]] = attrs.field(factory=list)
    """Who has acknowledged, and the positions that it left out."""

    def start(self) -> None:
        """Send the records."""
        shared = self.shared
        if self.route.is_owner:
            self._take_own()
        timeout_ms = timeout_class_ms(shared.settings.write_timeout_ms)
        request_id = shared.new_request(self, timeout_ms, timeout_ms)
        payload = [part for each in self.hints for part in (each.key, packed.strip_local(each.record))]
        message = (WRITE, request_id, shared.clock.last, shared.digest, timeout_ms, None, payload)
        for target in self.route.others:
            link = shared.links.link(target.node_id)
            connection = link.bulk_connection or link.connection
            if connection:
                self._waiting[connection] = target
                shared.effects.send(connection, message)
        if not self._waiting:
            del shared.pending[request_id]
            self.overdue()

    def replied(self, connection: ConnectionId, message: Message) -> bool:
        """Note what one owner has taken."""
        target = self._waiting.pop(connection, None)
        if target is not None:
            self._taken.append((target, {each[0] for each in message[3] or ()} if len(message) > 3 else set()))
        return self._finished()

    def lost(self, connection: ConnectionId) -> bool:
        """A link ended."""
        self._waiting.pop(connection, None)
        return self._finished()

    def slow(self) -> None:
        """Hints are patient."""

    def overdue(self) -> None:
        """No more answers will come: tell what was reached."""
        self._waiting.clear()
        hints, self.hints = self.hints, []
        for position, each in enumerate(hints):
            tally = Tally.at_level(Level.QUORUM, self.route.owner_sets)
            for target, left_out in self._taken:
                if position not in left_out and WHOLE_GROUP not in left_out:
                    tally.add(target.node_id, target.stands_for)
            self.asker.offered(each, tally.won())

    def refused(self, connection: ConnectionId) -> bool:
        """The member tables differed: the hints are offered again, to the owners of that time."""
        return False

    def _take_own(self) -> None:
        """Merge the records into this node's own copy; one that has no room for them is left to repair."""
        shared = self.shared
        left_out: set[int] = set() if self.route.counts_self else {WHOLE_GROUP}
        for position, each in enumerate(self.hints):
            try:
                shared.merge(each.hint.partition, each.key, packed.strip_local(each.record))
            except DynacacheError:
                shared.store.dirty.add(each.hint.partition)
                left_out.add(position)
        self._taken.append((Target(shared.node_id, 0, shared.node_id), left_out))

    def _finished(self) -> bool:
        if self._waiting:
            return False
        self.overdue()
        return True
