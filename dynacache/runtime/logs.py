"""Logs as JSON lines, written by a thread of their own.

What: a `Note` of any core becomes one line: time, level, event, fields. `LogWriter.write` only puts the note into a
bounded queue; one daemon thread renders and writes.

Invariant: the loop never waits for a log. A standard error that nobody reads was measured to stop a Trio loop for as
long as the pipe was full; here the queue fills instead, further notes are dropped, and the next line that gets through
says how many. Keys of the cache are never written, as they may be secrets: a field named like a key leaves as a short
hash, which is enough to recognise the same one again.
"""

import hashlib
import queue
import sys
import threading
from typing import Any, Final, TextIO

import attrs
import structlog

from dynacache.events import Note
from dynacache.runtime.entropy import instant_now

__all__ = ["CLOSE_TIMEOUT_S", "LEVELS", "QUEUE_LIMIT", "LogWriter"]

QUEUE_LIMIT: Final = 10_000
"""Notes that wait to be written; one more is dropped and counted."""
CLOSE_TIMEOUT_S: Final = 1.0
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_KEY_FIELDS: Final = frozenset({"key", "keys"})

_Item = tuple[int, Note]


@attrs.define(eq=False)
class LogWriter:
    """A place to write notes to that never blocks. ``level`` is the lowest that is written."""

    stream: TextIO = attrs.field(factory=lambda: sys.stderr)
    level: str = "info"
    limit_count: int = QUEUE_LIMIT
    context: dict[str, Any] = attrs.field(factory=dict)
    """Fields that every line carries, such as the node's name."""
    dropped: int = attrs.field(default=0, init=False)
    _queue: "queue.SimpleQueue[_Item | None]" = attrs.field(factory=queue.SimpleQueue, init=False)
    _thread: threading.Thread = attrs.field(init=False)
    _threshold: int = attrs.field(init=False)
    _dropped_told: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        """Start the thread."""
        self._threshold = LEVELS[self.level]
        self._thread = threading.Thread(target=self._work, name="dynacache-log", daemon=True)
        self._thread.start()

    def write(self, note: Note) -> None:
        """Queue one note, or drop it where the queue is full."""
        if LEVELS.get(note.level, 20) < self._threshold:
            return
        if self._queue.qsize() >= self.limit_count:
            self.dropped += 1
            return
        self._queue.put((instant_now().wall_ms, note))

    def close(self) -> None:
        """Write what is queued, as far as that goes within a second."""
        self._queue.put(None)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _work(self) -> None:
        logger = structlog.wrap_logger(
            structlog.WriteLogger(self.stream),
            processors=[_without_keys, structlog.processors.JSONRenderer(default=str)],
            wrapper_class=structlog.BoundLogger,
        )
        while (item := self._queue.get()) is not None:
            wall_ms, note = item
            try:
                self._tell_dropped(logger, wall_ms)
                _log(logger, wall_ms, note, self.context)
            except (OSError, ValueError):
                # The reader of the stream is gone; there is nowhere left to say so.
                self.dropped += 1

    def _tell_dropped(self, logger: Any, wall_ms: int) -> None:
        dropped = self.dropped
        if dropped > self._dropped_told:
            lost = dropped - self._dropped_told
            _log(logger, wall_ms, Note("log.dropped", {"count": lost}, "warning"), self.context)
            self._dropped_told = dropped


def _log(logger: Any, wall_ms: int, note: Note, context: dict[str, Any]) -> None:
    name = note.level if note.level in LEVELS else "info"
    fields = {"time_ms": wall_ms, "level": name} | context | {key: note.fields[key] for key in sorted(note.fields)}
    fields.pop("event", None)
    getattr(logger, name)(note.event, **fields)


def _without_keys(_: Any, __: str, fields: Any) -> Any:
    for name in _KEY_FIELDS & fields.keys():
        digest = hashlib.blake2b(repr(fields[name]).encode(), digest_size=8).hexdigest()
        fields[name] = f"hash:{digest}"
    return fields
