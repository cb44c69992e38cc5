"""How the synchronous client carries calls to their end.

What: `run` takes calls through rounds of attempts in the caller's own thread, as the asynchronous session does: choose
an endpoint for each, take a connection to each endpoint, send everything, read until all have ended, judge, repeat.

Invariant: a call ends by its timeout. Threads share nothing but the router and the pool, each under its lock. In a
child process after a fork nothing of the parent's is used: neither its sockets, nor its locks, nor its operation ids.

Why: see `blocking_pool` for why each thread has a connection of its own.
"""

import os
import random
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

import attrs

from dynacache.client.calls import Call, chunks
from dynacache.client.options import Options
from dynacache.client.requests import CLIENT_ID_BYTES, Requests
from dynacache.client.retries import RetryPolicy, attempt_deadline_s, settle_all
from dynacache.client.routing import Endpoint, Router
from dynacache.errors import DynacacheError, InvalidRequest
from dynacache.runtime.clients.blocking_link import BlockingLink, exchange
from dynacache.runtime.clients.blocking_pool import BlockingPool
from dynacache.runtime.clients.failures import no_node_reached

__all__ = ["CONNECTIONS_LIMIT", "BlockingSession"]

CONNECTIONS_LIMIT: Final = 1024
"""Connections of one client to one node."""
_TOPOLOGY_WAIT_MS: Final = 100


@attrs.define(eq=False)
class BlockingSession:
    """The connections of one synchronous client, and the rounds of its calls."""

    _addresses: tuple[tuple[str, int], ...]
    _options: Options
    _policy: RetryPolicy
    _secret: str | None = attrs.field(repr=False)
    _connections_per_node: int
    _requests: Requests = attrs.field(init=False, repr=False)
    _process: int = attrs.field(init=False, repr=False)
    _pool: BlockingPool = attrs.field(init=False, repr=False)
    _random: random.Random = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Reach one node, so that what is wrong is told at once."""
        if not 0 < self._connections_per_node <= CONNECTIONS_LIMIT:
            expected = f"1 to {CONNECTIONS_LIMIT}"
            raise InvalidRequest(f"connections_per_node: got {self._connections_per_node!r}, expected {expected}")
        self._begin()
        self._reach_one()

    def _begin(self) -> None:
        """Start with nothing, in this process."""
        self._process = os.getpid()
        self._random = random.Random()
        router = Router.from_seeds(self._addresses)
        self._requests = Requests(self._options, os.urandom(CLIENT_ID_BYTES), compressions=router.compressions)
        self._pool = BlockingPool(router, self._secret, self._policy.attempt_timeout_s, self._connections_per_node)

    def _reach_one(self) -> None:
        failures: list[DynacacheError] = []
        deadline_s = time.monotonic() + self._options.timeout_s
        for endpoint in list(self._pool.router.endpoints.values()):
            try:
                link = self._pool.acquire(endpoint, deadline_s)
            except DynacacheError as error:
                failures.append(error)
                continue
            try:
                self._await_topology(link)
            finally:
                self._pool.release(link)
            return
        raise no_node_reached(failures)

    def _await_topology(self, link: BlockingLink) -> None:
        """Give the node the time to tell the topology; without one, any node will be asked."""
        until_s = time.monotonic() + self._policy.attempt_timeout_s
        while self._pool.router.table is None and time.monotonic() < until_s:
            if link.wait(_TOPOLOGY_WAIT_MS):
                link.take()

    def close(self) -> None:
        """Close every connection; a request under way in another thread ends first."""
        if self._process == os.getpid():
            self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def requests(self) -> Requests:
        """What builds this process's calls."""
        if self._process != os.getpid():
            self._begin()
        return self._requests

    def run(self, calls: Sequence[Call[Any]]) -> None:
        """Carry calls to their ends, a bounded number at a time; never raises for what becomes of one of them."""
        if self._process != os.getpid():
            self._begin()
        now_s = time.monotonic()
        for call in calls:
            call.deadline_s = now_s + (call.timeout_s or self._options.timeout_s)
        for batch in chunks(calls):
            self._attempt(batch)

    @property
    def pool(self) -> BlockingPool:
        """Its connections."""
        return self._pool

    @property
    def session(self) -> "BlockingSession":
        """Itself: where operations of a client, or of a handle on one, find connections and members."""
        return self

    @property
    def timeout_s(self) -> float:
        """Seconds for one operation whose caller names none."""
        return self._options.timeout_s

    def _attempt(self, todo: Sequence[Call[Any]]) -> None:
        """Rounds of attempts until every call has ended."""
        while todo:
            now_s = time.monotonic()
            self._round(self._by_endpoint(todo, now_s), now_s)
            failed = [call for call in todo if call.failed]
            if not failed:
                return
            with self._pool.lock:
                todo, delay_s = settle_all(failed, self._policy, time.monotonic(), self._random)
            if delay_s:
                time.sleep(delay_s)

    def _by_endpoint(self, todo: Sequence[Call[Any]], now_s: float) -> list[tuple[Endpoint, list[Call[Any]]]]:
        """The calls by the endpoint each goes to, in the order of addresses."""
        grouped: dict[Endpoint, list[Call[Any]]] = {}
        router = self._pool.router
        with self._pool.lock:
            for call in todo:
                endpoint = router.choose_for(call, now_s)
                call.endpoint = endpoint
                grouped.setdefault(endpoint, []).append(call)
        if len(grouped) == 1:
            return list(grouped.items())
        return sorted(grouped.items(), key=lambda item: item[0].address)

    def _round(self, groups: list[tuple[Endpoint, list[Call[Any]]]], now_s: float) -> None:
        """One attempt of each call."""
        links: list[BlockingLink] = []
        try:
            for endpoint, calls in groups:
                deadlines_s = [attempt_deadline_s(call, self._policy, now_s) for call in calls]
                try:
                    link = self._pool.acquire(endpoint, max(deadlines_s))
                except DynacacheError as error:
                    for call in calls:
                        call.error = type(error)(str(error))
                    continue
                links.append(link)
                for call, deadline_s in zip(calls, deadlines_s, strict=True):
                    link.protocol.submit(call.message, call.timeout_position, now_s, deadline_s, call)
            if links:
                exchange(links)
        finally:
            for link in links:
                self._pool.release(link)
