"""How the asynchronous client carries calls to their end, and what it opens and closes.

What: entering opens a task group with the timer and a first connection; `run` takes calls through rounds of attempts,
in the caller's own task, until each has a result or a final error; leaving closes everything.

Invariant: a call ends by its timeout, whatever nodes and connections do. An exception of the caller's block comes out
as it is, never in a group.

Why: routing, retries and decoding are the sans-IO parts that the synchronous client shares, so this shell only decides
when to send and whom to wake.
"""

import os
import random
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

import anyio
import anyio.abc
import attrs

from dynacache.client.calls import Call, chunks
from dynacache.client.options import Options
from dynacache.client.requests import CLIENT_ID_BYTES, Requests
from dynacache.client.retries import RetryPolicy, attempt_deadline_s, settle_all
from dynacache.client.routing import Router
from dynacache.errors import DynacacheError, InvalidRequest, UnavailableError
from dynacache.runtime.clients.failures import no_node_reached
from dynacache.runtime.clients.links import Links

__all__ = ["CONNECTIONS_LIMIT", "AsyncSession"]

CONNECTIONS_LIMIT: Final = 64
"""Connections of one client to one node."""
_FLUSH_AT_ONCE: Final = 8
"""Calls in one batch from which waiting for other tasks to join the same send is not worth a turn."""


@attrs.define(eq=False)
class AsyncSession:
    """The connections of one asynchronous client, and the rounds of its calls."""

    _addresses: tuple[tuple[str, int], ...]
    _options: Options
    _policy: RetryPolicy
    _secret: str | None = attrs.field(repr=False)
    _connections_per_node: int
    requests: Requests = attrs.field(init=False, repr=False)
    router: Router = attrs.field(init=False, repr=False)
    _random: random.Random = attrs.field(factory=random.Random, init=False, repr=False)
    _tasks: anyio.abc.TaskGroup | None = attrs.field(default=None, init=False, repr=False)
    _links: Links | None = attrs.field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Check what no converter has checked."""
        if not 0 < self._connections_per_node <= CONNECTIONS_LIMIT:
            expected = f"1 to {CONNECTIONS_LIMIT}"
            raise InvalidRequest(f"connections_per_node: got {self._connections_per_node!r}, expected {expected}")
        self.router = router = Router.from_seeds(self._addresses)
        self.requests = Requests(self._options, os.urandom(CLIENT_ID_BYTES), compressions=router.compressions)

    async def __aenter__(self) -> Self:
        if self._tasks is not None:
            raise InvalidRequest("this client is open already")
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        try:
            await self._open(self._tasks)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()

    async def _open(self, tasks: anyio.abc.TaskGroup) -> None:
        connect_s = self._policy.attempt_timeout_s
        links = Links(self.router, self.requests, tasks, self._secret, connect_s, self._connections_per_node)
        self._links = links
        tasks.start_soon(links.watch)
        failures: list[DynacacheError] = []
        for endpoint in list(self.router.endpoints.values()):
            link = links.link_to(endpoint)
            while not link.protocol.ready and not link.closed:
                await links.progressed.wait()
            if not link.closed:
                with anyio.move_on_after(connect_s):
                    while self.router.table is None and not link.closed:
                        await links.progressed.wait()
                return
            assert link.failure is not None
            failures.append(link.failure)
        raise no_node_reached(failures)

    async def _close(self) -> None:
        """End all links. The block's exception is not passed on, so that it is not wrapped in a group."""
        if self._tasks is not None:
            tasks, self._tasks, self._links = self._tasks, None, None
            tasks.cancel_scope.cancel()
            await tasks.__aexit__(None, None, None)

    async def run(self, calls: Sequence[Call[Any]]) -> None:
        """Carry calls to their ends, a bounded number at a time; never raises for what becomes of one of them."""
        deadline_s = self._start(calls)
        for batch in chunks(calls):
            await self._attempt(batch, min(time.monotonic(), deadline_s))

    async def run_one(self, call: Call[Any]) -> None:
        """Carry one call to its end."""
        now_s = time.monotonic()
        call.deadline_s = now_s + (call.timeout_s or self._options.timeout_s)
        await self._attempt((call,), now_s)

    def _start(self, calls: Sequence[Call[Any]]) -> float:
        now_s = time.monotonic()
        for call in calls:
            call.deadline_s = now_s + (call.timeout_s or self._options.timeout_s)
        return now_s

    @property
    def session(self) -> "AsyncSession":
        """Itself: where operations of a client, or of a handle on one, find connections and members."""
        return self

    @property
    def timeout_s(self) -> float:
        """Seconds for one operation whose caller names none."""
        return self._options.timeout_s

    async def _attempt(self, todo: Sequence[Call[Any]], now_s: float) -> None:
        """Rounds of attempts until every call has ended."""
        links = self._links
        if links is None:
            raise UnavailableError("the client is not open")
        while todo:
            waiter = links.waiter(len(todo))
            for call in todo:
                call.waiter = waiter
                links.submit(
                    call, self.router.choose_for(call, now_s), now_s, attempt_deadline_s(call, self._policy, now_s)
                )
            if len(todo) >= _FLUSH_AT_ONCE:
                links.flush()
            else:
                await links.flush_soon()
            await waiter.wait()
            failed = [call for call in todo if call.failed]
            if not failed:
                return
            now_s = time.monotonic()
            todo, delay_s = settle_all(failed, self._policy, now_s, self._random)
            if delay_s:
                await anyio.sleep(delay_s)
                now_s = time.monotonic()
