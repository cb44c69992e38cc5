"""The asynchronous client, for Trio and asyncio.

What: `connect` returns an `AsyncClient`; its operations are those of `dynacache.client.requests`, as coroutines.

Invariant: what an operation takes, means and documents is written down once, in `Requests`; here it is only carried to
its end by `AsyncSession`.

Why: the synchronous client, this one and the two pipelines then cannot drift apart.
"""

import functools
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import attrs

from dynacache.client.addresses import parse_addresses
from dynacache.client.calls import Call
from dynacache.client.many import delete_calls, found_values, get_calls, raise_failed, set_calls
from dynacache.client.options import Options
from dynacache.client.requests import LevelName, Requests
from dynacache.client.retries import RetryPolicy
from dynacache.client.values import Key
from dynacache.runtime.clients.async_session import AsyncSession
from dynacache.runtime.clients.pipelines import AsyncPipeline
from dynacache.runtime.entropy import wall_ms_now

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

    async def run(self, calls: Sequence[Call[Any]]) -> None:
        """Carry calls to their ends."""
        raise NotImplementedError

    async def run_one(self, call: Call[Any]) -> None:
        """Carry one call to its end."""
        raise NotImplementedError

    get = _awaited(Requests.get)
    fetch = _awaited(Requests.fetch)
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
