"""Many seeds over all cores, with a bar that says how fast it goes, and one line at the end.

What: ``run_many`` hands seeds to worker processes and collects summaries; ``Tally`` adds them up.

Invariant: a seed's summary does not depend on which process ran it, or when. An interrupt ends the work and keeps what
was done.

Why processes: a run is one long computation. This module and the command line are the only ones of the simulator that
know real time.
"""

import gc
import multiprocessing
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from .run import Result, run

__all__ = ["Summary", "Tally", "run_many"]


@attrs.frozen
class Summary:
    """One seed's run, small enough to travel between processes."""

    seed: int
    verdict: str
    trace_hash: str
    virtual_s: float
    real_s: float
    operations: int
    coverage: dict[str, int]
    violations: tuple[tuple[str, str], ...]
    """(invariant, text)."""
    reason: str = ""

    @classmethod
    def of(cls, result: Result, real_s: float) -> "Summary":
        """Leave out what is large."""
        violations = tuple((each.invariant, each.text) for each in result.violations)
        return cls(
            result.seed,
            result.verdict,
            result.trace_hash,
            result.virtual_s,
            real_s,
            result.operations,
            result.coverage,
            violations,
            result.reason,
        )


@attrs.define
class Tally:
    """Sums over seeds."""

    verdicts: Counter[str] = attrs.field(factory=Counter)
    virtual_s: float = 0.0
    operations: int = 0
    coverage: Counter[str] = attrs.field(factory=Counter)
    failures: list[Summary] = attrs.field(factory=list)
    """Seeds that did not hold, in the order in which they ended."""
    began_s: float = attrs.field(factory=time.monotonic)

    @property
    def seeds(self) -> int:
        """Seeds done."""
        return self.verdicts.total()

    @property
    def real_s(self) -> float:
        """Real seconds since the begin."""
        return max(1e-9, time.monotonic() - self.began_s)

    def add(self, summary: Summary) -> None:
        """Count one seed."""
        self.verdicts[summary.verdict] += 1
        self.virtual_s += summary.virtual_s
        self.operations += summary.operations
        self.coverage.update(summary.coverage)
        if summary.verdict != "held":
            self.failures.append(summary)

    @property
    def line(self) -> str:
        """One line that says it all."""
        held, violated, unknown = (self.verdicts[name] for name in ("held", "violated", "unknown"))
        return (
            f"{self.seeds} seeds: {held} held, {violated} violated, {unknown} unknown; {self.operations} operations,"
            f" {self.virtual_s:.0f} virtual s in {self.real_s:.1f} s"
            f" ({self.seeds / self.real_s:.1f} seeds/s, {self.virtual_s / self.real_s:.0f} virtual s/s)"
        )


def run_many(
    first: int, count: int, jobs: int, fixed: dict[str, Any], progress: Callable[[Tally, Summary], None]
) -> Tally:
    """Run seeds from ``first`` on; ``progress`` is called after each. An interrupt returns what was done."""
    tally = Tally()
    try:
        for summary in _summaries(range(first, first + count), jobs, fixed):
            tally.add(summary)
            progress(tally, summary)
    except KeyboardInterrupt:
        pass
    tally.failures.sort(key=lambda summary: summary.seed)
    return tally


def _summaries(seeds: range, jobs: int, fixed: dict[str, Any]) -> Iterator[Summary]:
    work = [(seed, fixed) for seed in seeds]
    if jobs <= 1:
        yield from map(_run_one, work)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, initializer=_ignore_interrupts) as pool:
        yield from pool.imap_unordered(_run_one, work)


def _run_one(work: tuple[int, dict[str, Any]]) -> Summary:
    seed, fixed = work
    began_s = time.perf_counter()
    gc.disable()  # a run makes few cycles; they are collected between runs
    try:
        result = run(seed, **fixed)
    except Exception:  # a mistake of the simulator itself must not end the other seeds
        reason = traceback.format_exc(limit=-3)
        return Summary(seed, "unknown", "", 0.0, time.perf_counter() - began_s, 0, {}, (), reason)
    finally:
        gc.enable()
        gc.collect()
    return Summary.of(result, time.perf_counter() - began_s)


def _ignore_interrupts() -> None:
    """The parent takes the interrupt; workers are ended with the pool."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
