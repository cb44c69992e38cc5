"""One scenario, three shells: the asynchronous client under Trio and asyncio, and the synchronous one.

A scenario is an async function of a client. The synchronous client is given to it behind an adapter whose methods can
be awaited and simply block, so that all three are held to the same words.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import anyio

import dynacache

SHELLS: Final = ("trio", "asyncio", "threads")
ASYNCHRONOUS: Final = ("trio", "asyncio")

Scenario = Callable[[Any], Awaitable[None]]


class Awaitably:
    """A synchronous client whose operations can be awaited."""

    def __init__(self, client: dynacache.Client) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = getattr(self._client, name)
        if name == "pipeline":
            return lambda: AwaitablePipeline(operation())

        async def awaited(*arguments: Any, **options: Any) -> Any:
            return operation(*arguments, **options)

        return awaited


class AwaitablePipeline:
    """A synchronous pipeline for ``async with``."""

    def __init__(self, pipeline: dynacache.Pipeline) -> None:
        self._pipeline = pipeline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def __len__(self) -> int:
        return len(self._pipeline)

    async def run(self) -> list[Any]:
        """Run it."""
        return self._pipeline.run()

    async def __aenter__(self) -> "AwaitablePipeline":
        return self

    async def __aexit__(self, *error: Any) -> None:
        self._pipeline.__exit__(*error)


def run(shell: str, addresses: str | Iterable[str], scenario: Scenario, **options: Any) -> None:
    """Run a scenario with a client of this kind, connected to the addresses."""

    async def asynchronous() -> None:
        async with dynacache.connect(addresses, **options) as client:
            await scenario(client)

    async def synchronous() -> None:
        with dynacache.Client(addresses, **options) as client:
            await scenario(Awaitably(client))

    if shell == "threads":
        anyio.run(synchronous, backend="trio")
    else:
        anyio.run(asynchronous, backend=shell)
