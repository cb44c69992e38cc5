"""What a task sleeps on until all calls of its batch have ended.

What: a `Waiter` counts the calls that are still out; whoever ends a call says `done_one`, and the last one wakes the
task. On Trio it parks the task itself; elsewhere it uses an anyio event.

Invariant: one task waits, once. Calls may end before it starts to wait, or after it was cancelled; both are harmless.

Why: one wake-up for a batch instead of one for each call; and parking the task directly costs a third of
an event, which at one call per batch is a good part of the client's whole cost.
"""

from typing import Protocol

import anyio
import attrs
import trio

__all__ = ["EventWaiter", "TrioWaiter", "Waiter", "waiter_type"]


class Waiter(Protocol):
    """Counts down; wakes its task at zero."""

    waiting: int

    def __init__(self, waiting: int) -> None: ...

    def done_one(self) -> None:
        """One call has ended."""

    async def wait(self) -> None:
        """Return when all calls have ended."""


@attrs.define(eq=False)
class TrioWaiter:
    """For tasks of Trio."""

    waiting: int
    _task: trio.lowlevel.Task | None = attrs.field(default=None, init=False)

    def done_one(self) -> None:
        """One call has ended."""
        self.waiting -= 1
        if not self.waiting and self._task is not None:
            trio.lowlevel.reschedule(self._task)
            self._task = None

    async def wait(self) -> None:
        """Return when all calls have ended."""
        if self.waiting:
            self._task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


@attrs.define(eq=False)
class EventWaiter:
    """For tasks of any library that anyio knows."""

    waiting: int
    _event: anyio.Event | None = attrs.field(default=None, init=False)

    def done_one(self) -> None:
        """One call has ended."""
        self.waiting -= 1
        if not self.waiting and self._event is not None:
            self._event.set()

    async def wait(self) -> None:
        """Return when all calls have ended."""
        if self.waiting:
            self._event = anyio.Event()
            await self._event.wait()


def waiter_type() -> type[TrioWaiter] | type[EventWaiter]:
    """The kind of waiter for the library that runs the current task."""
    return TrioWaiter if trio.lowlevel.in_trio_run() else EventWaiter
