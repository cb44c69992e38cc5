"""Rounds: who runs when, medians with their spreads, ratios of neighbours."""

from typing import Any

import attrs
import pytest

from dynacache.cli.bench.job import Job, Latencies, Outcome
from dynacache.cli.bench.rounds import Case, Spread, ratio_of, run_rounds, spread_of, summarise

OURS = Job("dynacache", (("127.0.0.1", 1),))
THEIRS = attrs.evolve(OURS, dialect="redis")


def outcome(requests: int, seconds: float = 1.0, **changes: Any) -> Outcome:
    latencies = Latencies(requests, 1.0, 2.0, 3.0, 4.0, 5.0)
    base = Outcome(requests, 0, 0, seconds, latencies, Latencies(), Latencies(), (0.2, 0.3), 0.1)
    return attrs.evolve(base, **changes)


def test_systems_take_turns_in_going_first() -> None:
    ran: list[tuple[int, str]] = []

    def run(job: Job) -> Outcome:
        ran.append((job.depth, job.dialect))
        return outcome(len(ran))

    cases = [
        Case(f"depth {depth}", {job.dialect: attrs.evolve(job, depth=depth) for job in (OURS, THEIRS)})
        for depth in (1, 16)
    ]
    told: list[str] = []
    found = run_rounds(cases, 2, run, told.append)
    assert [dialect for _, dialect in ran] == ["dynacache", "redis"] * 2 + ["redis", "dynacache"] * 2
    assert [depth for depth, _ in ran] == [1, 1, 16, 16] * 2
    assert [each.requests for each in found["depth 16"]["redis"]] == [4, 7]
    assert len(told) == 8


def test_a_summary_has_medians_and_spreads() -> None:
    found = summarise([outcome(100), outcome(300), outcome(200, failures=2, misses=1, unanswered=4)])
    assert found.rate == Spread(200.0, 100.0, 300.0)
    assert (found.failures, found.misses, found.unanswered) == (2, 1, 4)
    assert found.server_cpu_us == pytest.approx(2500.0)
    assert found.generator_cpu_us == pytest.approx(500.0)
    assert found.generator_share == pytest.approx(0.1)


def test_unknown_processor_time_stays_unknown() -> None:
    assert summarise([outcome(100, server_cpu_s=())]).server_cpu_us is None


def test_a_case_in_which_nothing_was_served_is_no_figure() -> None:
    with pytest.raises(ValueError, match="no request"):
        summarise([outcome(0)])


def test_ratios_pair_neighbours() -> None:
    ours = [outcome(100), outcome(10), outcome(30)]
    theirs = [outcome(50), outcome(20), outcome(30)]
    assert ratio_of(ours, theirs, lambda each: each.rate) == Spread(1.0, 0.5, 2.0)
    assert ratio_of(ours, [outcome(0)] * 3, lambda each: each.rate) is None
    assert ratio_of([], [], lambda each: each.rate) is None


def test_a_spread_of_one_is_itself() -> None:
    assert spread_of([3.0]) == Spread(3.0, 3.0, 3.0)
