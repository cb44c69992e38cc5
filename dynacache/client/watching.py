"""Subscriptions at the client: one conversation with every node, and what the caller is told of them.

What: a `Watch` says which changes of which keys; a `Conversation` with one node asks (`next_call`) and takes the answer
(`answered`): events, how many were lost, or that the subscription is gone and has to be made anew. `Conversations`
keeps one with each member of the cluster.

Invariants: every event that a node queued for this subscriber is told once, in that node's order, or counted in an
`EventsLost`; where it cannot be known how many were lost (the node was restarted, or forgot a subscriber that was away
for long, or could not be reached to begin with), its ``count`` is None. Between nodes there is no order but time's.

Why polls: the next question says what was taken, so an answer that is lost with its connection is sent again, and a
caller who is slow makes queues of bounded size overflow at the nodes instead of growing here.
"""

from collections.abc import Sequence
from typing import Any, Final

import attrs

from dynacache.client.calls import Call
from dynacache.client.results import Reply
from dynacache.client.routing import Endpoint
from dynacache.client.scanning import prefix_bytes, qualified_prefix
from dynacache.client.values import Key
from dynacache.errors import DynacacheError, InvalidRequest, ProtocolError
from dynacache.types import KeyChange
from dynacache.wire.messages import EVENTS, HAPPENED, SUBSCRIBE, SUBSCRIBED

__all__ = [
    "POLL_WAIT_S",
    "RETRY_FIRST_S",
    "RETRY_LONGEST_S",
    "Conversation",
    "Conversations",
    "EventsLost",
    "KeyEvent",
    "Watch",
    "watch",
]

POLL_WAIT_S: Final = 5.0
"""How long a node may wait for something to happen before it answers that nothing did."""

RETRY_FIRST_S: Final = 0.2
"""Pause after a node could not be reached; doubles at each repetition."""

RETRY_LONGEST_S: Final = 5.0
_ANSWER_S: Final = 2.0
"""Time beyond the node's wait in which its answer must arrive."""

_ALL: Final = KeyChange.SET | KeyChange.DELETE | KeyChange.EXPIRE | KeyChange.EVICT
_BY_NAME: Final = {change.name.lower(): change for change in KeyChange if change.name}


@attrs.frozen
class KeyEvent:
    """Something happened to a key: ``at`` (seconds since 1970, by the cluster's clock), as ``node`` saw it."""

    change: KeyChange
    key: bytes
    at: float
    node: str


@attrs.frozen
class EventsLost:
    """So many events of a node were lost because they were not taken in time; None: nobody knows how many."""

    node: str
    count: int | None


@attrs.frozen
class Watch:
    """Which keys and which changes. ``head`` is what the qualified keys of the namespace begin with."""

    head: bytes
    prefix: bytes
    changes: KeyChange

    def plain(self, key: bytes) -> bytes:
        """Return the application's key of a qualified one."""
        return key[len(self.head) :] if self.head else key if key[0] else key[2:]


def watch(head: bytes, prefix: Key, changes: Sequence[KeyChange | str] | None) -> Watch:
    """Return what a caller wants to be told of. Raises InvalidRequest that names what is wrong."""
    plain = prefix_bytes("prefix", prefix)
    wanted = _ALL if changes is None else KeyChange(0)
    for change in changes or ():
        found = _BY_NAME.get(change) if isinstance(change, str) else change
        if not isinstance(found, KeyChange):
            raise InvalidRequest(f"changes: got {change!r}, expected some of {', '.join(_BY_NAME)}")
        wanted |= found
    if not wanted:
        raise InvalidRequest(f"changes: got none, expected some of {', '.join(_BY_NAME)}")
    return Watch(head, qualified_prefix(head, plain), wanted)


@attrs.define(eq=False)
class Conversation:
    """One node, and how far it has told us. ``late``: it may have had something to tell before we first asked."""

    wanted: Watch
    endpoint: Endpoint
    late: bool = False
    subscribed: bool = False
    """The node has taken the subscription at least once."""
    pause_s: float = 0.0
    """What to wait before the next question."""
    _number: int | None = None
    _taken: int = 0

    @property
    def name(self) -> str:
        """The node's name, its address before that is known."""
        return self.endpoint.node_id or str(self.endpoint)

    def next_call(self) -> Call[Any]:
        """Return the next question: to subscribe, or for what has happened."""
        message: list[Any]
        if self._number is None:
            message, wait_s = [SUBSCRIBE, 0, self.wanted.prefix, int(self.wanted.changes)], 0.0
        else:
            message, wait_s = [EVENTS, 0, self._number, self._taken, int(POLL_WAIT_S * 1000)], POLL_WAIT_S
        call: Call[Any] = Call(message, 0, None, _decode, False, False, wait_s + _ANSWER_S)
        call.address = self.endpoint.address
        return call

    def answered(self, call: Call[Any], wall_ms: int) -> list[KeyEvent | EventsLost]:
        """Take the end of a question; return what the caller is to hear. Raises InvalidRequest if this can never work
        (key events are off)."""
        try:
            reply = call.result(wall_ms)
        except InvalidRequest:
            raise
        except DynacacheError:
            self.pause_s = min(max(2 * self.pause_s, RETRY_FIRST_S), RETRY_LONGEST_S)
            self.late = self.late or not self.subscribed
            return []
        self.pause_s = 0.0
        if reply[0] == SUBSCRIBED:
            self._number, self._taken = reply[2], 0
            lost = self.late
            self.late, self.subscribed = False, True
            return [EventsLost(self.name, None)] if lost else []
        _, _, last, lost_count, laid = reply[:5]
        if last is None:
            self._number, self.late = None, True
            return []
        self._taken = last
        told: list[KeyEvent | EventsLost] = [EventsLost(self.name, lost_count)] if lost_count else []
        plain, name = self.wanted.plain, self.name
        told += [
            KeyEvent(KeyChange(laid[at]), plain(laid[at + 1]), laid[at + 2] / 1000, name)
            for at in range(0, len(laid), 3)
        ]
        return told


@attrs.define(eq=False)
class Conversations:
    """One with each member; those that join later are added, those that are gone are dropped."""

    wanted: Watch
    _open: dict[Endpoint, Conversation] = attrs.field(factory=dict)
    _begun: bool = False

    def follow(self, nodes: Sequence[Endpoint]) -> tuple[list[Conversation], list[Conversation]]:
        """Take the present members; return the conversations that begin now, and those that end."""
        begun = [Conversation(self.wanted, endpoint, self._begun) for endpoint in nodes if endpoint not in self._open]
        ended = [one for endpoint, one in self._open.items() if endpoint not in nodes]
        self._open = {endpoint: one for endpoint, one in self._open.items() if endpoint in nodes}
        self._open |= {one.endpoint: one for one in begun}
        self._begun = True
        return begun, ended

    @property
    def are_begun(self) -> bool:
        """Whether every node that can be reached has taken the subscription, and one at least."""
        return self.have_reached_one and all(one.subscribed or one.pause_s for one in self._open.values())

    @property
    def have_reached_one(self) -> bool:
        """Whether a node has taken the subscription."""
        return any(one.subscribed for one in self._open.values())

    @property
    def have_failed(self) -> bool:
        """Whether no node could be reached so far."""
        return all(one.pause_s and not one.subscribed for one in self._open.values())


def _decode(reply: Reply, _: Any, __: int) -> Reply:
    if reply[0] == SUBSCRIBED and type(reply[2]) is int:
        return reply
    if reply[0] == HAPPENED and len(reply) >= 5 and isinstance(reply[4], list) and not len(reply[4]) % 3:
        return reply
    raise ProtocolError(f"an answer of kind {reply[0]!r} that does not fit a subscription")
