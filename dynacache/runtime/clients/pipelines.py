"""Pipelines: calls collected first, sent together, answered in order.

What: inside ``async with client.pipeline() as pipeline`` (or ``with``, on the synchronous client) each operation is
only noted down. Leaving the block, or `run`, sends them all and puts their results into `results`, at the position that
the operation returned.

Invariant: ``results`` has one entry for each operation, in order: its result, or the DynacacheError it ended with,
which is not raised. A block left by an exception sends nothing. At most `PIPELINE_LIMIT` operations are taken.

What is promised about order: operations on one key are sent in order over one connection while no node fails; a retry
after a failure may let a later one overtake. Nothing is promised between keys, and a pipeline is no transaction.
"""

import functools
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec

import attrs

from dynacache.client.calls import Call
from dynacache.client.requests import Requests
from dynacache.errors import DynacacheError, InvalidRequest
from dynacache.runtime.entropy import wall_ms_now

__all__ = ["PIPELINE_LIMIT", "AsyncPipeline", "Pipeline"]

PIPELINE_LIMIT: Final = 65_536
"""Operations of one pipeline."""

P = ParamSpec("P")


def _noted(build: Callable[Concatenate[Requests, P], Call[Any]]) -> Callable[Concatenate["_Collector", P], int]:
    """The operation of a pipeline that notes down what `build` builds, and returns its position."""

    def operation(self: "_Collector", /, *args: P.args, **kwargs: P.kwargs) -> int:
        return self._note(build(self._requests, *args, **kwargs))

    functools.update_wrapper(operation, build)
    return operation


@attrs.define(eq=False)
class _Collector:
    """The operations, noted down."""

    _requests: Requests = attrs.field(repr=False)
    _calls: list[Call[Any]] = attrs.field(factory=list, init=False)
    results: list[Any] = attrs.field(factory=list, init=False)
    """A result or a DynacacheError for each operation, once it has run."""

    def __len__(self) -> int:
        return len(self._calls)

    def _note(self, call: Call[Any]) -> int:
        if len(self._calls) >= PIPELINE_LIMIT:
            raise InvalidRequest(f"a pipeline takes at most {PIPELINE_LIMIT} operations")
        self._calls.append(call)
        return len(self._calls) - 1

    def _take(self) -> list[Call[Any]]:
        calls, self._calls = self._calls, []
        return calls

    def _finish(self, calls: Sequence[Call[Any]]) -> list[Any]:
        wall_ms = wall_ms_now()
        self.results = [_result_or_error(call, wall_ms) for call in calls]
        return self.results

    get = _noted(Requests.get)
    fetch = _noted(Requests.fetch)
    entry = _noted(Requests.entry)
    exists = _noted(Requests.exists)
    ttl = _noted(Requests.ttl)
    set = _noted(Requests.set)
    get_and_set = _noted(Requests.get_and_set)
    delete = _noted(Requests.delete)
    get_and_delete = _noted(Requests.get_and_delete)
    touch = _noted(Requests.touch)
    increment = _noted(Requests.increment)
    invalidate = _noted(Requests.invalidate)
    invalidate_version = _noted(Requests.invalidate_version)
    invalidate_tag = _noted(Requests.invalidate_tag)
    invalidate_pattern = _noted(Requests.invalidate_pattern)
    flush = _noted(Requests.flush)


def _result_or_error(call: Call[Any], wall_ms: int) -> Any:
    try:
        return call.result(wall_ms)
    except DynacacheError as error:
        return error


@attrs.define(eq=False)
class Pipeline(_Collector):
    """Operations of the synchronous client, noted down and sent together when the ``with`` block ends."""

    _run: Callable[[Sequence[Call[Any]]], None] = attrs.field(repr=False)

    def run(self) -> list[Any]:
        """Send what was noted down and return the results; the pipeline can then be filled again."""
        calls = self._take()
        self._run(calls)
        return self._finish(calls)

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None and self._calls:
            self.run()


@attrs.define(eq=False)
class AsyncPipeline(_Collector):
    """Operations of the asynchronous client, noted down and sent together when the ``async with`` block ends."""

    _run: Callable[[Sequence[Call[Any]]], Awaitable[None]] = attrs.field(repr=False)

    async def run(self) -> list[Any]:
        """Send what was noted down and return the results; the pipeline can then be filled again."""
        calls = self._take()
        await self._run(calls)
        return self._finish(calls)

    async def __aenter__(self) -> "AsyncPipeline":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None and self._calls:
            await self.run()
