"""Answers of Redis, parsed byte by byte: the part of RESP2 that SET, GET and WAIT use.

What: a `RespReader` is told which answers to expect, in order, and turns bytes into outcomes: one for each request.

Invariant: a SET that must be confirmed is counted when the WAIT behind it has answered, and as failed when that WAIT
reports no replica or the SET itself was refused. Bytes may be cut anywhere.

Why an own reader: the generator must not depend on a Redis client's library, and it needs four of the protocol's forms.
"""

from collections import deque

import attrs

from dynacache.cli.bench.batch import Batch

__all__ = ["CONFIRMATION", "READ", "UNCONFIRMED", "WRITE", "RespReader"]

READ = "r"
"""The answer to a GET."""
WRITE = "w"
"""The answer to a SET, which ends the request."""
UNCONFIRMED = "u"
"""The answer to a SET that a WAIT will confirm."""
CONFIRMATION = "c"
"""The answer to a WAIT: it ends every unconfirmed SET before it."""


@attrs.define
class RespReader:
    """Parses the answers of one connection."""

    _rest: bytes = b""
    _expected: deque[str] = attrs.field(factory=deque)
    _unconfirmed: list[str] = attrs.field(factory=list)

    def expect(self, batch: Batch) -> None:
        """Announce the answers that come next."""
        self._expected.extend(batch.kinds)

    def feed(self, data: bytes) -> list[tuple[int, str]]:
        """Return (0, outcome) for each request that is answered now; raises ValueError for anything unexpected."""
        data = self._rest + data
        answers: list[tuple[int, str]] = []
        start = 0
        while (end := data.find(b"\r\n", start)) >= 0:
            head, word = data[start : start + 1], data[start + 1 : end]
            end += 2
            if head == b"$" and word != b"-1":
                end += int(word) + 2
                if end > len(data):
                    break
            self._take(head, word, answers)
            start = end
        self._rest = data[start:]
        return answers

    def _take(self, head: bytes, word: bytes, answers: list[tuple[int, str]]) -> None:
        if head not in (b"+", b"-", b":", b"$") or not self._expected:
            raise ValueError(f"unexpected answer {(head + word)[:60]!r}")
        kind = self._expected.popleft()
        outcome = "failed" if head == b"-" else "miss" if head + word == b"$-1" else "ok"
        if kind == UNCONFIRMED:
            self._unconfirmed.append(outcome)
        elif kind == CONFIRMATION:
            confirmed = head == b":" and word != b"0"
            answers.extend((0, each if confirmed else "failed") for each in self._unconfirmed)
            self._unconfirmed.clear()
        else:
            answers.append((0, outcome))
