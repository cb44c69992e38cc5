"""The replica's side: merge what coordinators send, answer what they ask.

What: ``WRITE`` merges every record of a group into the store (or, as a fallback, into the hints of the owner named)
and acknowledges the group with one message; ``READ`` answers every key with the shortest true answer.

Invariant: a sender with another member table is corrected before it is served. A message from the future (beyond the
allowed skew) or too old is not merged and not acknowledged. A malformed record is refused by position; the rest counts.
What a stale copy takes is named, so that it does not count: it may not survive the copy's becoming whole. A copy that
is warming, stale or not a reader's answers with data that does not count, and never with "absent".

Why one acknowledgement: a group's keys share their fate on this node, and naming the exceptions is cheaper than
confirming the rule (DESIGN section 3, rule 3; brief R2.5 for the age).
"""

from typing import Any

import attrs

from dynacache.coordination.shared import Shared
from dynacache.errors import ClockUnsafe, DynacacheError, InvalidRequest, Overloaded
from dynacache.events import ConnectionId, Message
from dynacache.placement.partitions import key_hash, partition_of_key
from dynacache.types import NodeId
from dynacache.versioning import packed
from dynacache.wire.messages import KEY_LIMIT_BYTES, READ_REPLY, TAKEN_UNCOUNTED, WHOLE_GROUP, WRITE_ACK

__all__ = ["Replica"]


@attrs.define(eq=False)
class Replica:
    """Serves other coordinators."""

    shared: Shared

    def write(self, connection: ConnectionId, message: Message) -> None:
        """Merge a group of records and acknowledge it. The caller has checked the table digest."""
        shared = self.shared
        _, request_id, clock, _, _, hint_for, payload = message[:7]
        if not shared.clock_safe or not self._clock_accepted(clock):
            self._refuse_group(connection, request_id, ClockUnsafe)
            return
        if (shared.clock.last >> 16) - (clock >> 16) > shared.settings.max_message_age_ms:
            shared.counters.old_messages += 1
            return
        if type(payload) is not list or len(payload) & 1:
            self._refuse_group(connection, request_id, InvalidRequest)
            return
        if hint_for is not None:
            exceptions = self._keep_hints(hint_for, payload)
        else:
            exceptions = self._merge(payload)
            if shared.store.stale:
                exceptions = self._except_stale(payload, exceptions)
        shared.counters.replica_writes += len(payload) >> 1
        shared.effects.send(connection, (WRITE_ACK, request_id, shared.clock.last, exceptions))

    def read(self, connection: ConnectionId, message: Message) -> None:
        """Answer a group of keys. The caller has checked the table digest."""
        shared = self.shared
        _, request_id, clock, _, _, payload = message[:6]
        self._clock_accepted(clock)
        answers: list[Any] = []
        if not shared.clock_safe and type(payload) is list:
            answers = [False] * (len(payload) >> 1)
            shared.effects.send(connection, (READ_REPLY, request_id, shared.clock.last, answers))
            return
        if type(payload) is list and not len(payload) & 1:
            shared.counters.replica_reads += len(payload) >> 1
            answer = self._answer
            answers = [answer(payload[index], payload[index + 1]) for index in range(0, len(payload), 2)]
        reply: Message = (READ_REPLY, request_id, shared.clock.last, answers)
        if shared.catalogue.sequence:
            reply = (*reply, shared.catalogue.sequence)
        shared.effects.send(connection, reply)

    def _merge(self, payload: list[Any]) -> list[list[int]] | None:
        """Merge records into the store; returns the positions refused, None when all were taken."""
        shared = self.shared
        shift, now_ms = shared.partition_shift, shared.now_ms
        merge_newer, merge, is_well_formed = shared.store.merge_newer, shared.merge, packed.is_well_formed
        refused: list[list[int]] | None = None
        for index in range(0, len(payload), 2):
            key, record = payload[index], payload[index + 1]
            try:
                if type(key) is not bytes or not 0 < len(key) <= KEY_LIMIT_BYTES:
                    raise InvalidRequest("malformed key")
                partition = key_hash(key) >> shift if key[0] else self._numbered(key)
                if merge_newer(partition, key, record, now_ms):
                    continue
                if not is_well_formed(record):
                    raise InvalidRequest("malformed record")
                merge(partition, key, record)
            except DynacacheError as error:
                refused = _except(refused, index, error)
        if shared.hints.total_bytes:
            self._refresh_hints(payload, refused)
        return refused

    def _except_stale(self, payload: list[Any], refused: list[list[int]] | None) -> list[list[int]] | None:
        """Name what was taken into stale copies, so that nobody counts it."""
        shared = self.shared
        positions = {position for position, _ in refused or ()}
        stale = [
            [index >> 1, TAKEN_UNCOUNTED]
            for index in range(0, len(payload), 2)
            if index >> 1 not in positions
            and partition_of_key(payload[index], shared.partition_shift) in shared.store.stale
        ]
        if len(stale) == len(payload) >> 1:
            return [[WHOLE_GROUP, TAKEN_UNCOUNTED]]
        return [*(refused or ()), *stale] or None

    def _refresh_hints(self, payload: list[Any], refused: list[list[int]] | None) -> None:
        """Let hints for others follow what this node has just taken."""
        left_out = {position for position, _ in refused or ()}
        for index in range(0, len(payload), 2):
            if index >> 1 not in left_out:
                self.shared.hints.refresh(payload[index], payload[index + 1])

    def _keep_hints(self, hint_for: NodeId, payload: list[Any]) -> list[list[int]] | None:
        """Keep records for an absent owner; what the budget refuses is excepted, never acknowledged and dropped."""
        shared = self.shared
        refused: list[list[int]] | None = None
        for index in range(0, len(payload), 2):
            key, record = payload[index], payload[index + 1]
            try:
                if type(key) is not bytes or type(hint_for) is not str or not packed.is_well_formed(record):
                    raise InvalidRequest("malformed hint")
                partition = self._numbered(key)
                if not shared.hints.add(hint_for, partition, key, record, shared.now_ms, counted=True):
                    raise Overloaded("hint budget")
                shared.counters.hints_stored += 1
            except DynacacheError as error:
                refused = _except(refused, index, error)
        return refused

    def _answer(self, key: Any, prefix: Any) -> Any:
        shared = self.shared
        if type(key) is not bytes:
            return False
        partition = key_hash(key) >> shared.partition_shift if key and key[0] else self._numbered(key)
        route = shared.routes.table[partition] or shared.routes.route(partition)
        if not route.is_owner:
            hinted = shared.hints.find(key)
            return False if hinted is None else packed.strip_local(hinted)
        record = shared.store.get(partition, key, shared.now_ms)
        if not route.complete:
            return False if record is None else shared.incomplete_answer(partition, record)
        if record is not None:
            if prefix is not None and packed.matches_prefix(record, prefix):
                return True
            return packed.strip_local(record)
        return shared.store.missing(partition, key)

    def _numbered(self, key: bytes) -> int:
        """Return the partition of a key with a namespace; raises ``InvalidRequest`` for one that there is not."""
        partition = partition_of_key(key, self.shared.partition_shift)
        if not self.shared.routes.placement.has(partition):
            raise InvalidRequest(f"key {key!r:.80}: no such partition, {partition}")
        return partition

    def _clock_accepted(self, clock: Any) -> bool:
        """Merge the sender's clock; False for one too far ahead or malformed."""
        if type(clock) is int and self.shared.clock.observe(clock, self.shared.wall_ms):
            return True
        self.shared.counters.skewed_messages += 1
        return False

    def _refuse_group(self, connection: ConnectionId, request_id: int, error: type[DynacacheError]) -> None:
        shared = self.shared
        exceptions = [[WHOLE_GROUP, error.code]]
        shared.effects.send(connection, (WRITE_ACK, request_id, shared.clock.last, exceptions))


def _except(refused: list[list[int]] | None, index: int, error: DynacacheError) -> list[list[int]]:
    refused = refused or []
    refused.append([index >> 1, error.code])
    return refused
