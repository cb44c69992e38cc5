"""The gate through which every client request enters, from a client's connection or forwarded by a peer.

What: plain gets and sets are checked inline and go straight to the reader and the writer; everything else is parsed
into a ``Request`` first. A request for a partition this node may not coordinate is forwarded.

Invariant: every message gets exactly one answer, now or later; a malformed one gets an error that names what was
wrong, and nothing is changed. A message whose request id cannot be read gets none: the connection is closed. What a
stamp says to have been sent too long ago is refused unread (``max_message_age_ms``).

Why one loop: the batch is the unit of the hot path, and two branches per message are all that the common case pays.
"""

from collections.abc import Callable, Iterator

import attrs

from dynacache.coordination.conditional import Conditional
from dynacache.coordination.forward import Forwarder
from dynacache.coordination.read import Reader
from dynacache.coordination.requests import NOTHING_SLIDES, OPERATION_ID_LIMIT_BYTES, TTL_LIMIT_MS, Request, parse
from dynacache.coordination.routes import Route
from dynacache.coordination.scan import Scanner
from dynacache.coordination.shared import Shared
from dynacache.coordination.write import Writer
from dynacache.errors import ClockUnsafe, DynacacheError, InvalidRequest, NotReady
from dynacache.events import Close, ConnectionId, Message
from dynacache.namespaces.names import with_factor
from dynacache.namespaces.settings import DEFAULTS, NEVER_MS, NamespaceSettings
from dynacache.placement.partitions import factor_in, fingerprint, key_hash, partition_of_key
from dynacache.types import Level
from dynacache.versioning.attachments import attach_life, pack_tags
from dynacache.versioning.context import Context, parse_context
from dynacache.versioning.packed import COMPRESSED, RAW, SLIDING, TAGGED
from dynacache.wire.messages import (
    COMMAND,
    DELETE,
    GET,
    INCREMENT,
    PING,
    PONG,
    SCAN,
    SET,
    STAMP,
    TIME,
    TOUCH,
    USER_KEY_LIMIT_BYTES,
    VALUE_LIMIT_BYTES,
)

__all__ = ["Gate"]

_HIGHEST_LEVEL = int(Level.ALL)
"""Above it is `strong`, which is refused."""
_PLAIN_FLAGS = frozenset(
    raw | packed | slides for raw in (0, RAW) for packed in (0, COMPRESSED) for slides in (0, SLIDING)
)
"""Payload flags that say nothing to a node."""


def _no_commands(connection: ConnectionId, message: Message) -> None:
    raise InvalidRequest("this node takes no commands")


@attrs.define(eq=False)
class Gate:
    """Checks and dispatches client requests."""

    shared: Shared
    reader: Reader
    writer: Writer
    conditional: Conditional
    forwarder: Forwarder
    stopping: bool = False
    closed: bool = False
    """Nothing is served: the node is stopping or drained, or distrusts its clock."""
    served: dict[int, Callable[[ConnectionId, Message, int], None]] = attrs.field(factory=dict)
    """What serves the kinds of requests that are about more than one key: (connection, message, hops)."""
    command: Callable[[ConnectionId, Message], None] = _no_commands
    """Carries an operator's order out; raises an error of the tree."""

    def __attrs_post_init__(self) -> None:
        """Serve scans."""
        self.served[SCAN] = Scanner(self.shared, self.forwarder).serve

    def stop(self) -> None:
        """Serve nothing any more, until told otherwise."""
        self.stopping = self.closed = True

    def resume(self) -> None:
        """Serve again after ``stop``, as far as the clock is trusted."""
        self.stopping, self.closed = False, not self.shared.clock_safe

    def distrust_clock(self, distrusted: bool) -> None:
        """Serve nothing while this machine's clock is in doubt (``Shared.clock_safe``)."""
        self.closed = self.stopping or distrusted

    def serve(self, connection: ConnectionId, messages: list[Message], hops: int = 0) -> None:
        """Serve a batch of requests from one connection."""
        reads = writes = 0
        left = iter(messages)
        for message in left:
            try:
                kind = message[0]
                if kind == GET:
                    reads += 1
                    self._get(connection, message, hops)
                elif kind == SET:
                    writes += 1
                    self._set(connection, message, hops)
                elif kind == STAMP:
                    if self._is_late(connection, message):
                        self._refuse_late(connection, left)
                else:
                    self._other(connection, message, hops)
            except DynacacheError as error:
                self.shared.fail(connection, message[1], error)
            except (IndexError, TypeError, ValueError):
                self._malformed(connection, message)
        counters = self.shared.counters
        counters.reads += reads
        counters.writes += writes
        self.reader.asker.earn(reads)

    def _get(self, connection: ConnectionId, message: Message, hops: int) -> None:
        shared = self.shared
        count = len(message)
        rid, key = message[1], message[2]
        level = (message[3] if count > 3 else 0) or shared.settings.default_read_level
        timeout_ms = (message[4] if count > 4 else 0) or shared.settings.read_timeout_ms
        if (
            type(key) is not bytes
            or not 0 < len(key) <= USER_KEY_LIMIT_BYTES
            or type(rid) is not int
            or type(level) is not int
            or not 0 < level <= _HIGHEST_LEVEL
            or type(timeout_ms) is not int
            or not 0 < timeout_ms <= shared.settings.longest_timeout_ms
            or (count > 5 and message[5])
            or count > 6
            or self.closed
        ):
            self._other(connection, message, hops)
            return
        partition = key_hash(key) >> shared.partition_shift
        if not key[0] or shared.namespaces.default is not None:
            namespace = shared.namespaces.of(key)
            if namespace.read_level and not (count > 3 and message[3]):
                level = namespace.read_level
            if namespace.replication_factor:
                message = self._placed(message, namespace, hops)
                key = message[2]
                partition = partition_of_key(key, shared.partition_shift)
        route = shared.routes.table[partition] or shared.routes.route(partition)
        if route.coordinates:
            self.reader.get(connection, rid, key, partition, route, level, timeout_ms)
        else:
            self.forwarder.forward(connection, message, timeout_ms, hops)

    def _set(self, connection: ConnectionId, message: Message, hops: int) -> None:
        shared = self.shared
        count = len(message)
        rid, key, payload_flags, payload = message[1], message[2], message[3], message[4]
        level = (message[5] if count > 5 else 0) or shared.settings.default_write_level
        timeout_ms = (message[6] if count > 6 else 0) or shared.settings.write_timeout_ms
        ttl_ms = message[7] if count > 7 else 0
        operation_id = message[11] if count > 11 else None
        if (
            type(key) is not bytes
            or not 0 < len(key) <= USER_KEY_LIMIT_BYTES
            or type(rid) is not int
            or type(payload) is not bytes
            or len(payload) > VALUE_LIMIT_BYTES
            or payload_flags not in _PLAIN_FLAGS
            or type(level) is not int
            or not 0 < level <= _HIGHEST_LEVEL
            or type(timeout_ms) is not int
            or not 0 < timeout_ms <= shared.settings.longest_timeout_ms
            or type(ttl_ms) is not int
            or not NEVER_MS <= ttl_ms <= TTL_LIMIT_MS
            or (
                operation_id is not None
                and (type(operation_id) is not bytes or len(operation_id) > OPERATION_ID_LIMIT_BYTES)
            )
            or (count > 8 and (message[8] or (count > 9 and message[9]) or (count > 10 and message[10] is not None)))
            or count > 13
            or self.closed
        ):
            self._other(connection, message, hops)
            return
        partition = key_hash(key) >> shared.partition_shift
        if ttl_ms < 0 or not key[0] or shared.namespaces.default is not None:
            namespace = shared.namespaces.of(key)
            ttl_ms = namespace.lifetime_ms(ttl_ms)
            if namespace.sliding:
                payload_flags |= SLIDING
            if namespace.write_level and not (count > 5 and message[5]):
                level = namespace.write_level
            if namespace.replication_factor:
                message = self._placed(message, namespace, hops)
                key = message[2]
                partition = partition_of_key(key, shared.partition_shift)
        route = shared.routes.table[partition] or shared.routes.route(partition)
        if route.coordinates:
            if count > 12 and message[12]:
                payload_flags, payload = payload_flags | TAGGED, pack_tags(message[12]) + payload
            if payload_flags & SLIDING:
                if not ttl_ms and message[3] & SLIDING:
                    raise InvalidRequest(NOTHING_SLIDES)
                payload_flags, payload = attach_life(payload_flags, payload, ttl_ms)
            self.writer.set(
                connection, rid, key, partition, route, payload_flags, payload, level, timeout_ms, ttl_ms, operation_id
            )
        else:
            self.forwarder.forward(connection, message, timeout_ms, hops)

    def _other(self, connection: ConnectionId, message: Message, hops: int) -> None:
        kind, rid = message[0], message[1]
        if type(rid) is not int:
            raise TypeError("request id")
        if kind == PING:
            self.shared.effects.send(connection, (PONG, rid))
            return
        if kind == COMMAND and connection > 0:  # a client's own: orders are never forwarded
            self.command(connection, message)
            return
        serve = self.served.get(kind)
        if serve is None and kind not in (GET, SET, DELETE, TOUCH, INCREMENT):
            raise InvalidRequest(f"message kind: got {kind!r}, expected a client request")
        if self.stopping:
            raise NotReady("this node is stopping or drained; ask another one")
        if self.closed:
            self.shared.counters.clock_refusals += 1
            raise ClockUnsafe(
                "this node's clock differs from its peers'; it serves nothing until that is known or over"
            )
        if serve is not None:
            serve(connection, message, hops)
            return
        reading = kind == GET
        namespace = self._namespace_of(message)
        if namespace.replication_factor:
            message = self._placed(message, namespace, hops)
        request = self._parsed(message, reading, namespace)
        partition = partition_of_key(request.key, self.shared.partition_shift)
        route = self.shared.routes.route(partition)
        if not route.coordinates:
            self.forwarder.forward(connection, message, request.timeout_ms, hops)
        elif reading:
            self._read(connection, request, partition, route)
        else:
            self.shared.counters.writes += int(kind != SET)
            self.conditional.start(connection, request)

    def _namespace_of(self, message: Message) -> NamespaceSettings:
        key = message[2] if len(message) > 2 else None
        return self.shared.namespaces.of(key) if type(key) is bytes and key else DEFAULTS

    def _placed(self, message: Message, namespace: NamespaceSettings, hops: int) -> Message:
        """Return a request of a namespace with a replication factor of its own with that factor in its key, by which
        its partition is found. One that a peer has sent on has it, by what that peer knows. Raises ``InvalidRequest``
        for a client that puts one in itself."""
        key = message[2]
        if not factor_in(key):
            key = with_factor(key, namespace.replication_factor)
            message = (*message[:2], key, *message[3:])
        elif not hops:
            raise InvalidRequest(f"key: got {key!r:.80}, expected the name of a namespace without a factor")
        if not self.shared.routes.placement.has(partition_of_key(key, self.shared.partition_shift)):
            raise NotReady(f"key: no partitions of replication factor {factor_in(key)} are known here yet")
        return message

    def _parsed(self, message: Message, reading: bool, namespace: NamespaceSettings) -> Request:
        """Return the request with what its namespace says where it says nothing itself."""
        settings = self.shared.settings
        request = parse(
            message,
            namespace.read_level or settings.default_read_level
            if reading
            else namespace.write_level or settings.default_write_level,
            settings.read_timeout_ms if reading else settings.write_timeout_ms,
            settings.longest_timeout_ms,
        )
        asks_to_slide = request.payload_flags & SLIDING
        if request.ttl_ms < 0 or (namespace.touches_writes and request.operation in (SET, TOUCH, INCREMENT)):
            flags = request.payload_flags | (SLIDING if namespace.sliding and request.operation == SET else 0)
            ttl_ms = namespace.lifetime_ms(request.ttl_ms)
            request = attrs.evolve(request, ttl_ms=ttl_ms, payload_flags=flags)
        if asks_to_slide and not request.ttl_ms:
            raise InvalidRequest(NOTHING_SLIDES)
        return request

    def _read(self, connection: ConnectionId, request: Request, partition: int, route: Route) -> None:
        minimum: Context | None = None
        if request.context is not None:
            minimum = parse_context(request.context, fingerprint(request.key))
        self.reader.start(
            connection,
            request.rid,
            request.key,
            partition,
            route,
            request.level,
            request.timeout_ms,
            flags=request.flags,
            minimum_context=minimum,
        )

    def _is_late(self, connection: ConnectionId, stamp: Message) -> bool:
        """Tell whether the requests after a stamp lay somewhere for so long that their sender has given them up: done
        now, they would undo what came after them."""
        shared = self.shared
        now_ms = int(shared.now_s * 1000)
        if len(stamp) > 3 and stamp[3]:
            shared.effects.send(connection, (TIME, 0, now_ms))
        sent_ms = stamp[2] if len(stamp) > 2 else None
        return type(sent_ms) is int and now_ms - sent_ms > shared.settings.max_message_age_ms

    def _refuse_late(self, connection: ConnectionId, left: Iterator[Message]) -> None:
        """Refuse what follows a stamp that is too old, up to the next one that is not."""
        for message in left:
            if message[0] == STAMP:
                if not self._is_late(connection, message):
                    return
                continue
            self.shared.counters.late_requests += 1
            if len(message) > 1 and type(message[1]) is int:
                self.shared.fail(connection, message[1], NotReady("the request came too late to be served"))

    def _malformed(self, connection: ConnectionId, message: Message) -> None:
        """Answer what cannot be read; without a request id there is nobody to answer."""
        self.shared.counters.malformed_messages += 1
        if len(message) > 1 and type(message[1]) is int:
            error = InvalidRequest(f"message {message[0]!r}: got {len(message)} fields of the wrong number or type")
            self.shared.fail(connection, message[1], error)
        else:
            self.shared.effects.others.append(Close(connection, "a message without a request id"))
