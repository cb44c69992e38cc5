"""Looks at something again and again in a thread, while the bench does other things.

What: `Repeated` calls its `look` every `interval_s` seconds for as long as its context lasts.

Invariant: the thread has ended when the context is left, so whoever reads what was found afterwards reads it alone. The
first look comes one interval after the beginning; a look that takes long makes the next one late, never two at once.

Why a thread: the bench is synchronous and waits for child processes meanwhile.
"""

import threading
from typing import Self

import attrs

__all__ = ["Repeated"]


@attrs.define(eq=False)
class Repeated:
    """A thread that looks; what a look does is its subclass's."""

    interval_s: float = attrs.field(init=False, default=0.1)
    _stop: threading.Event = attrs.field(init=False, factory=threading.Event)
    _thread: threading.Thread = attrs.field(init=False)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def look(self) -> None:
        """Look once."""
        raise NotImplementedError

    def _run(self) -> None:
        while not self._stop.wait(self.interval_s):
            self.look()
