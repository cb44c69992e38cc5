"""The client of a simulated cluster, for tests: the operations of `dynacache.Client`, in virtual time.

What: ``SimulatedClient`` has each operation twice. Called on the client it lets virtual time run until the answer is
there, and returns or raises what the real client would; called on ``begin`` it is sent and left under way, and a
``Pending`` stands for its end.

Invariant: what an operation takes, means and raises is written down in `dynacache.client` alone; here it is carried
over the simulated network, by the same state machine that carries the operations of a drawn workload.

Why both forms: a story is easiest to read one call after the other, and races need calls that overlap.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar

import attrs

from dynacache.client.calls import Call
from dynacache.client.many import delete_calls, found_values, get_calls, raise_failed, set_calls
from dynacache.client.requests import LevelName, Requests
from dynacache.client.scanning import page_call, selection
from dynacache.client.values import Key
from dynacache.errors import DynacacheError

from .history import OperationKind
from .workload import Operation
from .world.clients import SimClient, _Running

__all__ = ["TEXT_LIMIT", "Beginning", "Caller", "Pending", "SimulatedClient", "short"]

TEXT_LIMIT: Final = 60
"""Characters of one value in a story."""

P = ParamSpec("P")
R = TypeVar("R")


@attrs.define(eq=False, repr=False)
class Pending(Generic[R]):
    """A call under way; ``result`` lets time run until it has ended, and returns or raises what it ended with."""

    client: "SimulatedClient"
    call: Call[R]
    text: str
    """The operation as it was written."""
    done: bool = False

    def __repr__(self) -> str:
        return f"<{self.client.name} {self.text}: {'done' if self.done else 'under way'}>"

    def wait(self) -> "Pending[R]":
        """Let time run until the call has ended, whatever it ended with."""
        __tracebackhide__ = True
        self.client.run_until_done(self)
        return self

    def result(self) -> R:
        """Return what the operation returned; raises a DynacacheError as the real client would."""
        __tracebackhide__ = True
        self.wait()
        return self.call.result(self.client.wall_ms())

    def ended(self) -> None:
        """Take note that the call has its answer or its error."""
        self.done = True
        try:
            told = short(self.call.result(self.client.wall_ms()))
        except DynacacheError as error:
            told = f"{type(error).__name__}: {error}"
        self.client.tell(f"{self.client.name} {self.text} -> {told}")


@attrs.define(eq=False, repr=False)
class Caller(SimClient):
    """The client core on the simulated network, for calls that a test makes."""

    _number: int = 0

    def call(self, pending: Pending[Any]) -> None:
        """Send one call; ``pending`` hears of its end."""
        call = pending.call
        call.waiter = pending
        self._number += 1
        now_s = self.heap.now_s
        call.deadline_s = now_s + (self.timeout_s if call.timeout_s is None else call.timeout_s)
        operation = Operation(self._number, 0.0, self.index, OperationKind.GET, call.key or b"")
        running = _Running(operation, operation.kind, call, self.recorder.next_sequence(), now_s, None)
        self.running[self._number] = running
        self._attempt(running)

    def _finish(self, running: _Running) -> None:
        del self.running[running.operation.number]
        self.recorder.hashed("finished", self.name, running.operation.number)
        running.call.waiter.ended()
        self.heap.halted = True


def _begun(
    build: Callable[Concatenate[Requests, P], Call[R]],
) -> Callable[Concatenate["Beginning", P], Pending[R]]:
    def operation(self: "Beginning", /, *args: P.args, **kwargs: P.kwargs) -> Pending[R]:
        return self._client.begun(build(self._client.requests, *args, **kwargs), _said(build, args, kwargs))

    functools.update_wrapper(operation, build)
    return operation


def _carried_out(
    build: Callable[Concatenate[Requests, P], Call[R]],
) -> Callable[Concatenate["SimulatedClient", P], R]:
    def operation(self: "SimulatedClient", /, *args: P.args, **kwargs: P.kwargs) -> R:
        __tracebackhide__ = True
        return self.begun(build(self.requests, *args, **kwargs), _said(build, args, kwargs)).result()

    functools.update_wrapper(operation, build)
    return operation


@attrs.define(eq=False, repr=False)
class Beginning:
    """The operations of a client, started and left under way; each returns a ``Pending``."""

    _client: "SimulatedClient"

    get = _begun(Requests.get)
    fetch = _begun(Requests.fetch)
    entry = _begun(Requests.entry)
    exists = _begun(Requests.exists)
    ttl = _begun(Requests.ttl)
    set = _begun(Requests.set)
    get_and_set = _begun(Requests.get_and_set)
    delete = _begun(Requests.delete)
    get_and_delete = _begun(Requests.get_and_delete)
    touch = _begun(Requests.touch)
    increment = _begun(Requests.increment)
    invalidate = _begun(Requests.invalidate)
    invalidate_version = _begun(Requests.invalidate_version)
    invalidate_tag = _begun(Requests.invalidate_tag)
    invalidate_pattern = _begun(Requests.invalidate_pattern)
    flush = _begun(Requests.flush)
    settings = _begun(Requests.settings)
    configure = _begun(Requests.configure)


@attrs.define(eq=False, repr=False)
class SimulatedClient:
    """A cache with the operations of `dynacache.Client`, except pipelines. Each call lets virtual time run."""

    name: str
    requests: Requests
    _caller: Caller
    run_until_done: Callable[[Pending[Any]], None]
    """Lets virtual time run until a call has ended."""
    tell: Callable[[str], None]
    """Adds a line to the story."""

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
    settings = _carried_out(Requests.settings)
    configure = _carried_out(Requests.configure)
    owners = _carried_out(Requests.owners)

    def __repr__(self) -> str:
        return f"<simulated client {self.name}>"

    @property
    def begin(self) -> Beginning:
        """The same operations, started and left under way: ``client.begin.increment("visits")``."""
        return Beginning(self)

    def namespace(self, name: str) -> "SimulatedClient":
        """Return the operations on another namespace, "" being the default one; raises InvalidRequest for a name that
        is none."""
        return attrs.evolve(self, requests=self.requests.of_namespace(name))

    def scan(self, prefix: Key = b"", *, pattern: Key | None = None, count: int | None = None) -> list[bytes]:
        """Return every key of the namespace with a prefix, and of a pattern if one is given, at level one."""
        wanted, cursor = selection(self.requests.head, prefix, pattern, count), None
        found: list[bytes] = []
        while True:
            page = self.begun(page_call(wanted, cursor, None), f"scan: {short(prefix)}").result()
            found += page.keys
            cursor = page.cursor
            if cursor is None:
                return found

    def get_many(self, keys: Iterable[Key], *, level: LevelName | None = None) -> dict[Key, Any]:
        """Return the values of those keys that have one, in the order asked for."""
        wanted = list(keys)
        calls = self._all(get_calls(self.requests, wanted, level, None, None), "get_many")
        return found_values(wanted, calls, self.wall_ms())

    def set_many(self, values: Mapping[Key, Any], *, ttl: float | None = None, level: LevelName | None = None) -> None:
        """Write several values, each on its own."""
        raise_failed(self._all(set_calls(self.requests, values, ttl, level, None), "set_many"))

    def delete_many(self, keys: Iterable[Key], *, level: LevelName | None = None) -> None:
        """Delete several keys, each on its own."""
        raise_failed(self._all(delete_calls(self.requests, keys, level, None), "delete_many"))

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""

    def __enter__(self) -> "SimulatedClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begun(self, call: Call[R], text: str) -> Pending[R]:
        """Send one call."""
        pending = Pending(self, call, text)
        self._caller.call(pending)
        return pending

    def _all(self, calls: list[Call[Any]], name: str) -> list[Call[Any]]:
        for pending in [self.begun(call, f"{name}: {short(call.key)}") for call in calls]:
            pending.wait()
        return calls

    def wall_ms(self) -> int:
        """Return what this client's clock shows."""
        return self._caller.clock.now_ms(self._caller.heap.now_s)


def _said(build: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    given = [short(each) for each in args] + [f"{name}={short(each)}" for name, each in kwargs.items()]
    return f"{build.__name__}({', '.join(given)})"


def short(value: object) -> str:
    """Return a value as a story shows it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - 3] + "..."
