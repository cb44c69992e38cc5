"""Read repair: the merged version goes to those who answered with less.

What: ``repair_targets`` names who is older (found an older version, or absent) and who is unfilled (unknown, because
its memory is incomplete); ``RepairGroup`` sends the record and, for a blocking repair, counts until enough hold it.

Invariant: a replica that evicted the key is left alone, otherwise repair would pour back what memory pressure threw
out. A repair only ever merges.

Why: brief rules R5.8 and R1.13; monotonic quorum reads need the blocking form.
"""

from typing import TYPE_CHECKING

import attrs

from dynacache.coordination.ports import Repaired
from dynacache.coordination.routes import Target
from dynacache.coordination.shared import Shared
from dynacache.coordination.tally import Tally
from dynacache.coordination.timeline import timeout_class_ms
from dynacache.events import ConnectionId, Message
from dynacache.wire.messages import WRITE

if TYPE_CHECKING:
    from dynacache.coordination.read_operation import ReadOperation

__all__ = ["RepairGroup", "repair_targets"]


def repair_targets(operation: "ReadOperation") -> tuple[list[Target], list[Target]]:
    """Return (machines that hold less than the merged version, owners whose memory is incomplete and hold less)."""
    own, merged = operation.shared.node_id, operation.merged
    older = [node for node, record in operation.records.items() if record != merged and node != own]
    older += [node for node in operation.absent if node != own]
    unfilled = [node for node in operation.unknown if operation.incomplete.get(node) != merged and node != own]
    asked = operation.asked
    owners = set(operation.route.owners)
    return (
        [asked[node] for node in older if node in asked],
        [asked[node] for node in unfilled if node in asked and node in owners],
    )


@attrs.define(eq=False)
class RepairGroup:
    """One record on its way to the replicas that lack it.

    ``operation`` hears once whether ``tally`` was won by their acknowledgements.
    """

    shared: Shared
    partition: int
    key: bytes
    record: bytes
    targets: list[Target]
    timeout_ms: int
    operation: Repaired | None = None
    tally: Tally | None = None
    waiting: dict[ConnectionId, Target] = attrs.field(factory=dict)
    _request_id: int = 0

    def start(self) -> None:
        """Send the record to every target."""
        shared = self.shared
        timeout_ms = timeout_class_ms(self.timeout_ms)
        self._request_id = shared.new_request(self, timeout_ms, timeout_ms)
        for target in self.targets:
            connection = shared.links.link(target.node_id).connection
            if connection:
                self.waiting[connection] = target
                self._send(connection, target)
        if not self.waiting:
            self.overdue()
            del shared.pending[self._request_id]

    def replied(self, connection: ConnectionId, message: Message) -> bool:
        """Count an acknowledgement without exceptions."""
        target = self.waiting.pop(connection, None)
        taken = target is not None and not (len(message) > 3 and message[3])
        if (
            target is not None
            and taken
            and self.tally is not None
            and self.tally.add(target.node_id, target.stands_for)
        ):
            self._tell(True)
        return self._finished()

    def lost(self, connection: ConnectionId) -> bool:
        """A link ended."""
        self.waiting.pop(connection, None)
        return self._finished()

    def slow(self) -> None:
        """Nothing to do: a repair has no second choice."""

    def overdue(self) -> None:
        """The deadline has passed."""
        self._tell(False)

    def refused(self, connection: ConnectionId) -> bool:
        """A repair refused for a stale table is left to the next read."""
        return False

    def _send(self, connection: ConnectionId, target: Target) -> None:
        shared = self.shared
        hint_for = None if target.stands_for == target.node_id else target.stands_for
        payload = [self.key, self.record]
        clock, digest = shared.clock.last, shared.digest
        shared.effects.send(connection, (WRITE, self._request_id, clock, digest, self.timeout_ms, hint_for, payload))

    def _tell(self, reached: bool) -> None:
        operation, self.operation = self.operation, None
        if operation is not None:
            operation.repaired(reached)

    def _finished(self) -> bool:
        if self.waiting:
            return False
        self.overdue()
        return True
