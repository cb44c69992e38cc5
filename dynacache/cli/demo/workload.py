"""The workload: threads that use the cluster through the public client, and a journal of what they wrote.

What: each `Worker` draws keys (Zipf's law, or its share of a trace), reads or writes them, and counts. With a trace it
reads through: a miss is written, as an application that fills its cache would. `Workload` starts and stops them and
adds their counts up.

Invariant: every request ends in exactly one count: served, failed (an error within the client's deadline, after its
retries) or, for a write, unknown (it may have been applied). A value that does not belong to its key is counted too.

Why threads: the synchronous client is one that people use, and a thread for each pretended user needs no scheduler. The
pace is bounded, so that on a small machine the requests are served by the cluster instead of queueing for a processor.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import attrs

from dynacache.cli.demo.journal import Journal, read_stamp, stamp
from dynacache.cli.histogram import Histogram
from dynacache.cli.session import CacheClient
from dynacache.cli.zipf import KeySampler
from dynacache.errors import DynacacheError

__all__ = ["Counts", "Shape", "Worker", "Workload"]

_DRAWS = 512


@attrs.frozen
class Shape:
    """What is asked of the cluster."""

    keys: tuple[bytes, ...]
    trace: tuple[int, ...] = ()
    """Positions in `keys`, in recorded order; empty draws them by Zipf's law."""
    zipf_exponent: float = 0.99
    read_share: float = 0.8
    value_bytes: int = 1024
    rate: float = 0.0
    """Requests a second of all workers together; 0 for as many as they can."""
    workers: int = 8
    seed: int = 1


@attrs.define
class Counts:
    """What became of the requests."""

    requests: int = 0
    reads: int = 0
    hits: int = 0
    failed: int = 0
    unknown: int = 0
    wrong_values: int = 0
    errors: Counter[str] = attrs.field(factory=Counter)
    latencies: Histogram = attrs.field(factory=Histogram)

    def plus(self, other: "Counts") -> "Counts":
        """Both together."""
        return Counts(
            self.requests + other.requests,
            self.reads + other.reads,
            self.hits + other.hits,
            self.failed + other.failed,
            self.unknown + other.unknown,
            self.wrong_values + other.wrong_values,
            self.errors + other.errors,
            self.latencies.plus(other.latencies),
        )

    @property
    def hit_ratio(self) -> float:
        """Share of the reads that found a value."""
        return self.hits / self.reads if self.reads else 0.0

    @property
    def availability(self) -> float:
        """Share of the requests that were served."""
        return 1 - (self.failed + self.unknown) / self.requests if self.requests else 1.0


@attrs.define(eq=False)
class Worker:
    """One pretended user."""

    number: int
    shape: Shape
    client: CacheClient
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], object] = time.sleep
    counts: Counts = attrs.field(factory=Counts)
    journal: Journal = attrs.field(init=False)
    crash: str = ""
    """What ended this worker early: an error that is no answer of the cluster, a defect of ours."""

    def __attrs_post_init__(self) -> None:
        """Take the worker's own number for its writes."""
        self.journal = Journal(self.number)

    def run(self, stopped: Callable[[], bool]) -> None:
        """Send requests at the worker's share of the rate until told to stop."""
        try:
            self._run(stopped)
        except Exception as error:
            self.crash = f"{type(error).__name__}: {error}"
            raise

    def _run(self, stopped: Callable[[], bool]) -> None:
        shape = self.shape
        source = random.Random(f"{shape.seed}/{self.number}")
        sampler = None if shape.trace else KeySampler(len(shape.keys), shape.zipf_exponent)
        interval = shape.workers / shape.rate if shape.rate else 0.0
        due = self.clock() + source.random() * interval
        cursor = self.number
        while not stopped():
            if sampler is not None:
                positions = sampler.draw(source, _DRAWS)
            else:
                positions = [shape.trace[(cursor + step * shape.workers) % len(shape.trace)] for step in range(_DRAWS)]
                cursor += _DRAWS * shape.workers
            for position in positions:
                if stopped():
                    return
                if interval:
                    early = due - self.clock()
                    if early > 0:
                        self.pause(early)
                    due = max(due + interval, self.clock() - 1)
                self._one(position, sampler is None or source.random() < shape.read_share)

    def _one(self, position: int, is_read: bool) -> None:
        if not is_read or (not self._read(position) and self.shape.trace):
            self._write(position)

    def _read(self, position: int) -> bool:
        """Read a key; return whether there is no need to fill it."""
        key = self.shape.keys[position]
        counts = self.counts
        began = self.clock()
        try:
            value = self.client.get(key)
        except DynacacheError as error:
            self._count_error(error, "failed")
            return True
        finally:
            counts.requests += 1
            counts.reads += 1
            counts.latencies.record(self.clock() - began)
        if value is None:
            return False
        counts.hits += 1
        found = read_stamp(value)
        if found is None or found.key != key:
            counts.wrong_values += 1
        return True

    def _write(self, position: int) -> None:
        key = self.shape.keys[position]
        counts = self.counts
        began = self.clock()
        sequence = self.journal.begin(position, began)
        try:
            self.client.set(key, stamp(key, self.number, sequence, self.shape.value_bytes))
        except DynacacheError as error:
            if error.definite:
                self.journal.refuse(sequence)
            self._count_error(error, "failed" if error.definite else "unknown")
        else:
            self.journal.acknowledge(sequence, self.clock())
        finally:
            counts.requests += 1
            counts.latencies.record(self.clock() - began)

    def _count_error(self, error: DynacacheError, outcome: str) -> None:
        if outcome == "failed":
            self.counts.failed += 1
        else:
            self.counts.unknown += 1
        self.counts.errors[f"{type(error).__name__}: {error}"[:200]] += 1


class Workload:
    """All workers together."""

    def __init__(self, shape: Shape, client: CacheClient) -> None:
        """Prepare the workers; they share one client, which is safe between threads."""
        self.workers = [Worker(number, shape, client) for number in range(shape.workers)]
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=worker.run, args=(self._stop.is_set,), name=f"worker {worker.number}", daemon=True)
            for worker in self.workers
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 30.0) -> bool:
        """End the threads after the request each is in; return whether all have ended in time."""
        self._stop.set()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def counts(self) -> Counts:
        """The sum so far."""
        total = Counts()
        for worker in self.workers:
            total = total.plus(worker.counts)
        return total

    @property
    def journals(self) -> Sequence[Journal]:
        """What each worker has written, by its number."""
        return [worker.journal for worker in self.workers]
