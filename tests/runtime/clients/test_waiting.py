"""One task waits until a number of calls have ended."""

from typing import Any

import anyio
import pytest

from dynacache.runtime.clients.waiting import EventWaiter, TrioWaiter, waiter_type
from tests.runtime.clients.shells import ASYNCHRONOUS


@pytest.mark.parametrize(("backend", "expected"), [("trio", TrioWaiter), ("asyncio", EventWaiter)])
def test_the_kind_follows_the_library(backend: str, expected: Any) -> None:
    async def scenario() -> None:
        assert waiter_type() is expected

    anyio.run(scenario, backend=backend)


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_the_last_one_wakes_the_task(backend: str) -> None:
    async def scenario() -> None:
        waiter = waiter_type()(3)
        woken = False

        async def wait() -> None:
            nonlocal woken
            await waiter.wait()
            woken = True

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            for _ in range(3):
                await anyio.wait_all_tasks_blocked()
                assert not woken
                waiter.done_one()
        assert woken

    anyio.run(scenario, backend=backend)


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_calls_may_end_before_the_wait_and_after_its_cancellation(backend: str) -> None:
    async def scenario() -> None:
        early = waiter_type()(1)
        early.done_one()
        await early.wait()
        late = waiter_type()(1)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await late.wait()
        assert scope.cancelled_caught
        late.done_one()

    anyio.run(scenario, backend=backend)
