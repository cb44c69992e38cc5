"""The synchronous client, for threads.

What: `Client` connects when it is made; its operations are those of `dynacache.client.requests`, returning at once with
their result. Any number of threads may share one client.

Invariant: what an operation takes, means and documents is written down once, in `Requests`; here it is only carried to
its end by `BlockingSession`.

Why: the asynchronous client, this one and the two pipelines then cannot drift apart.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from dynacache.client.addresses import parse_addresses
from dynacache.client.calls import Call
from dynacache.client.many import delete_calls, found_values, get_calls, raise_failed, set_calls
from dynacache.client.options import Options, checked_timeout_s
from dynacache.client.requests import LevelName, Requests
from dynacache.client.retries import RetryPolicy
from dynacache.client.scanning import ScanPage, ScanWalk, page_call, selection
from dynacache.client.values import Key
from dynacache.client.watching import watch
from dynacache.runtime.clients.blocking_session import BlockingSession
from dynacache.runtime.clients.blocking_subscription import Subscription
from dynacache.runtime.clients.pipelines import Pipeline
from dynacache.runtime.entropy import wall_ms_now
from dynacache.types import KeyChange

__all__ = ["Client", "Namespace", "Operations"]

P = ParamSpec("P")
R = TypeVar("R")


def _carried_out(
    build: Callable[Concatenate[Requests, P], Call[R]],
) -> Callable[Concatenate["Operations", P], R]:
    """The operation of the client that carries what `build` builds to its end."""

    def operation(self: "Operations", /, *args: P.args, **kwargs: P.kwargs) -> R:
        call = build(self.requests, *args, **kwargs)
        self.run((call,))
        return call.result(wall_ms_now())

    functools.update_wrapper(operation, build)
    return operation


class Operations:
    """The operations, for whoever builds calls and carries them to their end."""

    __slots__ = ()

    @property
    def requests(self) -> Requests:
        """What builds the calls."""
        raise NotImplementedError

    @property
    def session(self) -> BlockingSession:
        """Where connections and members are known."""
        raise NotImplementedError

    def run(self, calls: Sequence[Call[Any]]) -> None:
        """Carry calls to their ends."""
        raise NotImplementedError

    get = _carried_out(Requests.get)
    fetch = _carried_out(Requests.fetch)
    entry = _carried_out(Requests.entry)
    exists = _carried_out(Requests.exists)
    ttl = _carried_out(Requests.ttl)
    set = _carried_out(Requests.set)
    get_and_set = _carried_out(Requests.get_and_set)
    delete = _carried_out(Requests.delete)
    get_and_delete = _carried_out(Requests.get_and_delete)
    touch = _carried_out(Requests.touch)
    increment = _carried_out(Requests.increment)
    invalidate = _carried_out(Requests.invalidate)
    invalidate_version = _carried_out(Requests.invalidate_version)
    invalidate_tag = _carried_out(Requests.invalidate_tag)
    invalidate_pattern = _carried_out(Requests.invalidate_pattern)
    flush = _carried_out(Requests.flush)
    owners = _carried_out(Requests.owners)
    report = _carried_out(Requests.report)
    command = _carried_out(Requests.command)
    settings = _carried_out(Requests.settings)
    configure = _carried_out(Requests.configure)
    status = _carried_out(Requests.status)

    def get_many(
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
        self.run(calls)
        return found_values(wanted, calls, wall_ms_now())

    def set_many(
        self,
        values: Mapping[Key, Any],
        *,
        ttl: float | None = None,
        level: LevelName | None = None,
        timeout: float | None = None,
    ) -> None:
        """Write several values, each on its own: an error is that of one key, the others were carried out."""
        calls = set_calls(self.requests, values, ttl, level, timeout)
        self.run(calls)
        raise_failed(calls)

    def delete_many(self, keys: Iterable[Key], *, level: LevelName | None = None, timeout: float | None = None) -> None:
        """Delete several keys, each on its own: an error is that of one key, the others were carried out."""
        calls = delete_calls(self.requests, keys, level, timeout)
        self.run(calls)
        raise_failed(calls)

    def scan(
        self,
        prefix: Key = b"",
        *,
        pattern: Key | None = None,
        level: LevelName | None = None,
        count: int | None = None,
        timeout: float | None = None,
    ) -> Iterator[bytes]:
        """Every key of the namespace with a prefix, and of a pattern if one is given (``*``, ``?``, ``[a-z]``, as in
        Redis), as bytes, in no order that means anything.

        A key that is there throughout is returned, and none twice; one that comes or goes meanwhile may or may not be.
        ``level``: "one" asks one owner of each partition, "quorum" and "all" ask all and need a majority or every one
        of them. ``count``: keys asked for at a time. ``timeout``: seconds for one page.
        """
        wanted, pool = selection(self.requests.head, prefix, pattern, count), self.session.pool
        walk = ScanWalk.of(wanted, level, timeout, pool.owners_of, pool.router.numbers_of)
        return self._walk(walk)

    def _walk(self, walk: ScanWalk) -> Iterator[bytes]:
        while calls := walk.calls():
            self.run(calls)
            yield from walk.take(calls, wall_ms_now())

    def scan_page(
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
        self.run((call,))
        return call.result(wall_ms_now())

    def subscribe(
        self,
        prefix: Key = b"",
        *,
        changes: Sequence[KeyChange | str] | None = None,
        timeout: float | None = None,
    ) -> Subscription:
        """Be told of changes to keys with a prefix, at every node; ``changes``: some of "set", "delete", "expire" and
        "evict" (all by default). The namespace must have key events on.

        Use it as ``with client.subscribe("user:") as events:`` and iterate, ``for event in events:``. Each item
        is a `KeyEvent`, or an `EventsLost` that says how many were not taken in time. ``timeout``: seconds within which
        to begin.
        """
        return Subscription(
            self.session,
            watch(self.requests.head, prefix, changes),
            checked_timeout_s(timeout or self.session.timeout_s),
        )

    def pipeline(self) -> Pipeline:
        """Collect operations in a ``with`` block, and send them together at its end."""
        return Pipeline(self.requests, self.run)

    def namespace(self, name: str) -> "Namespace":
        """Return the operations on another namespace, "" being the default one; raises InvalidRequest for a name that
        is none."""
        return Namespace(self, name)


class Namespace(Operations):
    """The operations of a client on the keys of one namespace. It lives as long as its client, and is as easily made as
    thrown away."""

    __slots__ = ("_built", "_built_from", "_client", "name")

    def __init__(self, client: Operations, name: str) -> None:
        """Of a client, which may be such a handle itself."""
        self._client = client
        self.name = name
        self._built_from = client.requests
        self._built = self._built_from.of_namespace(name)

    @property
    def requests(self) -> Requests:
        """What builds the calls; a process that was forked has others than its parent."""
        theirs = self._client.requests
        if theirs is not self._built_from:
            self._built_from, self._built = theirs, theirs.of_namespace(self.name)
        return self._built

    @property
    def session(self) -> BlockingSession:
        """The client's."""
        return self._client.session

    def run(self, calls: Sequence[Call[Any]]) -> None:
        """Carry calls to their ends over the client's connections."""
        self._client.run(calls)


class Client(BlockingSession, Operations):
    """Operations on the cache. Any number of threads may share one client; close it, or use it in a ``with`` block.

    Keys are str or bytes of 1 to 1,024 bytes; values are bytes, str, int, float, bool, None, and lists and maps of
    these. ``level`` and ``timeout`` (seconds) override the client's own for one operation. Every error is one of
    `dynacache.errors`: one whose ``definite`` is true changed nothing, any other may have.
    """

    __slots__ = ()

    def __init__(
        self,
        addresses: str | Iterable[str],
        *,
        secret: str | None = None,
        read_level: LevelName | None = None,
        write_level: LevelName | None = None,
        timeout: float = 5.0,
        max_staleness: float | None = None,
        connections_per_node: int = 16,
        retries: RetryPolicy | None = None,
    ) -> None:
        """Connect to the first address that answers.

        The arguments mean what they mean to `dynacache.connect`; ``connections_per_node`` is the number of threads that
        may talk to one node at a time. Raises UnavailableError when no address can be reached, AuthenticationFailed for
        a wrong secret, InvalidRequest for an option out of range.
        """
        options = Options(read_level, write_level, timeout, max_staleness)
        policy = RetryPolicy() if retries is None else retries
        super().__init__(parse_addresses(addresses), options, policy, secret, connections_per_node)
