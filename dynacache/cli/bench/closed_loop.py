"""The closed loop: each connection sends a batch, waits for all of its answers, and sends the next.

What: `run_closed` drives every connection from one poll loop for as long as the window lasts.

Invariant: a connection has at most one batch on its way; nothing is counted before its last answer is here.

Why so bare: on two cores the generator competes with the servers it measures. A batch costs one poll share, one recv,
one comparison of lengths, one clock reading and one send; answers of the expected length are not parsed (see
`dialects`), everything else is.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence

import attrs

from dynacache.cli.bench.batch import Batch
from dynacache.cli.bench.connect import Connection
from dynacache.cli.bench.dialects import Dialect, Reader
from dynacache.cli.bench.job import Job, Outcome
from dynacache.cli.bench.polling import Poller
from dynacache.cli.bench.stream import Request
from dynacache.cli.bench.window import Window

__all__ = ["run_closed"]

_RECEIVE_BYTES = 131_072
_IDLE = Batch(b"", 0, -1, "")


@attrs.define(eq=False)
class _Lane:
    """One connection at work."""

    descriptor: int
    receive: Callable[[int], bytes]
    send: Callable[[bytes], int]
    batches: Iterator[Batch]
    reader: Reader
    batch: Batch = _IDLE
    unanswered: int = 0
    sent_at: float = 0.0
    examined: bool = False
    """Whether answers to this batch have gone through the reader."""
    unsent: bytes = b""


def run_closed(job: Job, connections: Sequence[Connection], dialect: Dialect, streams: list[list[Request]]) -> Outcome:
    """Run the job to its end; raises TimeoutError when all servers fall silent, ConnectionError when one hangs up."""
    feeds = _feeds(job, dialect, streams)
    poller = Poller()
    try:
        lanes = {}
        for connection in connections:
            opened, feed = connection.socket, feeds[connection.target]
            lanes[opened.fileno()] = _Lane(opened.fileno(), opened.recv, opened.send, feed, dialect.reader())
            poller.register(opened.fileno())
        return _loop(job, lanes, poller, dialect)
    finally:
        poller.close()


def _feeds(job: Job, dialect: Dialect, streams: list[list[Request]]) -> list[Iterator[Batch]]:
    """What each target's connections send next: in order once, or round and round from places far apart."""
    distinct = {id(stream): stream for stream in streams}
    if job.sequence:
        # Not measured, and perhaps larger than memory: encoded as it is sent.
        once = {key: _encoded(job, dialect, stream) for key, stream in distinct.items()}
        return [once[id(stream)] for stream in streams]
    encoded = {key: list(_encoded(job, dialect, stream)) for key, stream in distinct.items()}
    feeds: list[Iterator[Batch]] = []
    for position, stream in enumerate(streams):
        batches = encoded[id(stream)]
        start = position * len(batches) // len(streams)
        feeds.append(itertools.cycle(batches[start:] + batches[:start]))
    return feeds


def _encoded(job: Job, dialect: Dialect, stream: list[Request]) -> Iterator[Batch]:
    for start in range(0, len(stream), job.depth):
        yield dialect.batch(stream[start : start + job.depth])


def _loop(job: Job, lanes: dict[int, _Lane], poller: Poller, dialect: Dialect) -> Outcome:
    clock = time.perf_counter
    window = Window(job)
    latencies = window.latencies
    odd = dialect.odd
    active = sum(_send_next(lane, poller, clock()) for lane in lanes.values())
    silent_since = clock()
    while active and window.turn(clock()):
        ready = poller.poll(0.5)
        if not ready:
            if clock() - silent_since > job.timeout_s:
                raise TimeoutError(f"no answer for {job.timeout_s:g} s")
            continue
        for descriptor, _ in ready:
            lane = lanes[descriptor]
            if lane.unsent:
                _send_rest(lane, poller)
            try:
                data = lane.receive(_RECEIVE_BYTES)
            except BlockingIOError:
                continue
            batch = lane.batch
            if len(data) == batch.reply_bytes and not lane.examined and not odd(data):
                window.requests += batch.count
            elif not _examine(lane, data, window):
                continue
            silent_since = clock()
            latencies.append(silent_since - lane.sent_at)
            if not _send_next(lane, poller, silent_since):
                active -= 1
    return window.outcome()


def _send_next(lane: _Lane, poller: Poller, now: float) -> bool:
    batch = next(lane.batches, None)
    if batch is None:
        lane.batch = _IDLE
        return False
    lane.batch = batch
    lane.unanswered = batch.count
    lane.examined = False
    lane.sent_at = now
    sent = lane.send(batch.data)
    if sent < len(batch.data):
        lane.unsent = batch.data[sent:]
        poller.want_writable(lane.descriptor, True)
    return True


def _send_rest(lane: _Lane, poller: Poller) -> None:
    try:
        sent = lane.send(lane.unsent)
    except BlockingIOError:
        return
    lane.unsent = lane.unsent[sent:]
    if not lane.unsent:
        poller.want_writable(lane.descriptor, False)


def _examine(lane: _Lane, data: bytes, window: Window) -> bool:
    """Parse what came; return whether the batch is complete."""
    if not data:
        raise ConnectionError("a server closed a connection while it was loaded")
    if not lane.examined:
        lane.examined = True
        lane.reader.expect(lane.batch)
    for _, outcome in lane.reader.feed(data):
        lane.unanswered -= 1
        window.requests += 1
        window.failures += outcome == "failed"
        window.misses += outcome == "miss"
    return lane.unanswered == 0 and lane.batch.count > 0
