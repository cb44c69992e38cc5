"""The load of the soak and of the expiry bench: values of mixed sizes, drawn as they are sent, and the node's pauses.

What: ``python -m dynacache.cli.bench.soak_load`` reads a `Phase` on standard input, carries it out on one node and
prints a `Found`. Closed loop (``rate`` 0): each connection sends ``depth`` requests and waits for their answers. Open
loop: one request at a time, on schedule, whatever has been answered.

Invariant: a pause is told twice, as wall time and as processor time of the node within it, read from its own CPU clock
at both ends; only the second is the node's doing on a machine that others use as well. In a closed loop it is the time
between two answers to whomever, while requests are under way; in an open loop from the instant at which a request was
due to its answer.

Why not the generator of the other benches: that one sends one size, encoded before the clock runs, round and round;
here ten gigabytes of different sizes are sent once.
"""

import contextlib
import gc
import json
import random
import selectors
import socket
import sys
import time
from collections import deque
from typing import Any

import attrs

from dynacache.cli.bench.connect import greeted
from dynacache.cli.bench.cpu import cpu_seconds
from dynacache.cli.bench.job import percentile
from dynacache.errors import DynacacheError
from dynacache.wire.codec import frame_of_packed, pack_message
from dynacache.wire.framing import FrameReader
from dynacache.wire.messages import DELETE, DONE, ERROR, GET, MISS, PAYLOAD_RAW, SET, VALUE

__all__ = ["PAUSE_S", "SIZES", "Found", "Load", "Phase", "draw_size", "main"]

PAUSE_S = 0.01
"""Pauses longer than this are counted."""

SIZES = ((0.70, 20, 400), (0.25, 500, 4_000), (0.05, 5_000, 66_000))
"""Shares of values, and their least and largest size in bytes; 2,600 bytes in the mean."""

_TIMEOUT_S = 10.0
_RECEIVE_BYTES = 262_144
_REPLIES = frozenset({VALUE, MISS, DONE, ERROR})
_READ_REPLIES = frozenset({VALUE, MISS})
_LEVEL_ONE = 1


@attrs.frozen
class Phase:
    """What is asked of one node for a while."""

    host: str
    port: int
    pid: int
    """The node's process, whose CPU clock is read."""
    first_key: int = 0
    key_count: int = 1_000
    fill: bool = False
    """Write every key once, in order, and stop; else draw keys evenly until the time is over."""
    seconds: float = 10.0
    set_share: float = 0.8
    delete_share: float = 0.1
    """The rest are reads."""
    value_bytes: int = 0
    """Size of all values; 0 for the mixture."""
    ends_at: float = 0.0
    """Wall-clock second at which the first written value expires; 0 for values that stay."""
    ends_within_s: float = 0.0
    """The values written expire evenly over so many seconds from ``ends_at`` on."""
    connections: int = 4
    depth: int = 8
    rate: float = 0.0
    seed: int = 1


@attrs.frozen
class Found:
    """What a phase found: counts, seconds, milliseconds."""

    requests: int
    failures: int
    misses: int
    sent_bytes: int
    seconds: float
    p50_ms: float
    p99_ms: float
    longest_ms: float
    longest_cpu_ms: float
    """Processor time of the node in the pause that had most of it."""
    pauses: int
    """Pauses above `PAUSE_S` by the node's own clock."""
    cpu_s: float
    """Processor time that the node used."""
    reads: int = 0

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def cpu_rate(self) -> float:
        """Requests a second of the node's processor time: what a machine of its own would give, about."""
        return self.requests / self.cpu_s if self.cpu_s else 0.0

    @property
    def missing_share(self) -> float:
        """Part of the keys drawn that were not there, from the reads: so many of the sets inserted."""
        return self.misses / self.reads if self.reads else 0.0


def draw_size(source: random.Random) -> int:
    """Return the size of a value of the mixture."""
    drawn = source.random()
    for share, least, largest in SIZES:
        if drawn < share:
            return source.randrange(least, largest)
        drawn -= share
    return SIZES[0][1]


@attrs.define(eq=False)
class _Lane:
    socket: socket.socket
    reader: FrameReader = attrs.field(factory=FrameReader)
    waiting: deque[tuple[float, float]] = attrs.field(factory=deque)
    """When each request without an answer was due, and the node's processor time then. Answers of one connection to
    one node at level one come in order."""


@attrs.define(eq=False)
class Load:
    """One phase under way."""

    phase: Phase
    lanes: list[_Lane]
    source: random.Random = attrs.field(init=False)
    latencies: list[float] = attrs.field(factory=list, init=False)
    requests: int = attrs.field(default=0, init=False)
    failures: int = attrs.field(default=0, init=False)
    misses: int = attrs.field(default=0, init=False)
    reads: int = attrs.field(default=0, init=False)
    sent_bytes: int = attrs.field(default=0, init=False)
    longest_s: float = attrs.field(default=0.0, init=False)
    longest_cpu_s: float = attrs.field(default=0.0, init=False)
    pauses: int = attrs.field(default=0, init=False)
    _next_key: int = attrs.field(default=0, init=False)
    _payload: bytes = attrs.field(init=False)
    _heard: tuple[float, float] = attrs.field(default=(0.0, 0.0), init=False)

    def __attrs_post_init__(self) -> None:
        self.source = random.Random(self.phase.seed)
        self._payload = self.source.randbytes(SIZES[-1][2] + 1)

    def run(self) -> Found:
        """Carry the phase out; raises TimeoutError, ConnectionError, OSError."""
        phase = self.phase
        with selectors.DefaultSelector() as selector:
            for lane in self.lanes:
                selector.register(lane.socket, selectors.EVENT_READ, lane)
            began_s, began_cpu_s = time.perf_counter(), self._cpu()
            if phase.rate:
                self._run_open(selector, began_s)
            else:
                self._run_closed(selector, began_s)
            seconds, cpu_s = time.perf_counter() - began_s, self._cpu() - began_cpu_s
        self.latencies.sort()
        ordered = self.latencies or [0.0]
        return Found(
            self.requests,
            self.failures,
            self.misses,
            self.sent_bytes,
            seconds,
            percentile(ordered, 0.5) * 1000,
            percentile(ordered, 0.99) * 1000,
            self.longest_s * 1000,
            self.longest_cpu_s * 1000,
            self.pauses,
            cpu_s,
            self.reads,
        )

    def _run_closed(self, selector: selectors.BaseSelector, began_s: float) -> None:
        depth, until_s = self.phase.depth, began_s + self.phase.seconds
        self._heard = began_s, self._cpu()
        active = sum(self._send(lane, depth) for lane in self.lanes)
        while active:
            ready = selector.select(_TIMEOUT_S)
            if not ready:
                raise TimeoutError(f"no answer for {_TIMEOUT_S:g} s")
            for chosen, _ in ready:
                lane: _Lane = chosen.data
                if not self._receive(lane):
                    continue
                now_s, cpu_s = time.perf_counter(), self._cpu()
                self._note_pause(now_s - self._heard[0], cpu_s - self._heard[1])
                self._heard = now_s, cpu_s
                if not lane.waiting and ((now_s >= until_s and not self.phase.fill) or not self._send(lane, depth)):
                    active -= 1

    def _run_open(self, selector: selectors.BaseSelector, began_s: float) -> None:
        interval_s, until_s, position = 1 / self.phase.rate, began_s + self.phase.seconds, 0
        heard_s = began_s
        while (due_s := began_s + position * interval_s) < until_s or any(lane.waiting for lane in self.lanes):
            now_s = time.perf_counter()
            if due_s <= now_s and due_s < until_s:
                self._send(self.lanes[position % len(self.lanes)], 1, due_s)
                position += 1
                continue
            for chosen, _ in selector.select(max(0.0, due_s - now_s) if due_s < until_s else 0.1):
                heard_s = now_s
                self._receive(chosen.data)
            if now_s - heard_s > _TIMEOUT_S:
                raise TimeoutError(f"no answer for {_TIMEOUT_S:g} s")

    def _send(self, lane: _Lane, count: int, due_s: float = 0.0) -> bool:
        """Send so many requests; False when there is nothing more to send."""
        messages = [message for message in (self._draw(rid) for rid in range(1, count + 1)) if message is not None]
        if not messages:
            return False
        stamp = (due_s or time.perf_counter(), self._cpu())
        lane.waiting.extend([stamp] * len(messages))
        frame = frame_of_packed([pack_message(message) for message in messages], len(messages))
        self.sent_bytes += len(frame)
        lane.socket.sendall(frame)
        return True

    def _draw(self, rid: int) -> list[Any] | None:
        phase = self.phase
        if phase.fill:
            number = self._next_key
            self._next_key += 1
            if number >= phase.key_count:
                return None
            return self._set(rid, phase.first_key + number)
        draw = self.source.random
        number = phase.first_key + int(draw() * phase.key_count)
        drawn = draw()
        if drawn < phase.set_share:
            return self._set(rid, number)
        kind = DELETE if drawn < phase.set_share + phase.delete_share else GET
        return [kind, rid, b"soak:%010d" % number, _LEVEL_ONE]

    def _set(self, rid: int, number: int) -> list[Any]:
        phase = self.phase
        size = phase.value_bytes or draw_size(self.source)
        message = [SET, rid, b"soak:%010d" % number, PAYLOAD_RAW, self._payload[:size], _LEVEL_ONE, 0]
        if phase.ends_at:
            share = (number - phase.first_key) / max(1, phase.key_count)
            message.append(int((phase.ends_at + phase.ends_within_s * share - time.time()) * 1000))
        return message

    def _receive(self, lane: _Lane) -> bool:
        """Take answers; False when there was no whole one."""
        data = lane.socket.recv(_RECEIVE_BYTES)
        if not data:
            raise ConnectionError("the node closed a connection while it was loaded")
        answers = [message for message in lane.reader.feed(data) if message[0] in _REPLIES]
        now_s = time.perf_counter()
        for message in answers:
            due_s, cpu_s = lane.waiting.popleft()
            self.latencies.append(now_s - due_s)
            self.requests += 1
            self.misses += message[0] == MISS
            self.reads += message[0] in _READ_REPLIES
            self.failures += message[0] == ERROR
            if self.phase.rate:
                self._note_pause(now_s - due_s, self._cpu() - cpu_s)
        return bool(answers)

    def _note_pause(self, wall_s: float, cpu_s: float) -> None:
        self.longest_s = max(self.longest_s, wall_s)
        self.longest_cpu_s = max(self.longest_cpu_s, cpu_s)
        self.pauses += cpu_s > PAUSE_S

    def _cpu(self) -> float:
        return cpu_seconds(self.phase.pid) or 0.0


def main() -> int:
    """Read the phase, carry it out, print what was found; return the exit code."""
    gc.disable()
    phase = Phase(**json.loads(sys.stdin.read()))
    try:
        with contextlib.ExitStack() as stack:
            sockets = [greeted((phase.host, phase.port), "", _TIMEOUT_S, stack)[0] for _ in range(phase.connections)]
            found = Load(phase, [_Lane(each) for each in sockets]).run()
    except (OSError, ValueError, DynacacheError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(attrs.asdict(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
