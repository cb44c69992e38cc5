"""Key events for the asynchronous client: an async context manager to iterate over.

What: one task for each member asks it for events; what they hear meets in a channel without room, from which the
iterator takes.

Invariant: a caller who does not take holds the tasks back, and with them the next questions, so nothing piles up here;
what then overflows at the nodes is counted there and told. Leaving the block ends every task. A subscription that can
never work (key events are off) raises where the caller enters or iterates.

Why a context manager and not a bare generator: a task group must not outlive the block that opened it, and a generator
that is dropped half-way is closed whenever the collector gets to it.
"""

from collections import deque
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.abc
import attrs
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from dynacache.client.watching import Conversation, Conversations, EventsLost, KeyEvent, Watch
from dynacache.errors import DynacacheError, UnavailableError
from dynacache.runtime.clients.async_session import AsyncSession
from dynacache.runtime.entropy import wall_ms_now

__all__ = ["AsyncSubscription"]

_LOOK_S = 0.5
"""How often the members are looked at."""

_Told = list[KeyEvent | EventsLost]


@attrs.define(eq=False)
class AsyncSubscription:
    """Enter it, then iterate: each item is a `KeyEvent`, or an `EventsLost` where some were."""

    _session: AsyncSession
    _watch: Watch
    _timeout_s: float
    _conversations: Conversations = attrs.field(init=False)
    _scopes: dict[Conversation, anyio.CancelScope] = attrs.field(init=False, factory=dict)
    _ready: deque[KeyEvent | EventsLost] = attrs.field(init=False, factory=deque)
    _failure: DynacacheError | None = attrs.field(init=False, default=None)
    _moved: anyio.Event = attrs.field(init=False)
    _tasks: anyio.abc.TaskGroup | None = attrs.field(init=False, default=None)
    _sender: MemoryObjectSendStream[_Told] = attrs.field(init=False)
    _receiver: MemoryObjectReceiveStream[_Told] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Prepare for the first conversations."""
        self._conversations = Conversations(self._watch)

    async def __aenter__(self) -> Self:
        """Return once every node that can be reached has taken the subscription. Raises UnavailableError if none could
        be, InvalidRequest if key events are off."""
        self._sender, self._receiver = anyio.create_memory_object_stream[_Told](0)
        self._moved = anyio.Event()
        tasks = self._tasks = anyio.create_task_group()
        await tasks.__aenter__()
        try:
            tasks.start_soon(self._look)
            with anyio.move_on_after(self._timeout_s):
                while self._failure is None and not self._conversations.are_begun:
                    await self._moved.wait()
            if self._failure is not None:
                raise self._failure
            if not self._conversations.have_reached_one:
                raise UnavailableError("no node can be reached to subscribe at")
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> KeyEvent | EventsLost:
        while not self._ready:
            if self._failure is not None:
                raise self._failure
            if self._tasks is None:
                raise StopAsyncIteration
            self._ready.extend(await self._receiver.receive())
        return self._ready.popleft()

    async def _look(self) -> None:
        """Hold a conversation with every member, whoever comes and goes."""
        assert self._tasks is not None
        while True:
            begun, ended = self._conversations.follow(self._session.router.nodes)
            for one in begun:
                self._tasks.start_soon(self._converse, one)
            for one in ended:
                scope = self._scopes.pop(one, None)
                if scope is not None:
                    scope.cancel()
            await anyio.sleep(_LOOK_S)

    async def _converse(self, one: Conversation) -> None:
        with anyio.CancelScope() as scope:
            self._scopes[one] = scope
            while True:
                call: Any = one.next_call()
                await self._session.run_one(call)
                try:
                    told = one.answered(call, wall_ms_now())
                except DynacacheError as error:
                    self._failure = self._failure or error
                    self._move()
                    await self._sender.send([])  # wakes the iterator, which raises the failure
                    return
                self._move()
                if told:
                    await self._sender.send(told)
                if one.pause_s:
                    await anyio.sleep(one.pause_s)

    def _move(self) -> None:
        self._moved.set()
        self._moved = anyio.Event()

    async def _close(self) -> None:
        tasks, self._tasks = self._tasks, None
        if tasks is not None:
            tasks.cancel_scope.cancel()
            await tasks.__aexit__(None, None, None)
            self._sender.close()
            self._receiver.close()
