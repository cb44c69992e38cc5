"""Key events for the synchronous client: a context manager to iterate over, driven by the thread that iterates.

What: a connection to each member with one question under way on each; `get` waits on all of them at once.

Invariant: nothing is asked while nobody waits, so a caller who is slow lets queues overflow at the nodes, where that is
counted and told, and never here. Closing gives the connections up; their questions die with them. One thread uses a
subscription at a time.

Why no threads: a thread for each node would have to be ended, and what it holds handed over, to learn no more than one
poll over a few sockets tells.
"""

import select
import time
from collections import deque
from types import TracebackType
from typing import Any, Final, Self

import attrs

from dynacache.client.calls import Call
from dynacache.client.results import error_of
from dynacache.client.watching import Conversation, Conversations, EventsLost, KeyEvent, Watch
from dynacache.errors import DynacacheError, UnavailableError
from dynacache.runtime.clients.blocking_link import BlockingLink
from dynacache.runtime.clients.blocking_session import BlockingSession
from dynacache.runtime.entropy import wall_ms_now

__all__ = ["Subscription"]

_LOOK_S: Final = 0.5
"""How often the members are looked at, and the longest single wait."""
_CONNECT_S: Final = 1.0


@attrs.define(eq=False)
class _Line:
    """The connection to one member."""

    conversation: Conversation
    link: BlockingLink | None = None
    call: Call[Any] | None = None
    due_s: float = 0.0
    """When the next question may be asked."""


@attrs.define(eq=False)
class Subscription:
    """Iterate over it: each item is a `KeyEvent`, or an `EventsLost` where some were."""

    _session: BlockingSession
    _watch: Watch
    _timeout_s: float
    _conversations: Conversations = attrs.field(init=False)
    _lines: dict[Conversation, _Line] = attrs.field(init=False, factory=dict)
    _ready: deque[KeyEvent | EventsLost] = attrs.field(init=False, factory=deque)
    _looked_s: float = attrs.field(init=False, default=-_LOOK_S)
    _closed: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        """Return once every node that can be reached has taken the subscription."""
        self._conversations = Conversations(self._watch)
        until_s = time.monotonic() + self._timeout_s
        try:
            while not self._conversations.are_begun and time.monotonic() < until_s:
                self._turn(until_s)
                if self._conversations.have_failed:
                    break
            if not self._conversations.have_reached_one:
                raise UnavailableError("no node can be reached to subscribe at")
        except BaseException:
            self.close()
            raise

    def get(self, timeout: float | None = None) -> KeyEvent | EventsLost | None:
        """Wait for the next item; None when ``timeout`` (seconds, None: for ever) has passed or it is closed."""
        until_s = float("inf") if timeout is None else time.monotonic() + timeout
        while not self._ready and not self._closed:
            self._turn(until_s)
            if not self._ready and time.monotonic() >= until_s:
                return None
        return self._ready.popleft() if self._ready else None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> KeyEvent | EventsLost:
        item = self.get()
        if item is None:
            raise StopIteration
        return item

    def close(self) -> None:
        """Give the connections up."""
        self._closed = True
        for line in self._lines.values():
            self._drop(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _turn(self, until_s: float) -> None:
        """Ask whoever may be asked, and wait for one answer, or for a moment."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= _LOOK_S:
            self._look(now_s)
        for line in self._lines.values():
            if line.call is None and line.due_s <= now_s:
                self._ask(line)
        waiting = [line for line in self._lines.values() if line.call is not None]
        due_s = min((line.due_s for line in self._lines.values() if line.call is None), default=now_s + _LOOK_S)
        wait_s = max(0.0, min(_LOOK_S, until_s - now_s, due_s - now_s))
        if any(line.call is not None and line.call.error is not None for line in waiting):
            wait_s = 0.0
        self._wait(waiting, wait_s)
        for line in waiting:
            self._take(line)

    def _look(self, now_s: float) -> None:
        self._looked_s = now_s
        begun, ended = self._conversations.follow(self._session.pool.nodes())
        for one in ended:
            self._drop(self._lines.pop(one))
        for one in begun:
            self._lines[one] = _Line(one)

    def _ask(self, line: _Line) -> None:
        """Send the next question, over a connection of its own."""
        now_s = time.monotonic()
        call = line.call = line.conversation.next_call()
        call.endpoint = line.conversation.endpoint
        call.deadline_s = now_s + (call.timeout_s or self._timeout_s)
        try:
            if line.link is None:
                line.link = self._session.pool.acquire(call.endpoint, now_s + _CONNECT_S)
            line.link.protocol.submit(call.message, 0, now_s, call.deadline_s, call)
            line.link.push()
        except DynacacheError as error:
            call.error = error

    def _wait(self, lines: list[_Line], wait_s: float) -> None:
        """Receive what comes on any of the connections, for so long."""
        links = {line.link.fileno(): line.link for line in lines if line.link is not None and not line.link.failure}
        if not links:
            time.sleep(wait_s)
            return
        poller = select.poll()
        for number, link in links.items():
            poller.register(number, link.interest)
        for number, event in poller.poll(wait_s * 1000):
            link = links[number]
            if event & ~select.POLLOUT:
                link.take()
            if event & select.POLLOUT and link.failure is None:
                link.push()

    def _take(self, line: _Line) -> None:
        """Act on the end of a question, if it has come."""
        call, link = line.call, line.link
        assert call is not None
        now_s = time.monotonic()
        if link is not None and call.reply is None and call.error is None:
            link.expire(now_s)
        if call.reply is None and call.error is None:
            return
        line.call = None
        if call.reply is not None:
            call.error = error_of(call.reply)
        if link is not None and (link.failure is not None or call.reply is None):
            self._drop(line)
        self._ready.extend(line.conversation.answered(call, wall_ms_now()))
        line.due_s = now_s + line.conversation.pause_s

    def _drop(self, line: _Line) -> None:
        link, line.link, line.call = line.link, None, None
        if link is not None:
            self._session.pool.release(link)
