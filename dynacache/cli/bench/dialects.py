"""Two protocols seen through one keyhole: encode a batch of requests, tell when it is answered.

What: a `Dialect` turns requests into a `Batch` (the bytes to send, how many answers must come, how long they are when
all goes well) and makes the `Reader` that examines answers.

Invariant: an answer is counted once and as what it is: served, a miss, or a failure. The generator takes a short cut
when exactly the expected number of bytes has come and nothing in them looks `odd`; whatever else comes goes through the
reader, which parses every byte.

Why: the generator shares two cores with the servers under test, so what it spends on an answer is what they do not
have. Comparing a length costs a tenth of decoding, and costs the same for both protocols.

The equal of a write at W=2 in Redis is SET followed by WAIT 1: the master's own copy and one replica's.
"""

from collections.abc import Sequence
from typing import Protocol

import attrs

from dynacache.cli.bench.batch import Batch
from dynacache.cli.bench.job import Job
from dynacache.cli.bench.resp import CONFIRMATION, READ, UNCONFIRMED, WRITE, RespReader
from dynacache.cli.bench.stream import Request, payload_of
from dynacache.wire.codec import LENGTH_BYTES, frame_of_messages, pack_message
from dynacache.wire.framing import FrameReader
from dynacache.wire.messages import DONE, ERROR, GET, MISS, PAYLOAD_RAW, REPORTED, SET, TOPOLOGY, VALUE

__all__ = ["DEPTH_LIMIT", "Dialect", "DynacacheDialect", "FramesReader", "Reader", "RedisDialect", "dialect_of"]

DEPTH_LIMIT = 127
"""Requests on their way on one connection: request ids stay below 128, where msgpack spends one byte on them."""
_SHORT_VALUE_BYTES = 300
_ERROR_BYTE = bytes((ERROR,))
_MISS_BYTE = bytes((MISS,))
_FALSE_BYTE = b"\xc2"


class Reader(Protocol):
    """Parses the answers of one connection; keeps what is incomplete."""

    def expect(self, batch: Batch) -> None:
        """Announce the batch whose answers come next."""

    def feed(self, data: bytes) -> list[tuple[int, str]]:
        """Return (request id or 0, ``ok``, ``miss`` or ``failed``) for each request that is answered now."""


class Dialect(Protocol):
    """How one system is spoken to."""

    def batch(self, requests: Sequence[Request]) -> Batch:
        """Encode requests to be sent together, with request ids 1, 2, ..."""

    def odd(self, data: bytes) -> bool:
        """Whether answers of exactly the expected length need a closer look all the same."""

    def reader(self) -> Reader:
        """A reader for one connection."""


@attrs.define
class FramesReader:
    """Answers of a node."""

    _frames: FrameReader = attrs.field(factory=FrameReader)

    def expect(self, batch: Batch) -> None:
        """Nothing: answers name their requests."""

    def feed(self, data: bytes) -> list[tuple[int, str]]:
        """See `Reader`."""
        answers = []
        for message in self._frames.feed(data):
            kind = message[0]
            if VALUE <= kind <= REPORTED:
                answers.append((message[1], _outcome(message)))
            elif kind != TOPOLOGY:
                raise ValueError(f"a message of kind {kind} among the answers")
        return answers


def _outcome(message: Sequence[object]) -> str:
    if message[0] == VALUE or (message[0] == DONE and message[2]):
        return "ok"
    return "miss" if message[0] == MISS else "failed"


class DynacacheDialect:
    """Frames of messages; levels travel with each request."""

    def __init__(self, job: Job) -> None:
        """Encode what every request of the job has in common."""
        self._payload = payload_of(job)
        self._read_level = job.read_level
        self._write_level = job.write_level
        self._done_bytes = len(pack_message([DONE, 1, True]))
        self._value_bytes = len(pack_message([VALUE, 1, PAYLOAD_RAW, self._payload]))
        self._short = job.value_bytes < _SHORT_VALUE_BYTES

    def batch(self, requests: Sequence[Request]) -> Batch:
        """See `Dialect`."""
        data = frame_of_messages([self._message(rid, request) for rid, request in enumerate(requests, 1)])
        reads = sum(request.is_read for request in requests)
        body = reads * self._value_bytes + (len(requests) - reads) * self._done_bytes
        header = 1 if len(requests) < 16 else 3
        return Batch(data, len(requests), LENGTH_BYTES + header + body, "")

    def _message(self, rid: int, request: Request) -> list[object]:
        if request.is_read:
            return [GET, rid, request.key, self._read_level]
        return [SET, rid, request.key, PAYLOAD_RAW, self._payload, self._write_level]

    def odd(self, data: bytes) -> bool:
        """An error, a miss or a refusal that happens to be as long as the answers expected.

        Values are lower-case letters, so a byte that is the kind ERROR or MISS or the boolean false gives it away. It
        may as well be part of a length or a request id; then the closer look finds nothing.
        """
        return _ERROR_BYTE in data or _FALSE_BYTE in data or (self._short and _MISS_BYTE in data)

    def reader(self) -> Reader:
        """See `Dialect`."""
        return FramesReader()


class RedisDialect:
    """RESP; a write waits for one replica, as the job says."""

    def __init__(self, job: Job) -> None:
        """Encode what every request of the job has in common."""
        self._payload = payload_of(job)
        self._wait = job.wait
        self._value_bytes = len(f"${job.value_bytes}\r\n") + job.value_bytes + 2

    def batch(self, requests: Sequence[Request]) -> Batch:
        """See `Dialect`."""
        parts, kinds, reply_bytes = [], [], 0
        for position, request in enumerate(requests, 1):
            if request.is_read:
                parts.append(_command(b"GET", request.key))
                kinds.append(READ)
                reply_bytes += self._value_bytes
            else:
                parts.append(_command(b"SET", request.key, self._payload))
                kinds.append(WRITE if self._wait == "none" else UNCONFIRMED)
                reply_bytes += len(b"+OK\r\n")
            if UNCONFIRMED in kinds and ((self._wait == "each" and not request.is_read) or position == len(requests)):
                parts.append(_command(b"WAIT", b"1", b"0"))
                kinds.append(CONFIRMATION)
                reply_bytes += len(b":1\r\n")
        return Batch(b"".join(parts), len(requests), reply_bytes, "".join(kinds))

    def odd(self, data: bytes) -> bool:
        """An error starts with a minus, a write that no replica confirmed ends in `:0`; values have neither."""
        return b"-" in data or b":0" in data

    def reader(self) -> Reader:
        """See `Dialect`."""
        return RespReader()


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def dialect_of(job: Job) -> Dialect:
    """The dialect that a job names; raises ValueError for an unknown one."""
    dialects: dict[str, type[DynacacheDialect] | type[RedisDialect]] = {
        "dynacache": DynacacheDialect,
        "redis": RedisDialect,
    }
    if job.dialect not in dialects:
        raise ValueError(f"dialect: got {job.dialect!r}, expected one of {', '.join(sorted(dialects))}")
    return dialects[job.dialect](job)
