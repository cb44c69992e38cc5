"""What every part of the coordinator works on during one turn.

What: the node's clocks, store, routes, links, tables of requests in flight, and the effects being filled. The node
sets the turn's time once; replies are appended to the connection's list as plain tuples.

Invariant: all parts see one instant per turn; a request in ``pending`` is answered exactly once. A negative connection
is a forwarded request's way back: its replies travel to that peer inside ``FORWARD_REPLY``.

Why one object: the parts (write, read, replica, forward) are separate modules with one shared state of the node, and
handing them eleven arguments each would hide that.
"""

from collections.abc import Callable
from random import Random
from typing import Protocol

import attrs

from dynacache.config.coordination import CoordinationConfig
from dynacache.coordination.catalogue import Catalogue
from dynacache.coordination.counters import Counters
from dynacache.coordination.links import Links
from dynacache.coordination.misses import MissMemory
from dynacache.coordination.namespaces import Namespaces
from dynacache.coordination.ports import CatalogueAlone, CataloguePort, HintPort, StorePort
from dynacache.coordination.routes import Routes
from dynacache.coordination.timeline import Timeline
from dynacache.datatypes.reading import read
from dynacache.errors import DynacacheError, TimedOut, UnavailableError
from dynacache.events import ConnectionId, Effects, Message, Note
from dynacache.types import NodeId
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.versioning.hybrid_clock import HybridClock
from dynacache.wire.messages import ERROR

__all__ = ["Pending", "Shared"]


class Pending(Protocol):
    """A request to other nodes that waits for their replies."""

    def replied(self, connection: ConnectionId, message: Message) -> bool:
        """Take one node's reply; True when nothing more is waited for."""
        ...

    def lost(self, connection: ConnectionId) -> bool:
        """Take note that a connection's reply will not come; True when nothing more is waited for."""
        ...

    def slow(self) -> None:
        """Act on a replica that stayed silent for its timeout (hedge, or ask a fallback)."""
        ...

    def overdue(self) -> None:
        """End: the deadline has passed."""
        ...

    def refused(self, connection: ConnectionId) -> bool:
        """Send again to a node that refused a stale table; False when that has been tried often enough."""
        ...


@attrs.define(eq=False)
class Shared:
    """State shared by the parts of one node's coordinator."""

    node_id: NodeId
    settings: CoordinationConfig
    store: StorePort
    hints: HintPort
    clock: HybridClock
    issuer: ActorIssuer
    links: Links
    routes: Routes
    random: Random
    counters: Counters
    partition_shift: int
    stale_after_ms: int
    """A copy that has not met a complete owner for so long may lack deletions that are reaped elsewhere."""
    digest: int = 0
    """Of what the owners depend on in our member table (``node.members``); it travels with every request to a peer, and
    one with another digest is refused unread. A restart or a node without a place does not change it."""
    effects: Effects = attrs.field(factory=Effects)
    now_s: float = 0.0
    now_ms: int = 0
    """The hybrid clock in milliseconds: what expiries are compared with."""
    wall_ms: int = 0
    """This machine's own clock: what other nodes' clocks are held against."""
    turn_reply_bytes: int = 0
    """Bytes of values this turn has promised to clients; past the limit it promises no more."""
    sliding: dict[bytes, bytes] = attrs.field(factory=dict)
    """What this turn has read of values whose life a read renews: key and record."""
    clock_safe: bool = True
    """This machine's clock agrees with its peers'; otherwise the node serves nothing."""
    fill_lifetime_ms: int = 600_000
    """A fill whose miss is longer ago is refused; less than deletes are remembered."""
    misses: MissMemory = attrs.field(factory=MissMemory)
    happened: Callable[[int, bytes], None] | None = None
    """Told of each ``KeyChange`` that this node coordinates, with its key; None while nobody subscribes."""
    catalogue: Catalogue = attrs.field(factory=Catalogue)
    catalogue_port: CataloguePort = attrs.field(factory=CatalogueAlone)
    namespaces: Namespaces = attrs.field(init=False)
    pending: dict[int, Pending] = attrs.field(factory=dict)
    deadlines: Timeline = attrs.field(factory=Timeline)
    attention: Timeline = attrs.field(factory=Timeline)
    _next_request_id: int = 0

    def __attrs_post_init__(self) -> None:
        """Let the settings of namespaces follow the catalogue."""
        self.namespaces = Namespaces(self.catalogue, self.routes.placement.replication_factor)

    def new_request(self, request: Pending, timeout_ms: int, attention_ms: int) -> int:
        """Register a request in flight; returns its id."""
        self._next_request_id = request_id = self._next_request_id + 1
        self.pending[request_id] = request
        self.deadlines.add(self.now_s, timeout_ms, request_id)
        if attention_ms < timeout_ms:
            self.attention.add(self.now_s, attention_ms, request_id)
        return request_id

    def not_superseded(self, partition: int, key: bytes, record: bytes) -> bytes | None:
        """Return what of a record is no older than what this copy remembers to have overwritten, deleted or let expire.

        Everything that comes from elsewhere passes here before it is merged: a late hint, forward, repair or transfer
        must not bring back what was overwritten before memory pressure threw the successor out, or deleted before the
        tombstone was reaped. What is left out counts as taken, since something newer has been witnessed.
        """
        store = self.store
        if store.peek(partition, key) is not None:
            return record
        before = store.superseded_before(partition, key)
        if not before:
            return record
        if record[1] == packed.VALUE and record[2] & packed.FILL:
            before += self.clock.max_skew_ms << 16  # it may be of before, by another clock
        fresh = packed.since(record, before, with_context=True)
        self.counters.late_versions_discarded += fresh is not record
        return fresh

    def merge(self, partition: int, key: bytes, record: bytes) -> bytes | None:
        """Merge a record from elsewhere into this node's own copy, as far as it is not superseded; return what is held
        then, None for nothing. Raises as ``StorePort.merge``."""
        held = self.store.peek(partition, key)
        fresh = record if held is not None else self.not_superseded(partition, key, record)
        if fresh is None:
            return None
        merged = self.store.merge(partition, key, fresh, self.now_ms)
        if merged is not None and merged[1] == packed.MANY and merged is not held:
            self.counters.siblings_created += self.sibling_count(merged) > self.sibling_count(held)
        return merged

    def sibling_count(self, record: bytes | None) -> int:
        """Return how many concurrent values live beside the winner."""
        return 0 if record is None else read(record, self.now_ms).sibling_count

    def incomplete_answer(self, partition: int, record: bytes) -> list[bytes | int]:
        """Return what a copy that is warming or stale answers a read: data that does not count (``wire.messages``)."""
        record = packed.strip_local(record)
        if partition in self.store.stale:
            return [record, max(0, self.now_ms - self.stale_after_ms) << 16]
        return [record]

    def fail(self, connection: ConnectionId, rid: int, error: DynacacheError) -> None:
        """Answer a client with an error."""
        self.counters.errors += 1
        self.counters.unavailable += isinstance(error, UnavailableError)
        self.effects.send(connection, (ERROR, rid, error.code, str(error)))

    def note(self, event: str, level: str = "info", **fields: object) -> None:
        """Emit a note for logs and traces."""
        self.effects.others.append(Note(event, dict(fields), level))

    def timed_out(self, connection: ConnectionId, rid: int, what: str, answered: int, needed: int) -> None:
        """Answer that the deadline passed; a write may have been applied."""
        self.counters.timeouts += 1
        text = f"{what} timed out: {answered} of {needed} replicas answered"
        self.fail(connection, rid, TimedOut(text))
