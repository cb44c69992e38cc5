"""Jobs and outcomes cross a pipe unchanged; percentiles are those of the list."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.cli.bench.job import Job, Latencies, Outcome, percentile

JOB = Job("dynacache", (("127.0.0.1", 1), ("::1", 2)), owners=((0, 1), (1,)), watch=(3, 4), secret="s", trace="t")
OUTCOME = Outcome(
    10, 1, 2, 0.5, Latencies(10, 1.0, 2.0, 3.0, 4.0, 5.0), Latencies(), Latencies(), (0.1, 0.2), 0.3, 0.4, 5
)


@pytest.mark.parametrize("job", [JOB, attrs.evolve(JOB, owners=None)])
def test_jobs_travel_unchanged(job: Job) -> None:
    assert Job.from_json(job.to_json()) == job
    assert "\n" not in job.to_json()


def test_outcomes_travel_unchanged() -> None:
    assert Outcome.from_json(OUTCOME.to_json()) == OUTCOME
    assert OUTCOME.rate == 20.0
    assert attrs.evolve(OUTCOME, seconds=0.0).rate == 0.0


def test_a_secret_is_not_shown() -> None:
    assert "secret='s'" not in repr(JOB)


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=300))
def test_percentiles_are_members_in_order(seconds: list[float]) -> None:
    found = Latencies.of(list(seconds))
    marks = [found.p50_ms, found.p90_ms, found.p99_ms, found.p999_ms, found.longest_ms]
    assert marks == sorted(marks)
    assert set(marks) <= {each * 1000 for each in seconds}
    assert found.count == len(seconds)
    below = sum(each <= percentile(sorted(seconds), 0.9) for each in seconds)
    assert below >= 0.9 * len(seconds)


def test_nothing_measured_is_zero() -> None:
    assert Latencies.of([]) == Latencies()
