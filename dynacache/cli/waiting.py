"""Waiting for something that goes on by itself, and showing how far it has come.

What: `watch` looks again and again, tells each new sentence on standard error, and ends when the look says so.

Invariant: an interrupt ends the watching and nothing else, and says so. A node that does not answer is waited for a
bounded time, since one that restarts comes back; then the command ends with what it last knew, exit code 4.

Why standard error: standard output holds the command's answer alone, so ``--wait --output json`` stays one document.
"""

import sys
import time
from collections.abc import Callable
from contextvars import ContextVar

import attrs

from dynacache.errors import DynacacheError, UnavailableError

__all__ = ["LOOK_INTERVAL_S", "SILENCE_LIMIT_S", "Look", "pausing", "watch"]

LOOK_INTERVAL_S = 0.5
"""Seconds between two looks."""

SILENCE_LIMIT_S = 30.0
"""Seconds without an answer after which watching ends."""


pausing: ContextVar[Callable[[float], None]] = ContextVar("pausing", default=time.sleep)
"""What lets time pass between two looks."""


@attrs.frozen
class Look:
    """What one look found: whether it is over, and a sentence for people."""

    done: bool
    said: str


def watch(look: Callable[[], Look], afterwards: str) -> Look:
    """Look until it is over; return the last look. ``afterwards`` is said when the user interrupts.

    Raises UnavailableError after a silence of ``SILENCE_LIMIT_S``, and at once what is the caller's own fault.
    """
    pause = pausing.get()
    told = ""
    silent_s = 0.0
    try:
        while True:
            began_s = time.monotonic()
            try:
                found = look()
                silent_s = 0.0
            except (DynacacheError, OSError) as error:
                if isinstance(error, DynacacheError) and error.fault == "caller":
                    raise
                if silent_s >= SILENCE_LIMIT_S:
                    raise UnavailableError(f"no answer for {SILENCE_LIMIT_S:g} s ({error}); {afterwards}") from error
                silent_s += LOOK_INTERVAL_S + time.monotonic() - began_s
                pause(LOOK_INTERVAL_S)
                continue
            if found.said and found.said != told:
                told = found.said
                print(told, file=sys.stderr, flush=True)
            if found.done:
                return found
            pause(LOOK_INTERVAL_S)
    except KeyboardInterrupt:
        print(afterwards, file=sys.stderr)
        raise
