"""The measured window of a run: when it begins and ends, and what is counted within it.

What: a `Window` is told the time once a turn. When the warm-up is over it forgets everything counted so far and reads
the processor clocks; when the seconds (or the requests) are up it reads them again and says so.

Invariant: requests, latencies and processor time cover the same interval.

Why: the first batches fill connections, caches and dicts; a share of the processor is only a share of something if
both were measured between the same two instants.
"""

import time
from collections.abc import Callable

import attrs

from dynacache.cli.bench.cpu import cpu_seconds
from dynacache.cli.bench.job import Job, Latencies, Outcome

__all__ = ["Window"]


@attrs.define
class Window:
    """Counts of one run. The loops add to the public fields directly."""

    job: Job
    clock: Callable[[], float] = time.perf_counter
    requests: int = 0
    failures: int = 0
    misses: int = 0
    latencies: list[float] = attrs.field(factory=list)
    read_latencies: list[float] = attrs.field(factory=list)
    write_latencies: list[float] = attrs.field(factory=list)
    lateness: list[float] = attrs.field(factory=list)
    begins_at: float = attrs.field(init=False)
    began_at: float = attrs.field(default=0.0, init=False)
    _servers: list[float | None] = attrs.field(factory=list, init=False)
    _own: float = attrs.field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        """Set the instant at which the warm-up ends."""
        self.begins_at = self.clock() + self.job.warmup_s

    def turn(self, now: float) -> bool:
        """Take notice of the time; return whether the run goes on."""
        if not self.began_at:
            if now >= self.begins_at:
                self._begin(now)
            return True
        if self.job.requests:
            return self.requests < self.job.requests
        return self.job.sequence or now - self.began_at < self.job.seconds

    def _begin(self, now: float) -> None:
        self.began_at = now
        self.requests = self.failures = self.misses = 0
        for counted in (self.latencies, self.read_latencies, self.write_latencies, self.lateness):
            counted.clear()
        self._servers = self._server_clocks()
        self._own = time.process_time()

    def _server_clocks(self) -> list[float | None]:
        return [cpu_seconds(pid) for pid in self.job.watch]

    def outcome(self, unanswered: int = 0) -> Outcome:
        """Close the window now and summarise it."""
        own = time.process_time() - self._own
        seconds = self.clock() - self.began_at if self.began_at else 0.0
        used = [
            after - before
            for before, after in zip(self._servers, self._server_clocks(), strict=False)
            if before is not None and after is not None
        ]
        self.lateness.sort()
        late_s = self.lateness[int(0.99 * (len(self.lateness) - 1))] if self.lateness else 0.0
        return Outcome(
            requests=self.requests,
            failures=self.failures,
            misses=self.misses,
            seconds=seconds,
            latencies=Latencies.of(self.latencies),
            read_latencies=Latencies.of(self.read_latencies),
            write_latencies=Latencies.of(self.write_latencies),
            server_cpu_s=tuple(used) if len(used) == len(self.job.watch) else (),
            generator_cpu_s=own,
            late_ms=late_s * 1000,
            unanswered=unanswered,
        )
