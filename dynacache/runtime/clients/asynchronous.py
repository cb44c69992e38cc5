"""The asynchronous client, for Trio and asyncio.

What: `connect` returns an `AsyncClient`; its operations are those of `dynacache.client.requests`, as coroutines.

Invariant: what an operation takes, means and documents is written down once, in `Requests`; here it is only carried to
its end by `AsyncSession`.

Why: the synchronous client, this one and the two pipelines then cannot drift apart.
"""

import functools
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import attrs

from dynacache.client.addresses import parse_addresses
from dynacache.client.calls import Call
from dynacache.client.many import delete_calls, found_values, get_calls, raise_failed, set_calls
from dynacache.client.options import Options, checked_timeout_s
from dynacache.client.requests import LevelName, Requests
from dynacache.client.retries import RetryPolicy
from dynacache.client.routing import Endpoint
from dynacache.client.scanning import ScanPage, ScanWalk, page_call, selection
from dynacache.client.values import Key
from dynacache.client.watching import watch
from dynacache.runtime.clients.async_session import AsyncSession
from dynacache.runtime.clients.async_subscription import AsyncSubscription
from dynacache.runtime.clients.pipelines import AsyncPipeline
from dynacache.runtime.entropy import wall_ms_now
from dynacache.types import KeyChange

__all__ = ["AsyncClient", "AsyncNamespace", "AsyncOperations", "connect"]

P = ParamSpec("P")
R = TypeVar("R")


def _awaited(
    build: Callable[Concatenate[Requests, P], Call[R]],
) -> Callable[Concatenate["AsyncOperations", P], Coroutine[Any, Any, R]]:
    """The operation of the client that carries what `build` builds to its end."""

    async def operation(self: "AsyncOperations", /, *args: P.args, **kwargs: P.kwargs) -> R:
        call = build(self.requests, *args, **kwargs)
        await self.run_one(call)
        return call.result(wall_ms_now())

    functools.update_wrapper(operation, build)
    return operation


class AsyncOperations:
    """The operations, for whoever builds calls and carries them to their end."""

    __slots__ = ()

    if TYPE_CHECKING:
        requests: Requests

    @property
    def session(self) -> AsyncSession:
        """Where connections and members are known."""
        raise NotImplementedError

    async def run(self, calls: Sequence[Call[Any]]) -> None:
        """Carry calls to their ends."""
        raise NotImplementedError

    async def run_one(self, call: Call[Any]) -> None:
        """Carry one call to its end."""
        raise NotImplementedError

    get = _awaited(Requests.get)
    fetch = _awaited(Requests.fetch)
    entry = _awaited(Requests.entry)
    exists = _awaited(Requests.exists)
    ttl = _awaited(Requests.ttl)
    set = _awaited(Requests.set)
    get_and_set = _awaited(Requests.get_and_set)
    delete = _awaited(Requests.delete)
    get_and_delete = _awaited(Requests.get_and_delete)
    touch = _awaited(Requests.touch)
    increment = _awaited(Requests.increment)
    invalidate = _awaited(Requests.invalidate)
    invalidate_version = _awaited(Requests.invalidate_version)
    invalidate_tag = _awaited(Requests.invalidate_tag)
    invalidate_pattern = _awaited(Requests.invalidate_pattern)
    flush = _awaited(Requests.flush)
    owners = _awaited(Requests.owners)
    report = _awaited(Requests.report)
    command = _awaited(Requests.command)
    settings = _awaited(Requests.settings)
    configure = _awaited(Requests.configure)
    status = _awaited(Requests.status)

    async def get_many(
        self,
        keys: Iterable[Key],
        *,
        level: LevelName | None = None,
        timeout: float | None = None,
        max_staleness: float | None = None,
    ) -> dict[Key, Any]:
        """The values of those keys that have one, in the order asked for.

        An error is that of one key, with a note of how many failed.
        """
        wanted = list(keys)
        calls = get_calls(self.requests, wanted, level, timeout, max_staleness)
        await self.run(calls)
        return found_values(wanted, calls, wall_ms_now())

    async def set_many(
        self,
        values: Mapping[Key, Any],
        *,
        ttl: float | None = None,
        level: LevelName | None = None,
        timeout: float | None = None,
    ) -> None:
        """Write several values, each on its own: an error is that of one key, the others were carried out."""
        calls = set_calls(self.requests, values, ttl, level, timeout)
        await self.run(calls)
        raise_failed(calls)

    async def delete_many(
        self, keys: Iterable[Key], *, level: LevelName | None = None, timeout: float | None = None
    ) -> None:
        """Delete several keys, each on its own: an error is that of one key, the others were carried out."""
        calls = delete_calls(self.requests, keys, level, timeout)
        await self.run(calls)
        raise_failed(calls)

    def scan(
        self,
        prefix: Key = b"",
        *,
        pattern: Key | None = None,
        level: LevelName | None = None,
        count: int | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[bytes]:
        """Every key of the namespace with a prefix, and of a pattern if one is given (``*``, ``?``, ``[a-z]``, as in
        Redis), as bytes, in no order that means anything.

        A key that is there throughout is returned, and none twice; one that comes or goes meanwhile may or may not be.
        ``level``: "one" asks one owner of each partition, "quorum" and "all" ask all and need a majority or every one
        of them. ``count``: keys asked for at a time. ``timeout``: seconds for one page.
        """
        wanted, router = selection(self.requests.head, prefix, pattern, count), self.session.router
        walk = ScanWalk.of(wanted, level, timeout, self._owners_of, router.numbers_of)
        return self._walk(walk)

    def _owners_of(self, partition: int) -> list[tuple[Endpoint, bool]]:
        """The owners of a partition, each with whether it seems well."""
        now_s = time.monotonic()
        return [(endpoint, endpoint.usable(now_s)) for endpoint in self.session.router.owners_of(partition)]

    async def _walk(self, walk: ScanWalk) -> AsyncIterator[bytes]:
        while calls := walk.calls():
            await self.run(calls)
            for key in walk.take(calls, wall_ms_now()):
                yield key

    async def scan_page(
        self,
        cursor: bytes | None = None,
        prefix: Key = b"",
        *,
        pattern: Key | None = None,
        count: int | None = None,
        timeout: float | None = None,
    ) -> ScanPage:
        """One page of keys and the cursor for the next; `scan` walks through all of them.

        The cursor holds everything: any client can go on with it at any time. Its last page has the cursor None.
        """
        call = page_call(selection(self.requests.head, prefix, pattern, count), cursor, timeout)
        await self.run_one(call)
        return call.result(wall_ms_now())

    def subscribe(
        self,
        prefix: Key = b"",
        *,
        changes: Sequence[KeyChange | str] | None = None,
        timeout: float | None = None,
    ) -> AsyncSubscription:
        """Be told of changes to keys with a prefix, at every node; ``changes``: some of "set", "delete", "expire" and
        "evict" (all by default). The namespace must have key events on.

        Use it as ``async with client.subscribe("user:") as events:`` and iterate with ``async for``. Each item is a
        `KeyEvent`, or an `EventsLost` that says how many were not taken in time. ``timeout``: seconds within which to
        begin.
        """
        return AsyncSubscription(
            self.session,
            watch(self.requests.head, prefix, changes),
            checked_timeout_s(timeout or self.session.timeout_s),
        )

    def pipeline(self) -> AsyncPipeline:
        """Collect operations in an ``async with`` block, and send them together at its end."""
        return AsyncPipeline(self.requests, self.run)

    def namespace(self, name: str) -> "AsyncNamespace":
        """Return the operations on another namespace, "" being the default one; raises InvalidRequest for a name that
        is none."""
        return AsyncNamespace(self, name)


class AsyncNamespace(AsyncOperations):
    """The operations of a client on the keys of one namespace. It lives as long as its client, and is as easily made as
    thrown away."""

    __slots__ = ("_client", "name", "requests")

    def __init__(self, client: AsyncOperations, name: str) -> None:
        """Of a client, which may be such a handle itself."""
        self._client = client
        self.name = name
        self.requests = client.requests.of_namespace(name)

    @property
    def session(self) -> AsyncSession:
        """The client's."""
        return self._client.session

    async def run(self, calls: Sequence[Call[Any]]) -> None:
        """Carry calls to their ends over the client's connections."""
        await self._client.run(calls)

    async def run_one(self, call: Call[Any]) -> None:
        """Carry one call to its end over the client's connections."""
        await self._client.run_one(call)


@attrs.define(eq=False)
class AsyncClient(AsyncSession, AsyncOperations):
    """Operations on the cache, each a coroutine. Any number of tasks may share one client.

    Keys are str or bytes of 1 to 1,024 bytes; values are bytes, str, int, float, bool, None, and lists and maps of
    these. ``level`` and ``timeout`` (seconds) override the client's own for one operation. Every error is one of
    `dynacache.errors`: one whose ``definite`` is true changed nothing, any other may have.
    """


def connect(
    addresses: str | Iterable[str],
    *,
    secret: str | None = None,
    read_level: LevelName | None = None,
    write_level: LevelName | None = None,
    timeout: float = 5.0,
    max_staleness: float | None = None,
    connections_per_node: int = 1,
    retries: RetryPolicy | None = None,
) -> AsyncClient:
    """Return a client to enter with ``async with``, under Trio or asyncio.

    ``addresses``: one or several nodes as "host:port"; the others are learnt from them. ``secret``: the cluster's, if
    it has one. ``read_level``, ``write_level``: a `Level` or its name ("one", "quorum", "strict_quorum", "all",
    "strong"); None takes the cluster's defaults. ``timeout``: seconds for one operation with all its retries.
    ``max_staleness``: seconds that a read may lag; None or 0 leaves it to the level, above 0 reads at level ONE from
    any owner (`dynacache.client.options`).

    Entering raises UnavailableError when no address can be reached, AuthenticationFailed for a wrong secret.
    Raises InvalidRequest for an option out of range.
    """
    options = Options(read_level, write_level, timeout, max_staleness)
    policy = RetryPolicy() if retries is None else retries
    return AsyncClient(parse_addresses(addresses), options, policy, secret, connections_per_node)
