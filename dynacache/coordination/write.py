"""Writes at the coordinator: mint a version, store it, replicate it in the turn's groups.

What: ``Writer`` mints each new version from what this node holds (the store for an owner, the hint store for a
fallback), keeps it, and adds it to the group of its route and level; ``flush`` starts the turn's groups.

Invariant: a version is minted only after it is certain that enough machines can be reached and that it fits the memory,
so an ``UnavailableError`` always means that nothing was changed. A node mints only for partitions it holds.

Why mint first, then send: the coordinator's own copy is one of the W, and a record that is already stored cannot be
minted twice (DESIGN sections 7 and 9).
"""

import attrs

from dynacache.coordination.operation_ids import OperationIds
from dynacache.coordination.routes import Route
from dynacache.coordination.shared import Shared
from dynacache.coordination.write_group import BULK_BYTES, WriteGroup
from dynacache.datatypes import counter
from dynacache.errors import NotEnoughReplicas, OutOfMemory, Overloaded
from dynacache.events import ConnectionId, Message
from dynacache.placement.partitions import partition_of_key
from dynacache.types import KeyChange, Level
from dynacache.versioning import packed
from dynacache.versioning.context import Context
from dynacache.versioning.packed import MANY
from dynacache.wire.messages import DONE, GROUP_LIMIT_KEYS

__all__ = ["Writer"]

_GROUP_LIMIT_BYTES = 4 * 1024 * 1024


@attrs.define(eq=False)
class Writer:
    """Mints versions and replicates them."""

    shared: Shared
    operations: OperationIds
    _groups: dict[tuple[Route, int, int, bool, int], WriteGroup] = attrs.field(factory=dict)

    def set(
        self,
        connection: ConnectionId,
        rid: int,
        key: bytes,
        partition: int,
        route: Route,
        payload_flags: int,
        payload: bytes,
        level: int,
        timeout_ms: int,
        ttl_ms: int,
        operation_id: bytes | None,
    ) -> None:
        """Set unconditionally: supersede whatever this coordinator holds. Raises ``UnavailableError``."""
        shared = self.shared
        if route.write_needed[level] < 0 or len(shared.pending) >= shared.settings.pending_limit:
            self.refuse(level)
        operations = self.operations
        seen = operation_id is not None and operations.recall(operation_id, key)
        if seen and self.repeat(connection, rid, key, level, timeout_ms):
            return
        now_ms = shared.now_ms
        old = shared.store.peek(partition, key) if route.is_owner else shared.hints.find(key)
        store = shared.store
        unknown = not route.complete
        if old is None and (ttl_ms or payload_flags & packed.TAGGED) and not unknown:
            unknown = store.missing(partition, key) is not None
        clock = shared.clock
        clock.last = time = clock.last + 1
        expire_ms = now_ms + ttl_ms if ttl_ms else 0
        local, replica = packed.write(
            old, shared.issuer, time, expire_ms, payload_flags, payload, now_ms, None, unknown
        )
        if old is not None and route.is_owner:
            if old[1] == MANY:
                self.count_resolved(old)
            store.replace(partition, key, old, local)
        else:
            self.keep(route, partition, key, local)
        if operation_id is not None:
            operations.remember(operation_id, key)
        if shared.happened is not None:
            shared.happened(KeyChange.SET, key)
        self.replicate(route, partition, key, replica, level, timeout_ms, (connection, (DONE, rid, True)))

    def set_after(
        self,
        route: Route,
        partition: int,
        key: bytes,
        payload_flags: int,
        payload: bytes,
        expire_ms: int,
        context: Context | None,
        created: bytes | None,
        time: int = 0,
    ) -> bytes:
        """Mint a version over what is held, with a context; returns the record to replicate.

        ``time`` (hybrid timestamp, 0 for now) is what it competes by with concurrent versions.
        """
        shared = self.shared
        old = self.held(route, partition, key) or created
        time = time or self._tick()
        unknown = not route.complete or (old is None and shared.store.missing(partition, key) is not None)
        local, replica = packed.write(
            old, shared.issuer, time, expire_ms, payload_flags, payload, shared.now_ms, context, unknown
        )
        self.count_resolved(old)
        self.keep(route, partition, key, local)
        return replica

    def delete(self, route: Route, partition: int, key: bytes, context: Context | None, blind: bool) -> bytes:
        """Mint a tombstone over what is held; returns the record to replicate."""
        shared = self.shared
        old = self.held(route, partition, key)
        local, replica = packed.delete(old, shared.issuer, self._tick(), shared.now_ms, context, blind)
        self.count_resolved(old)
        self.keep(route, partition, key, local)
        return replica

    def increment(
        self, route: Route, partition: int, key: bytes, delta: int | float, ttl_ms: int
    ) -> tuple[bytes, int | float]:
        """Add to the counter that is held; returns the record to replicate and the value."""
        shared = self.shared
        old = self.held(route, partition, key)
        expire_ms = shared.now_ms + ttl_ms if ttl_ms else 0
        local, replica, value = counter.increment(old, shared.issuer, delta, self._tick(), expire_ms, shared.now_ms)
        self.keep(route, partition, key, local)
        return replica, value

    def repeat(self, connection: ConnectionId, rid: int, key: bytes, level: int, timeout_ms: int) -> bool:
        """Replicate what is held for a key again, for a retried operation; False when nothing is held any more."""
        shared = self.shared
        partition = partition_of_key(key, shared.partition_shift)
        route = shared.routes.route(partition)
        held = self.held(route, partition, key)
        if held is None:
            return False
        shared.counters.retried_operations += 1
        record = packed.strip_local(held)
        self.replicate(route, partition, key, record, level, timeout_ms, (connection, (DONE, rid, True)))
        return True

    def held(self, route: Route, partition: int, key: bytes) -> bytes | None:
        """Return the record this node holds for the key, as owner or as fallback."""
        if route.is_owner:
            return self.shared.store.get(partition, key, self.shared.now_ms)
        hinted = self.shared.hints.find(key)
        return None if hinted is None else self.shared.store.left(key, hinted)

    def count_resolved(self, old: bytes | None) -> None:
        """Count the concurrent values beside the winner that a write replaces: that many writes it discards."""
        if old is not None and old[1] == MANY:
            self.shared.counters.siblings_resolved += self.shared.sibling_count(old)

    def again(self, group: WriteGroup) -> None:
        """Start the unanswered writes of a group once more, because the owners have changed under it."""
        shared = self.shared
        left_ms = group.left_ms()
        for partition, key, record, reply in group.unanswered():
            route = shared.routes.route(partition)
            self.replicate(route, partition, key, record, group.level, left_ms, reply, group.restarts + 1)

    def keep(self, route: Route, partition: int, key: bytes, local: bytes) -> None:
        """Store a minted record where this node holds the partition; raises ``OutOfMemory`` with nothing changed."""
        shared = self.shared
        if route.is_owner:
            shared.store.put(partition, key, local)
        elif not shared.hints.add(route.self_stands_for, partition, key, local, shared.now_ms, counted=True):
            raise OutOfMemory(f"hints for {route.self_stands_for} are at their limit; this node cannot stand in for it")

    def replicate(
        self,
        route: Route,
        partition: int,
        key: bytes,
        record: bytes,
        level: int,
        timeout_ms: int,
        reply: tuple[ConnectionId, Message],
        restarts: int = 0,
    ) -> None:
        """Add a record to the turn's group of its route and level; ``reply`` leaves when the level is reached."""
        if self.shared.hints.total_bytes and route.is_owner:
            self.shared.hints.refresh(key, record)
        size = len(key) + len(record)
        bulk = size > BULK_BYTES
        group_key = (route, level, timeout_ms, bulk, restarts)
        group = self._groups.get(group_key)
        if group is None:
            group = self._groups[group_key] = WriteGroup(self.shared, route, level, timeout_ms, bulk)
            group.restarts, group.again = restarts, self.again
        group.replies.append(reply)
        group.partitions.append(partition)
        payload = group.payload
        payload.append(key)
        payload.append(record)
        group.size_bytes += size
        if group.size_bytes > _GROUP_LIMIT_BYTES or len(group.partitions) >= GROUP_LIMIT_KEYS:
            del self._groups[group_key]
            group.start()

    def give_up(self) -> None:
        """End every write under way, its fate unknown, and forget which operations were done: what this node has minted
        lately is about to be removed. What this turn has gathered is among them, so that none of it leaves later, when
        the clock has been set back and others would take it."""
        self.flush()
        pending = self.shared.pending
        for request_id, request in list(pending.items()):
            if isinstance(request, WriteGroup):
                del pending[request_id]
                request.overdue()
        self.operations.forget()

    def flush(self) -> None:
        """Start the groups that this turn filled."""
        if self._groups:
            groups, self._groups = self._groups, {}
            for group in groups.values():
                group.start()

    def refuse(self, level: int) -> None:
        """Raise the reason why a write at this level cannot begin; nothing was changed."""
        shared = self.shared
        if len(shared.pending) >= shared.settings.pending_limit:
            raise Overloaded(f"{len(shared.pending)} requests are in flight, the limit of this node")
        raise NotEnoughReplicas(
            f"level {Level(level).name.lower()} cannot be reached now: too few replicas are connected"
        )

    def check(self, route: Route, level: int) -> None:
        """Raise unless a write at this level can begin now."""
        if route.write_needed[level] < 0 or len(self.shared.pending) >= self.shared.settings.pending_limit:
            self.refuse(level)

    def _tick(self) -> int:
        clock = self.shared.clock
        clock.last += 1
        return clock.last
