"""The open loop: requests leave on schedule, whether or not earlier ones have been answered.

What: request i is due at start + i / rate and goes to connection i modulo the connections. Its latency runs from the
instant at which it was due, not from when it was sent, to its answer.

Invariant: the schedule never waits. What the generator itself sends late is part of the latency and is also told apart
(`late_ms`); what has no answer at the end is counted as unanswered, not left out.

Why: a closed loop stops asking while the server stalls, and so hardly notices the stall ("coordinated omission", a name
Gil Tene gave it). On schedule, everybody who would have waited is counted.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence

import attrs

from dynacache.cli.bench.batch import Batch
from dynacache.cli.bench.connect import Connection
from dynacache.cli.bench.dialects import DEPTH_LIMIT, Dialect, Reader
from dynacache.cli.bench.job import Job, Outcome
from dynacache.cli.bench.polling import Poller
from dynacache.cli.bench.stream import Request
from dynacache.cli.bench.window import Window

__all__ = ["run_open"]

_RECEIVE_BYTES = 131_072
_REQUEST_ID_AT = 7
"""Where a frame of one small-headed message carries its request id: after length, two array headers and the kind."""


@attrs.define(eq=False)
class _Lane:
    """One connection: what is on its way, by request id or in order, and what waits for a free request id."""

    descriptor: int
    receive: Callable[[int], bytes]
    send: Callable[[bytes], int]
    reader: Reader
    due: dict[int, tuple[float, bool]] = attrs.field(factory=dict)
    in_order: deque[tuple[float, bool]] = attrs.field(factory=deque)
    free: list[int] = attrs.field(factory=lambda: list(range(1, DEPTH_LIMIT + 1)))
    waiting: deque[tuple[float, Request, Batch]] = attrs.field(factory=deque)
    unsent: bytes = b""


def run_open(job: Job, connections: Sequence[Connection], dialect: Dialect, streams: list[list[Request]]) -> Outcome:
    """Run the job to its end; raises TimeoutError when all servers fall silent, ConnectionError when one hangs up."""
    lanes = [_Lane(each.socket.fileno(), each.socket.recv, each.socket.send, dialect.reader()) for each in connections]
    encoded: dict[int, list[tuple[Request, Batch]]] = {}
    for stream in streams:
        if id(stream) not in encoded:
            encoded[id(stream)] = [(request, dialect.batch([request])) for request in stream]
    feeds = [encoded[id(streams[each.target])] for each in connections]
    poller = Poller()
    try:
        for lane in lanes:
            poller.register(lane.descriptor)
        return _Schedule(job, lanes, feeds, poller).run()
    finally:
        poller.close()


@attrs.define(eq=False)
class _Schedule:
    """One run: sends what is due, then waits for answers until the next is due."""

    job: Job
    lanes: list[_Lane]
    feeds: list[list[tuple[Request, Batch]]]
    poller: Poller
    window: Window = attrs.field(init=False)
    by_descriptor: dict[int, _Lane] = attrs.field(init=False)
    numbered: bool = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.by_descriptor = {lane.descriptor: lane for lane in self.lanes}
        self.numbered = self.job.dialect == "dynacache"

    def run(self) -> Outcome:
        self.window = Window(self.job)
        clock = time.perf_counter
        interval = 1 / self.job.rate
        start = clock()
        position = 0
        heard_at = start
        while self.window.turn(now := clock()):
            due = start + position * interval
            while due <= now:
                self._send_request(position, due, now)
                position += 1
                due = start + position * interval
            if self._answers(max(0.0, due - clock())):
                heard_at = clock()
            elif clock() - heard_at > self.job.timeout_s:
                raise TimeoutError(f"no answer for {self.job.timeout_s:g} s")
        return self.window.outcome(self._drain())

    def _drain(self) -> int:
        """Wait for what is on its way; return how many requests were never answered."""
        until = time.perf_counter() + self.job.timeout_s
        while (left := sum(self._on_the_way(lane) for lane in self.lanes)) and time.perf_counter() < until:
            self._answers(0.1)
        return left

    def _on_the_way(self, lane: _Lane) -> int:
        return len(lane.due) + len(lane.in_order) + len(lane.waiting)

    def _send_request(self, position: int, due: float, now: float) -> None:
        lane_at = position % len(self.lanes)
        feed = self.feeds[lane_at]
        request, batch = feed[position % len(feed)]
        self.window.lateness.append(now - due)
        self._submit(self.lanes[lane_at], due, request, batch)

    def _submit(self, lane: _Lane, due: float, request: Request, batch: Batch) -> None:
        if self.numbered:
            if not lane.free:
                lane.waiting.append((due, request, batch))
                return
            rid = lane.free.pop()
            lane.due[rid] = (due, request.is_read)
            data = b"".join((batch.data[:_REQUEST_ID_AT], bytes((rid,)), batch.data[_REQUEST_ID_AT + 1 :]))
        else:
            lane.in_order.append((due, request.is_read))
            lane.reader.expect(batch)
            data = batch.data
        if lane.unsent:
            lane.unsent += data
            return
        try:
            sent = lane.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            lane.unsent = data[sent:]
            self.poller.want_writable(lane.descriptor, True)

    def _answers(self, timeout_s: float) -> bool:
        ready = self.poller.poll_precisely(timeout_s)
        for descriptor, _ in ready:
            lane = self.by_descriptor[descriptor]
            if lane.unsent:
                self._send_rest(lane)
            try:
                data = lane.receive(_RECEIVE_BYTES)
            except BlockingIOError:
                continue
            if not data:
                raise ConnectionError("a server closed a connection while it was loaded")
            now = time.perf_counter()
            for rid, outcome in lane.reader.feed(data):
                self._count(lane, rid, outcome, now)
        return bool(ready)

    def _count(self, lane: _Lane, rid: int, outcome: str, now: float) -> None:
        due, is_read = lane.due.pop(rid) if self.numbered else lane.in_order.popleft()
        if self.numbered:
            lane.free.append(rid)
            if lane.waiting:
                self._submit(lane, *lane.waiting.popleft())
        window = self.window
        if due < window.began_at or not window.began_at:
            return
        window.requests += 1
        window.failures += outcome == "failed"
        window.misses += outcome == "miss"
        window.latencies.append(now - due)
        (window.read_latencies if is_read else window.write_latencies).append(now - due)

    def _send_rest(self, lane: _Lane) -> None:
        try:
            sent = lane.send(lane.unsent)
        except BlockingIOError:
            return
        lane.unsent = lane.unsent[sent:]
        if not lane.unsent:
            self.poller.want_writable(lane.descriptor, False)
