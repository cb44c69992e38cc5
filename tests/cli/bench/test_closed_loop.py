"""The closed loop against a node in a thread: counts are exact, whatever the answers look like."""

import threading
import time
from typing import Any

import attrs
import pytest

from dynacache.cli.bench.generator import run_job
from dynacache.cli.bench.job import Job
from dynacache.wire.messages import DONE, ERROR, GET, SET
from tests.cli.bench.fake_node import FakeNode


def job_for(node: FakeNode, **changes: Any) -> Job:
    base = Job("dynacache", (("127.0.0.1", node.port),), connections=3, depth=4, key_count=100, warmup_s=0.0)
    return attrs.evolve(base, **({"seconds": 0.2, "value_bytes": 512} | changes))


def test_filling_writes_every_key_once() -> None:
    with FakeNode() as node:
        outcome = run_job(job_for(node, sequence=True))
        assert (outcome.requests, outcome.failures, outcome.misses) == (100, 0, 0)
        assert len(node.values) == 100
        assert len(node.received) == 100


@pytest.mark.parametrize("depth", [1, 4, 16, 127])
@pytest.mark.parametrize("read_share", [0.0, 0.5, 1.0])
def test_requests_are_counted_exactly(depth: int, read_share: float) -> None:
    with FakeNode() as node:
        run_job(job_for(node, sequence=True))
        node.received.clear()
        outcome = run_job(job_for(node, depth=depth, read_share=read_share, requests=400))
        assert (outcome.failures, outcome.misses) == (0, 0)
        assert 400 <= outcome.requests <= len(node.received)
        assert outcome.latencies.count > 0
        kinds = {message[0] for message in node.received}
        assert kinds == {0.0: {SET}, 0.5: {GET, SET}, 1.0: {GET}}[read_share]


def test_misses_and_failures_are_counted_as_such() -> None:
    class Refusing(FakeNode):
        def answer(self, message: list[Any]) -> list[list[Any]]:
            if message[0] == SET:
                return [[ERROR, message[1], 31, "too few replicas"]]
            return super().answer(message)

    with Refusing() as node:
        outcome = run_job(job_for(node, read_share=0.5, requests=300))
        assert outcome.requests == outcome.failures + outcome.misses
        assert outcome.failures > 100
        assert outcome.misses > 100


def test_answers_one_by_one_and_out_of_order_count_the_same() -> None:
    class Scattered(FakeNode):
        held: list[list[Any]]

        def answer(self, message: list[Any]) -> list[list[Any]]:
            self.held = [*getattr(self, "held", []), [DONE, message[1], True]]
            if len(self.held) % 4:
                return []
            ready, self.held = self.held[::-1], []
            return ready

    with Scattered() as node:
        outcome = run_job(job_for(node, connections=1, requests=200))
        assert (outcome.requests >= 200, outcome.failures) == (True, 0)


def test_large_batches_are_sent_in_parts() -> None:
    with FakeNode() as node:
        outcome = run_job(job_for(node, connections=2, depth=100, value_bytes=20_000, requests=400))
        assert outcome.failures == 0
        assert outcome.requests >= 400
        assert {len(message[4]) for message in node.received} == {20_000}


def test_silence_ends_the_run() -> None:
    class Silent(FakeNode):
        def answer(self, message: list[Any]) -> list[list[Any]]:
            return []

    with Silent() as node, pytest.raises(TimeoutError, match=r"no answer for 0\.3 s"):
        run_job(job_for(node, timeout_s=0.3))


def test_a_server_that_hangs_up_ends_the_run() -> None:
    with FakeNode() as node:
        threading.Timer(0.2, lambda: node.__exit__()).start()
        before = time.monotonic()
        with pytest.raises((ConnectionError, OSError)):
            run_job(attrs.evolve(job_for(node), seconds=20.0, timeout_s=5.0))
        assert time.monotonic() - before < 10
