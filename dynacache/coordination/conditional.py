"""Operations that look before they write: conditions, previous values, deletes, touches, increments.

What: ``Conditional`` reads a quorum first where the operation needs to know more than this node holds, then decides and
writes in one step of this node. Increments of a key that a complete copy holds here skip the read, deletes too but at
the strict levels: there a delete must cover whatever was acknowledged before it, and this copy may have missed it. A
touch asks a quorum of the owners themselves: a copy that is cut off must not give a longer life to a version that was
superseded elsewhere, because that version would be found again when its successor has expired without a trace.

Invariant: the decision and the minting happen in one turn with nothing in between, so two such operations at one
coordinator never both see the same state. Two coordinators may both decide yes (below level ``strong``); both versions
then exist as siblings and the winner is the same everywhere. A condition is refused, definitely, when the read could
not be completed.

Why: DESIGN sections 7 and 9; brief R1.14. A delete without a version competes by time (a blind tombstone), as a set
does: its coordinator and a whole quorum may have evicted, or never got, an older value that another owner holds still,
and that must not come back.
"""

import attrs

from dynacache.coordination.fills import may_fill, parse_fill
from dynacache.coordination.read import Reader
from dynacache.coordination.read_operation import STRICT_LEVELS, ReadOperation
from dynacache.coordination.read_reply import Concluded, metadata_of
from dynacache.coordination.requests import Request
from dynacache.coordination.routes import Route
from dynacache.coordination.shared import Shared
from dynacache.coordination.write import Writer
from dynacache.datatypes.reading import View, read
from dynacache.errors import DynacacheError, NotEnoughReplicas, NotReady, OutOfMemory, WrongType
from dynacache.events import ConnectionId, Message
from dynacache.placement.partitions import fingerprint, partition_of_key
from dynacache.types import KeyChange, Level, WriteCondition
from dynacache.versioning import packed
from dynacache.versioning.attachments import attach_life, join_tags
from dynacache.versioning.context import Context, covers_any, current, make_context, parse_context
from dynacache.versioning.fill_tokens import FillToken
from dynacache.wire.messages import (
    DELETE,
    DONE,
    FLAG_METADATA,
    FLAG_PREVIOUS,
    FLAG_RECEIPT,
    INCREMENT,
    NUMBER,
    PAYLOAD_FLAGS,
    SET,
    TOUCH,
)

__all__ = ["Conditional"]

_VALUE_FLAGS = packed.RAW | packed.FILL | packed.TAGGED | packed.SLIDING | packed.COMPRESSED
"""Flags that a value keeps when its expiry is rewritten."""


@attrs.define(eq=False)
class _Prepared:
    """One request waiting for its read."""

    conditional: "Conditional"
    connection: ConnectionId
    request: Request
    context: Context | None
    fill: FillToken | None = None
    evicted: int = 0
    """Hybrid time of the newest version that a replica asked has evicted."""

    def prepared(self, operation: ReadOperation, outcome: Concluded) -> None:
        """Go on with the write."""
        self.conditional.resume(self, operation, outcome)


@attrs.define(eq=False)
class Conditional:
    """Writes that depend on what is there."""

    shared: Shared
    reader: Reader
    writer: Writer

    def start(self, connection: ConnectionId, request: Request) -> None:
        """Begin any write but the plain set. Raises errors of the tree; nothing was changed then."""
        shared = self.shared
        partition = partition_of_key(request.key, shared.partition_shift)
        route = shared.routes.route(partition)
        self.writer.check(route, request.level)
        context = None
        if request.context is not None:
            context = parse_context(request.context, fingerprint(request.key))
        if request.operation_id is not None and request.operation == DELETE and self._seen(connection, request):
            return
        prepared = _Prepared(self, connection, request, context)
        if request.fill is not None:
            prepared.fill = parse_fill(shared, request.key, request.fill)
            prepared.context = prepared.fill.context
        if self._needs_read(request, route, partition):
            level = _read_level(request)
            self.reader.start(
                connection, request.rid, request.key, partition, route, level, request.timeout_ms, 0, prepared
            )
        else:
            held = self.writer.held(route, partition, request.key)
            self._apply(prepared, route, partition, held, blind=False)

    def resume(self, prepared: _Prepared, operation: ReadOperation, outcome: Concluded) -> None:
        """Take the outcome of the read and write; errors go to the client."""
        request, shared = prepared.request, self.shared
        incomplete = outcome.error is not None or outcome.degraded
        prepared.evicted = max(operation.evicted.values(), default=0)
        route = shared.routes.route(operation.partition)
        try:
            if incomplete and not self._may_be_blind(request):
                raise outcome.error or NotEnoughReplicas("too few complete replicas answered to decide the condition")
            if not route.coordinates:
                raise NotReady("an owner of this key is back; this node no longer stands in for it")
            self.writer.check(route, request.level)
            self._adopt(route, operation, outcome)
            self._apply(prepared, route, operation.partition, outcome.record, blind=incomplete)
        except DynacacheError as error:
            shared.fail(prepared.connection, request.rid, error)

    def _needs_read(self, request: Request, route: Route, partition: int) -> bool:
        if request.condition != WriteCondition.NONE or request.flags & FLAG_PREVIOUS or request.fill is not None:
            return True
        if request.operation in (SET, TOUCH):
            return request.operation == TOUCH
        if request.operation == DELETE and request.level in STRICT_LEVELS and len(route.readers) > 1:
            return True
        return not route.complete or self.writer.held(route, partition, request.key) is None

    def _may_be_blind(self, request: Request) -> bool:
        """An unconditional delete may act without having read: its tombstone then competes by time. So may a fill: it
        yields to all that it has not seen."""
        plain = request.condition == WriteCondition.NONE and not request.flags & FLAG_PREVIOUS
        return plain and (request.operation == DELETE or request.fill is not None)

    def _adopt(self, route: Route, operation: ReadOperation, outcome: Concluded) -> None:
        """Hold what was read before writing over it, so that the new version's clock covers it. Raises ``OutOfMemory``
        with nothing changed."""
        shared, record = self.shared, outcome.record
        if record is None:
            return
        partition, key = operation.partition, operation.key
        if route.is_owner:
            shared.merge(partition, key, record)
        elif not shared.hints.add(route.self_stands_for, partition, key, record, shared.now_ms, counted=False):
            raise OutOfMemory(f"hints for {route.self_stands_for} are at their limit; this node cannot stand in for it")

    def _seen(self, connection: ConnectionId, request: Request) -> bool:
        operations = self.writer.operations
        if request.operation_id is None or request.condition != WriteCondition.NONE:
            return False
        known = operations.recall(request.operation_id, request.key)
        return known and self.writer.repeat(connection, request.rid, request.key, request.level, request.timeout_ms)

    def _apply(self, prepared: _Prepared, route: Route, partition: int, record: bytes | None, *, blind: bool) -> None:
        """Decide and write. ``record`` is what the read merged, or what is held."""
        request, shared = prepared.request, self.shared
        held = self.writer.held(route, partition, request.key)
        record = held if record is None else packed.merge(record, packed.strip_local(held)) if held else record
        view = read(record, shared.now_ms) if record is not None else None
        if not self._holds(prepared, partition, record, view):
            self._reply_now(prepared, route, record, view)
            return
        reply: Message
        match request.operation:
            case op if op == SET:
                replica = self._set(prepared, route, partition, record)
                reply = (DONE, request.rid, True)
            case op if op == DELETE:
                context = prepared.context
                replica = self.writer.delete(route, partition, request.key, context, blind or context is None)
                if request.operation_id is not None and request.condition == WriteCondition.NONE:
                    self.writer.operations.remember(request.operation_id, request.key)
                reply = (DONE, request.rid, view is not None and view.found)
            case op if op == TOUCH:
                replica = self._touch(prepared, route, partition, record, view)
                reply = (DONE, request.rid, True)
            case _:
                replica, value = self.writer.increment(route, partition, request.key, request.delta, request.ttl_ms)
                reply = (NUMBER, request.rid, value)
        if shared.happened is not None:
            self._tell(request, blind=blind, found=view is not None and view.found)
        metadata = self._metadata(prepared, route, replica, view)
        self.writer.replicate(
            route,
            partition,
            request.key,
            replica,
            request.level,
            request.timeout_ms,
            (prepared.connection, reply if metadata is None else (*reply, metadata)),
        )

    def _tell(self, request: Request, *, blind: bool, found: bool) -> None:
        """Tell subscribers of a change; a delete that found nothing changed nothing, unless it could not look."""
        tell = self.shared.happened
        if tell is None or request.operation == TOUCH:
            return
        if request.operation != DELETE:
            tell(KeyChange.SET, request.key)
        elif found or blind:
            tell(KeyChange.DELETE, request.key)

    def _holds(self, prepared: _Prepared, partition: int, record: bytes | None, view: View | None) -> bool:
        """Tell whether the request's condition is met by what is there."""
        request = prepared.request
        found = view is not None and view.found
        if prepared.fill is not None:
            tags, evicted = request.tags, prepared.evicted
            return may_fill(self.shared, partition, request.key, prepared.fill, tags, record, evicted)
        if request.operation == DELETE and request.condition == WriteCondition.NONE and prepared.context is not None:
            return record is None or covers_any(prepared.context, record)
        match request.condition:
            case WriteCondition.IF_ABSENT:
                return not found
            case WriteCondition.IF_PRESENT:
                return found
            case WriteCondition.IF_VERSION:
                return record is not None and prepared.context is not None and current(prepared.context, record)
            case _:
                return found or request.operation in (SET, DELETE, INCREMENT)

    def _set(self, prepared: _Prepared, route: Route, partition: int, record: bytes | None) -> bytes:
        request = prepared.request
        expire_ms = self.shared.now_ms + request.ttl_ms if request.ttl_ms else 0
        flags, payload, time = request.payload_flags, request.payload, 0
        if request.tags:
            flags, payload = flags | packed.TAGGED, join_tags(request.tags) + payload
        if flags & packed.SLIDING:
            flags, payload = attach_life(flags, payload, request.ttl_ms)
        if prepared.fill is not None:
            flags, time = flags | packed.FILL, prepared.fill.time
        context = prepared.context
        return self.writer.set_after(route, partition, request.key, flags, payload, expire_ms, context, record, time)

    def _touch(
        self, prepared: _Prepared, route: Route, partition: int, record: bytes | None, view: View | None
    ) -> bytes:
        """Raise the expiry of the version named; shortening or removing it is a write over that version, and a value
        that never expires and shall not is left alone.

        That write keeps the time of the value it repeats, so it never wins over a value set elsewhere meanwhile.
        """
        request, shared = prepared.request, self.shared
        assert record is not None
        assert view is not None
        expire_ms = shared.now_ms + request.ttl_ms if request.ttl_ms else 0
        if not view.expire_ms and not expire_ms:
            return packed.strip_local(record)
        if view.expire_ms and expire_ms >= view.expire_ms:
            touched = packed.touch(record, expire_ms)
            held = self.writer.held(route, partition, request.key)
            local = touched if held is None else packed.merge(held, packed.strip_local(touched))
            self.writer.keep(route, partition, request.key, local)
            return packed.strip_local(touched)
        if record[1] == packed.MANY:
            raise WrongType("touch: the expiry of a counter, or of concurrent versions, can only be extended")
        key_print = fingerprint(request.key)
        context = parse_context(make_context(record, key_print), key_print)
        return self.writer.set_after(
            route,
            partition,
            request.key,
            view.flags & _VALUE_FLAGS,
            view.attached + view.payload,
            expire_ms,
            context,
            record,
            view.time,
        )

    def _reply_now(self, prepared: _Prepared, route: Route, record: bytes | None, view: View | None) -> None:
        """The condition does not hold: say so, nothing was written."""
        request = prepared.request
        metadata = self._metadata(prepared, route, record, view)
        message = (DONE, request.rid, False)
        self.shared.effects.send(prepared.connection, message if metadata is None else (*message, metadata))

    def _metadata(
        self, prepared: _Prepared, route: Route, record: bytes | None, before: View | None
    ) -> dict[str, object] | None:
        request, shared = prepared.request, self.shared
        metadata: dict[str, object] = {}
        if request.flags & FLAG_METADATA and record is not None:
            metadata = metadata_of(record, read(record, shared.now_ms), request.key)
        if request.flags & FLAG_PREVIOUS:
            found = before is not None and before.found
            metadata["p"] = [before.flags & PAYLOAD_FLAGS, before.payload] if found and before is not None else None
        if request.flags & FLAG_RECEIPT:
            metadata["r"] = {
                "asked": [shared.node_id, *(each.node_id for each in route.others)],
                "stood_in": [each.stands_for for each in route.fallbacks],
                "level": request.level,
                "coordinator": shared.node_id,
            }
        return metadata or None


def _read_level(request: Request) -> Level:
    """Return the level of the read before the write."""
    if request.operation == TOUCH and request.level != Level.ALL:
        return Level.STRICT_QUORUM
    return Level.QUORUM if request.level == Level.ONE else Level(request.level)
