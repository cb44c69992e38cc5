"""Runs exchanges step by step: one question at a time, at the pace that repair is allowed.

What: an exchange is a generator that yields ``Ask`` (a question to its peer, answered by sending the message in) or
``Pause``. ``Runner`` drives the generators that are under way, waits for answers, and holds a question back while the
rate or busy clients say so.

Invariant: an exchange has at most one question on the wire. It ends exactly once, with its ``ended`` callback told
whether it came to its end; when the peer falls silent, refuses our member table or answers nonsense, the generator is
closed where it stands and nothing has to be undone (see ``exchange_peer``).

Why generators: an exchange is a conversation of a dozen turns with loops in it; as a table of states the loops would
be torn apart. A generator is sans-IO all the same: it awaits nothing and knows no clock.
"""

from collections.abc import Callable, Generator
from typing import Any, TypeVar

import attrs

from dynacache.errors import DynacacheError
from dynacache.events import Message
from dynacache.repair.exchange_ground import ExchangeGround, size_of
from dynacache.types import NodeId

__all__ = ["Ask", "GaveUp", "Pause", "Runner", "Steps"]

_T = TypeVar("_T")


@attrs.frozen
class Ask:
    """A question to the peer: its kind and the fields that follow our table's digest."""

    kind: int
    fields: tuple[object, ...]


@attrs.frozen
class Pause:
    """Nothing to do for so many seconds."""

    seconds: float


Steps = Generator[Ask | Pause, Any, _T]
"""An exchange, or a part of one; an ``Ask`` is sent the answer, a list, kind first."""


class GaveUp(Exception):
    """This exchange cannot go on now; the next one may."""


@attrs.define(eq=False)
class _Running:
    """One exchange under way."""

    runner: "Runner"
    node_id: NodeId
    steps: Steps[None]
    ended: Callable[[bool], None]
    held: Ask | None = None
    wake_s: float = float("-inf")
    """When to go on; infinity while an answer is waited for."""

    def answered(self, message: Message) -> None:
        """Go on with the answer."""
        size_bytes = size_of(message)
        ground = self.runner.ground
        ground.counters.bytes_received += size_bytes
        ground.pace.moved(size_bytes, ground.port.now_s)
        self.runner.proceed(self, message)

    def failed(self) -> None:
        """End: no answer will come."""
        self.runner.end(self, False)


@attrs.define(eq=False)
class Runner:
    """Exchanges under way, oldest first."""

    ground: ExchangeGround
    running: list[_Running] = attrs.field(factory=list)

    def start(self, node_id: NodeId, steps: Steps[None], ended: Callable[[bool], None]) -> None:
        """Begin an exchange with a peer."""
        running = _Running(self, node_id, steps, ended)
        self.running.append(running)
        self.proceed(running, None)

    def is_running(self, node_id: NodeId) -> bool:
        """Tell whether an exchange with a peer is under way."""
        return any(each.node_id == node_id for each in self.running)

    def tick(self) -> None:
        """Go on with whatever has waited long enough."""
        now_s = self.ground.port.now_s
        for running in list(self.running):
            if running.wake_s <= now_s:
                if running.held is not None:
                    self._ask(running, running.held)
                else:
                    self.proceed(running, None)

    def next_due_s(self) -> float:
        """Return when the next exchange goes on by itself, infinity for none."""
        return min((running.wake_s for running in self.running), default=float("inf"))

    def stop_all(self) -> None:
        """End every exchange, as when owners change."""
        for running in list(self.running):
            self.end(running, False)

    def proceed(self, running: _Running, answer: Message | None) -> None:
        """Let an exchange take its next step."""
        if running not in self.running:
            return
        try:
            step = running.steps.send(answer)
        except StopIteration:
            self.end(running, True)
            return
        except GaveUp:
            self.end(running, False)
            return
        except (DynacacheError, LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
            self.end(running, False)
            raise
        if isinstance(step, Pause):
            running.wake_s = self.ground.port.now_s + step.seconds
        else:
            self._ask(running, step)

    def end(self, running: _Running, finished: bool) -> None:
        """Take an exchange off the list and say how it ended."""
        if running not in self.running:
            return
        self.running.remove(running)
        running.steps.close()
        running.ended(finished)

    def _ask(self, running: _Running, ask: Ask) -> None:
        ground = self.ground
        port, pace = ground.port, ground.pace
        ready_s = pace.ready_s(port.now_s, port.load)
        if ready_s > port.now_s:
            running.held, running.wake_s = ask, ready_s
            return
        running.held, running.wake_s = None, float("inf")
        size_bytes = size_of(ask.fields)
        ground.counters.bytes_sent += size_bytes
        pace.moved(size_bytes, port.now_s)
        pace.stepped(port.now_s)
        port.ask(running.node_id, ask.kind, (port.digest, *ask.fields), running, ground.settings.answer_timeout_ms)
