"""Key events: who subscribed to which keys, and what they have not been told yet.

What: a subscription names a prefix and the changes of interest. Whatever happens gets the subscription's next number
and waits in its queue until the subscriber asks (``EVENTS``, a long poll that also says which number it took last);
what was not taken is sent again. A queue is bounded by count and by bytes; what it drops, the oldest, leaves a gap in
the numbers, and that gap is what the subscriber is told to have lost.

Invariants: while nobody subscribes nothing is done: ``Shared.happened`` and ``Engine.gone`` are None. One change is
told by one node: a set or a delete by its coordinator, when it is minted there; an expiry or an eviction by the first
owner, in the partition's order, that can be reached as far as this node sees, and only if its own copy is complete. A
subscriber that does not ask for ``IDLE_LIMIT_S`` is forgotten.

Why a poll and not a push: the subscriber's own pace is the flow control, whatever stands in buffers on the way; a lost
connection loses nothing; and a node has nothing to send that it may have to take back. Nothing here is a log: what
happens while a node is away, or to a copy that is being filled, is not told.
"""

from collections import deque
from collections.abc import Callable

import attrs

from dynacache.coordination.shared import Shared
from dynacache.errors import InvalidRequest, Overloaded
from dynacache.events import ConnectionId, Message
from dynacache.namespaces.names import check_prefix, without_factor
from dynacache.types import KeyChange
from dynacache.wire.messages import HAPPENED, KEY_LIMIT_BYTES, SUBSCRIBED

__all__ = [
    "BATCH_LIMIT_BYTES",
    "BATCH_LIMIT_COUNT",
    "EVENT_BYTES",
    "IDLE_LIMIT_S",
    "QUEUE_LIMIT_BYTES",
    "QUEUE_LIMIT_COUNT",
    "SUBSCRIPTIONS_LIMIT",
    "WAIT_LIMIT_MS",
    "KeyEvents",
    "Subscription",
]

SUBSCRIPTIONS_LIMIT = 64
"""Subscriptions of one node; one more is refused as overloaded."""

QUEUE_LIMIT_COUNT = 8_192
"""Events that wait for one subscriber; the oldest go."""

QUEUE_LIMIT_BYTES = 2 * 1024 * 1024
"""Bytes of keys, and ``EVENT_BYTES`` for each event, that wait for one subscriber."""

EVENT_BYTES = 128
"""What an event costs beside its key."""

BATCH_LIMIT_COUNT = 1_024
"""Events in one answer."""

BATCH_LIMIT_BYTES = 256 * 1024
"""Bytes of keys in one answer; a single longer key is an answer of its own."""

WAIT_LIMIT_MS = 10_000
"""Longest that a poll may wait for something to happen."""

IDLE_LIMIT_S = 30.0
"""Seconds without a poll after which a subscription ends."""

_ALL = int(KeyChange.SET | KeyChange.DELETE | KeyChange.EXPIRE | KeyChange.EVICT)
_Event = tuple[int, bytes, int]


@attrs.define(eq=False)
class Subscription:
    """One subscriber's queue. ``last`` is the number of the latest event."""

    prefix: bytes
    changes: int
    last: int = 0
    asked_s: float = 0.0
    """When it last asked."""
    poll: tuple[ConnectionId, int, float] | None = None
    """The question that waits for an answer: connection, request id, until when."""
    limit_count: int = QUEUE_LIMIT_COUNT
    _taken: int = 0
    """Number of the last event that the subscriber is known to have, or to have lost knowingly."""
    _queue: deque[_Event] = attrs.field(factory=deque)
    _queue_bytes: int = 0

    @property
    def has_news(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._queue)

    def add(self, event: _Event) -> None:
        """Queue an event; the oldest go where there is no room."""
        self.last += 1
        queue = self._queue
        queue.append(event)
        self._queue_bytes += len(event[1]) + EVENT_BYTES
        while len(queue) > self.limit_count or self._queue_bytes > QUEUE_LIMIT_BYTES:
            self._drop_oldest()

    def took(self, number: int) -> None:
        """Forget what the subscriber has taken. Raises ``InvalidRequest`` for what was never sent."""
        if not self._taken <= number <= self.last:
            raise InvalidRequest(f"events: got the number {number}, expected {self._taken} to {self.last}")
        self._taken = number
        while self._queue and self.last - len(self._queue) < number:
            self._drop_oldest()

    def batch(self, limit_count: int = BATCH_LIMIT_COUNT) -> tuple[int, int, list[int | bytes]]:
        """Return (number of the last event sent, events lost before the first, the events laid end to end)."""
        first = self.last - len(self._queue) + 1
        told: list[int | bytes] = []
        size_bytes = count = 0
        for event in self._queue:
            size_bytes += len(event[1])
            if count >= limit_count or (count and size_bytes > BATCH_LIMIT_BYTES):
                break
            told += event
            count += 1
        return first + count - 1, first - 1 - self._taken, told

    def _drop_oldest(self) -> None:
        self._queue_bytes -= len(self._queue.popleft()[1]) + EVENT_BYTES


@attrs.define(eq=False)
class KeyEvents:
    """The subscriptions of one node. ``allowed`` tells of a prefix whether its namespace has key events on;
    ``listen`` is handed what the store shall tell of keys that go, or None."""

    shared: Shared
    allowed: Callable[[bytes], bool]
    listen: Callable[[Callable[[int, bytes, int], None] | None], None]
    queue_limit_count: int = QUEUE_LIMIT_COUNT
    batch_limit_count: int = BATCH_LIMIT_COUNT
    idle_limit_s: float = IDLE_LIMIT_S
    _subscriptions: dict[int, Subscription] = attrs.field(factory=dict)
    _news: dict[int, Subscription] = attrs.field(factory=dict)

    def __len__(self) -> int:
        return len(self._subscriptions)

    def subscribe(self, connection: ConnectionId, message: Message, hops: int) -> None:
        """Serve SUBSCRIBE. Raises ``InvalidRequest`` or ``Overloaded``."""
        prefix = message[2] if len(message) > 2 else None
        changes = message[3] if len(message) > 3 else _ALL
        if type(prefix) is not bytes or len(prefix) > KEY_LIMIT_BYTES or hops:
            raise InvalidRequest(f"subscribe: prefix: got {prefix!r:.80}, expected at most {KEY_LIMIT_BYTES} bytes")
        check_prefix(prefix)
        if type(changes) is not int or not 0 < changes <= _ALL:
            raise InvalidRequest(f"subscribe: changes: got {changes!r:.80}, expected 1 to {_ALL}")
        self._require_allowed(prefix)
        if len(self._subscriptions) >= SUBSCRIPTIONS_LIMIT:
            raise Overloaded(f"{SUBSCRIPTIONS_LIMIT} clients already subscribe to events of this node")
        number = self.shared.random.getrandbits(62)
        self._subscriptions[number] = Subscription(
            prefix, changes, asked_s=self.shared.now_s, limit_count=self.queue_limit_count
        )
        self._follow()
        self.shared.effects.send(connection, (SUBSCRIBED, message[1], number))

    def poll(self, connection: ConnectionId, message: Message, hops: int) -> None:
        """Serve EVENTS, at once if there is news. Raises ``InvalidRequest``."""
        number, taken = message[2], message[3]
        wait_ms = message[4] if len(message) > 4 else 0
        if type(number) is not int or type(taken) is not int or hops:
            raise InvalidRequest("events: expected the number of a subscription and that of an event")
        if type(wait_ms) is not int or not 0 <= wait_ms <= WAIT_LIMIT_MS:
            raise InvalidRequest(f"events: wait_ms: got {wait_ms!r:.80}, expected 0 to {WAIT_LIMIT_MS}")
        subscription = self._subscriptions.get(number)
        if subscription is None:
            self.shared.effects.send(connection, (HAPPENED, message[1], None, 0, []))
            return
        if not self.allowed(subscription.prefix):
            self._end(number)
            self._require_allowed(subscription.prefix)
        subscription.took(taken)
        if subscription.poll is not None:
            self._answer(subscription)
        now_s = self.shared.now_s
        subscription.asked_s = now_s
        subscription.poll = connection, message[1], now_s + wait_ms / 1000
        if subscription.has_news or not wait_ms:
            self._answer(subscription)

    def happened(self, change: int, key: bytes) -> None:
        """Tell whoever wants to know of a change to a key."""
        key = without_factor(key)
        for number, subscription in self._subscriptions.items():
            prefix = subscription.prefix
            # Without a prefix it is the default namespace that is meant, and keys of others begin with a zero byte.
            if subscription.changes & change and (key.startswith(prefix) if prefix else key[0] or not key[1:2] > b"\0"):
                subscription.add((change, key, self.shared.now_ms))
                self._news[number] = subscription

    def gone(self, partition: int, key: bytes, change: int) -> None:
        """Tell of a key that this store expired or evicted, if it is for this node to tell."""
        store, links, own = self.shared.store, self.shared.links, self.shared.node_id
        if partition in store.warming or partition in store.stale:
            return
        for owner in self.shared.routes.placement.owners(partition):
            if owner == own:
                self.happened(change, key)
            elif not links.usable(owner):
                continue
            return

    def flush(self) -> None:
        """Answer those who wait and have news since."""
        if self._news:
            news, self._news = self._news, {}
            for subscription in news.values():
                if subscription.poll is not None:
                    self._answer(subscription)

    def tick(self) -> None:
        """Answer polls whose time is up with nothing; forget who asks no more."""
        now_s = self.shared.now_s
        for number, subscription in list(self._subscriptions.items()):
            if subscription.poll is not None and subscription.poll[2] <= now_s:
                self._answer(subscription)
            elif subscription.poll is None and now_s - subscription.asked_s > self.idle_limit_s:
                self._end(number)

    def disconnected(self, connection: ConnectionId) -> None:
        """A connection ended: what waits on it is kept for the next question."""
        for subscription in self._subscriptions.values():
            if subscription.poll is not None and subscription.poll[0] == connection:
                subscription.poll = None

    def _answer(self, subscription: Subscription) -> None:
        assert subscription.poll is not None
        connection, rid, _ = subscription.poll
        subscription.poll, subscription.asked_s = None, self.shared.now_s
        self.shared.effects.send(connection, (HAPPENED, rid, *subscription.batch(self.batch_limit_count)))

    def _end(self, number: int) -> None:
        subscription = self._subscriptions.pop(number)
        self._news.pop(number, None)
        if subscription.poll is not None:
            connection, rid, _ = subscription.poll
            self.shared.effects.send(connection, (HAPPENED, rid, None, 0, []))
        self._follow()

    def _follow(self) -> None:
        """Listen while there is anyone to be told."""
        self.shared.happened = self.happened if self._subscriptions else None
        self.listen(self.gone if self._subscriptions else None)

    def _require_allowed(self, prefix: bytes) -> None:
        if not self.allowed(prefix):
            raise InvalidRequest(
                "subscribe: key events are off for this namespace; expected its setting key_events, or the node's"
                " observability.key_events, to be on"
            )
