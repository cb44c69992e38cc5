"""The window under a clock of its own: what belongs to it and when it ends."""

import os

import attrs
import pytest

from dynacache.cli.bench.job import Job
from dynacache.cli.bench.window import Window

JOB = Job("redis", (("127.0.0.1", 1),), warmup_s=1.0, seconds=2.0, watch=(os.getpid(),))


@attrs.define
class Clock:
    now_s: float = 100.0

    def read(self) -> float:
        return self.now_s


def test_the_warm_up_does_not_count() -> None:
    clock = Clock()
    window = Window(JOB, clock.read)
    assert window.turn(100.5)
    window.requests = window.failures = window.misses = 7
    window.latencies.append(1.0)
    assert window.turn(101.0)
    assert (window.requests, window.failures, window.misses, window.latencies) == (0, 0, 0, [])
    window.requests = 10
    window.latencies.append(0.25)
    assert window.turn(102.9)
    assert not window.turn(103.0)
    clock.now_s = 103.0
    outcome = window.outcome(unanswered=2)
    assert (outcome.requests, outcome.seconds, outcome.unanswered) == (10, 2.0, 2)
    assert outcome.latencies.longest_ms == 250.0
    assert len(outcome.server_cpu_s) == 1


def test_a_number_of_requests_ends_it() -> None:
    window = Window(attrs.evolve(JOB, requests=100), Clock().read)
    window.turn(101.0)
    window.requests = 99
    assert window.turn(10_000.0)
    window.requests = 100
    assert not window.turn(10_000.0)


def test_filling_ends_by_itself_only() -> None:
    window = Window(attrs.evolve(JOB, sequence=True), Clock().read)
    assert window.turn(101.0)
    assert window.turn(10_000.0)


@pytest.mark.parametrize("pid", [2**22 + 1])
def test_servers_that_do_not_tell_have_no_figure(pid: int) -> None:
    window = Window(attrs.evolve(JOB, watch=(os.getpid(), pid)), Clock().read)
    window.turn(101.0)
    assert window.outcome().server_cpu_s == ()


def test_lateness_is_a_percentile() -> None:
    window = Window(JOB, Clock().read)
    window.turn(101.0)
    window.lateness.extend(number / 1000 for number in range(101))
    assert window.outcome().late_ms == 99.0
