"""Rounds: every case on every system in turn, again and again, and what they add up to.

What: a `Case` is one shape of load. `run_rounds` runs all cases for all systems, the systems in alternating order, as
many times as asked; `summarise` takes medians and spreads; `ratio_of` divides the two systems round by round.

Invariant: a ratio pairs two runs that stood next to each other in time, so a machine that slows down for a minute
changes both sides of it. Medians and extremes of the pairs are reported, never the ratio of two bests.

Why alternating: on a shared machine, what a system gets in one minute says little about the next.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence

import attrs

from dynacache.cli.bench.job import Job, Outcome

__all__ = ["Case", "Ratio", "Spread", "Summary", "ratio_of", "run_rounds", "spread_of", "summarise"]


@attrs.frozen
class Case:
    """One shape of load, and the job of each system for it."""

    name: str
    jobs: Mapping[str, Job]


@attrs.frozen
class Spread:
    """A median with the extremes it was taken from."""

    median: float
    lowest: float
    highest: float


Ratio = Spread


@attrs.frozen
class Summary:
    """One system in one case, over all rounds."""

    rate: Spread
    p50_ms: Spread
    p99_ms: Spread
    p999_ms: Spread
    server_cpu_us: float | None
    """Median processor microseconds of all servers for each request; None where they are not known."""
    generator_cpu_us: float
    generator_share: float
    """Median part of one processor that the load generator took."""
    failures: int
    misses: int
    unanswered: int
    late_ms: float


def run_rounds(
    cases: Sequence[Case], rounds: int, run: Callable[[Job], Outcome], tell: Callable[[str], None]
) -> dict[str, dict[str, list[Outcome]]]:
    """Run everything; return the outcomes by case and system, in the order of the rounds."""
    found: dict[str, dict[str, list[Outcome]]] = {case.name: {name: [] for name in case.jobs} for case in cases}
    for number in range(rounds):
        for case in cases:
            names = list(case.jobs) if number % 2 == 0 else list(case.jobs)[::-1]
            for name in names:
                outcome = run(case.jobs[name])
                found[case.name][name].append(outcome)
                tell(f"round {number + 1} of {rounds}: {case.name}, {name}: {outcome.rate:,.0f} requests/s")
    return found


def spread_of(values: Sequence[float]) -> Spread:
    """Median, lowest and highest of a non-empty sequence."""
    return Spread(statistics.median(values), min(values), max(values))


def summarise(outcomes: Sequence[Outcome]) -> Summary:
    """What the rounds of one system in one case add up to."""
    served = [outcome for outcome in outcomes if outcome.requests]
    if not served:
        raise ValueError("no request was answered in any round")
    cpu = [sum(each.server_cpu_s) / each.requests * 1e6 for each in served if each.server_cpu_s]
    return Summary(
        rate=spread_of([each.rate for each in served]),
        p50_ms=spread_of([each.latencies.p50_ms for each in served]),
        p99_ms=spread_of([each.latencies.p99_ms for each in served]),
        p999_ms=spread_of([each.latencies.p999_ms for each in served]),
        server_cpu_us=statistics.median(cpu) if cpu else None,
        generator_cpu_us=statistics.median(each.generator_cpu_s / each.requests * 1e6 for each in served),
        generator_share=statistics.median(each.generator_cpu_s / each.seconds for each in served),
        failures=sum(each.failures for each in outcomes),
        misses=sum(each.misses for each in outcomes),
        unanswered=sum(each.unanswered for each in outcomes),
        late_ms=statistics.median(each.late_ms for each in served),
    )


def ratio_of(ours: Sequence[Outcome], theirs: Sequence[Outcome], measure: Callable[[Outcome], float]) -> Ratio | None:
    """Our figure divided by theirs, round by round; None where a round of theirs shows nothing to divide by."""
    pairs = [(measure(mine), measure(other)) for mine, other in zip(ours, theirs, strict=True)]
    if not pairs or not all(other for _, other in pairs):
        return None
    return spread_of([mine / other for mine, other in pairs])
