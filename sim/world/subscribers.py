"""Subscribers: hosts that follow what happens to keys, over the product's own conversations.

What: ``SimSubscriber`` is a client that begins a `dynacache.client.watching.Conversations` and keeps asking every
member, with a pause between two questions if it is a slow one. What it hears is kept as ``Told``.

Invariant: what is asked next, and what an answer means, is decided by ``dynacache.client.watching``; here are only
streams, timers and the memory of what was told.

Why a host of its own and not an operation of a client: a subscription outlives every call, and has its own connections.
"""

from typing import Any

import attrs

from dynacache.client.calls import Call
from dynacache.client.watching import Conversation, Conversations, EventsLost, KeyEvent, Watch
from dynacache.errors import InvalidRequest
from dynacache.namespaces.names import prefix as prefix_of
from dynacache.types import KeyChange
from dynacache.wire.messages import HAPPENED, SUBSCRIBED

from ..evidence import Subscriber, Told
from ..history import OperationKind
from ..workload import Operation
from .clients import SimClient, _Running

__all__ = ["SimSubscriber"]

_LOOK_S = 0.5
"""How often the members are looked at, as the product's clients do."""


@attrs.define(eq=False, repr=False)
class SimSubscriber(SimClient):
    """One host that subscribes, once."""

    pause_s: float = 0.0
    """What it leaves between two questions to the same node."""
    subscribed: Subscriber | None = None
    _conversations: Conversations | None = None
    _asked: dict[Conversation, tuple[int, float]] = attrs.field(factory=dict)
    """When the question under way was asked: number and virtual second."""
    _quiet_s: dict[str, float] = attrs.field(factory=dict)
    """By node, when the last question was asked that was answered with nothing."""
    _number: int = 0

    def subscribe(self, operation: Operation) -> None:
        """Begin, for the rest of the run."""
        given = operation.arguments
        head = prefix_of(given.get("namespace", b"").decode())
        wanted = Watch(head, head + given["prefix"], KeyChange(given["changes"]))
        self.subscribed = Subscriber(self.name, wanted.prefix, int(wanted.changes), self.recorder.next_sequence())
        self._conversations = Conversations(wanted)
        self._look()

    def is_quiet(self, nodes: list[str], since_s: float) -> bool:
        """Tell whether each of these nodes has had nothing more to tell at some moment since."""
        return self._conversations is None or all(self._quiet_s.get(node, 0.0) >= since_s for node in nodes)

    def _look(self) -> None:
        conversations = self._conversations
        if conversations is None:
            return
        begun, ended = conversations.follow(self.router.nodes)
        for one in ended:
            self._asked.pop(one, None)
        self.heap.after(_LOOK_S, self._look)
        for one in begun:
            self._asked[one] = (0, 0.0)
            self._ask(one)

    def _ask(self, one: Conversation) -> None:
        """Put the next question, unless the node is no member any more."""
        if one not in self._asked:
            return
        call = one.next_call()
        call.waiter = one
        self._number += 1
        now_s = self.heap.now_s
        call.deadline_s = now_s + (self.timeout_s if call.timeout_s is None else call.timeout_s)
        sequence = self.recorder.next_sequence()
        self._asked[one] = (sequence, now_s)
        operation = Operation(self._number, 0.0, self.index, OperationKind.SUBSCRIBE, b"")
        running = _Running(operation, operation.kind, call, sequence, now_s, None)
        self.running[self._number] = running
        self._attempt(running)

    def _finish(self, running: _Running) -> None:
        del self.running[running.operation.number]
        call = running.call
        one: Conversation = call.waiter
        if one not in self._asked:
            return
        try:
            told = one.answered(call, self.clock.now_ms(self.heap.now_s))
        except InvalidRequest:
            self._conversations = None
            self._asked.clear()
            self._tell(one, "refused")
            return
        for each in told:
            if isinstance(each, KeyEvent):
                key = (one.wanted.head or (b"\0\0" if each.key[:1] == b"\0" else b"")) + each.key
                self._tell(one, "event", change=int(each.change), key=key, event_ms=round(each.at * 1000))
            elif isinstance(each, EventsLost):
                self.recorder.coverage["events lost" if each.count else "events lost, nobody knows how many"] += 1
                self._tell(one, "lost", count=each.count)
        self._note_answer(one, call)
        delay_s = max(one.pause_s, self.pause_s)
        if delay_s:
            self.heap.after(delay_s, self._ask, one)
        else:
            self._ask(one)

    def _note_answer(self, one: Conversation, call: Call[Any]) -> None:
        """Keep what an answer says beside its events."""
        reply = call.reply if call.error is None else None
        if reply is None:
            return
        sequence, asked_s = self._asked[one]
        if reply[0] == SUBSCRIBED:
            self._tell(one, "subscribed", asked_sequence=sequence)
        elif reply[0] == HAPPENED and reply[2] is not None and not reply[4]:
            self._quiet_s[one.endpoint.address[0]] = asked_s
            self._tell(one, "quiet", asked_sequence=sequence)

    def _tell(self, one: Conversation, kind: str, **what: Any) -> None:
        sequence, at_s = self.recorder.stamp()
        told = Told(sequence, at_s, self.name, one.endpoint.address[0], kind, **what)
        self.recorder.told.append(told)
        self.recorder.hashed("told", told)
