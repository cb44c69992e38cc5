"""The open loop against a node in a thread: on schedule, and a stall is felt by everybody who had to wait."""

import time
from typing import Any

import attrs

from dynacache.cli.bench.generator import run_job
from dynacache.cli.bench.job import Job
from dynacache.wire.messages import DONE
from tests.cli.bench.fake_node import FakeNode


def job_for(node: FakeNode, **changes: Any) -> Job:
    base = Job("dynacache", (("127.0.0.1", node.port),), connections=4, key_count=100, warmup_s=0.05)
    return attrs.evolve(base, **({"seconds": 0.5, "rate": 800.0, "value_bytes": 64, "timeout_s": 2.0} | changes))


def test_the_schedule_is_kept() -> None:
    with FakeNode() as node:
        run_job(job_for(node, sequence=True, rate=0.0))
        outcome = run_job(job_for(node, read_share=0.8))
        assert 380 <= outcome.requests <= 405
        assert (outcome.failures, outcome.misses, outcome.unanswered) == (0, 0, 0)
        assert outcome.latencies.count == outcome.requests
        assert outcome.read_latencies.count + outcome.write_latencies.count == outcome.requests
        assert 0.7 < outcome.read_latencies.count / outcome.requests < 0.9


def test_a_stall_counts_for_all_that_were_due() -> None:
    class Stalling(FakeNode):
        begun = 0.0

        def answer(self, message: list[Any]) -> list[list[Any]]:
            now = time.monotonic()
            self.begun = self.begun or now
            if now - self.begun < 0.3:
                time.sleep(max(0.0, self.begun + 0.3 - now))
            return super().answer(message)

    with Stalling() as node:
        outcome = run_job(job_for(node, warmup_s=0.0))
        assert outcome.latencies.longest_ms > 250
        assert outcome.latencies.p50_ms > 20
        assert outcome.unanswered == 0


def test_more_on_their_way_than_request_ids_wait_their_turn() -> None:
    class Late(FakeNode):
        held: list[list[Any]]

        def answer(self, message: list[Any]) -> list[list[Any]]:
            self.held = [*getattr(self, "held", []), [DONE, message[1], True]]
            if len(self.held) < 127 and len(self.received) < 254:
                return []
            ready, self.held = self.held, []
            return ready

    with Late() as node:
        outcome = run_job(job_for(node, connections=1, rate=1000.0, seconds=0.4, warmup_s=0.0))
        assert outcome.requests >= 390
        assert (outcome.failures, outcome.unanswered) == (0, 0)


def test_what_is_never_answered_is_told() -> None:
    class Forgetful(FakeNode):
        def answer(self, message: list[Any]) -> list[list[Any]]:
            return [] if len(self.received) % 10 == 0 else super().answer(message)

    with Forgetful() as node:
        outcome = run_job(job_for(node, seconds=0.2, timeout_s=0.3))
        assert 10 <= outcome.unanswered <= 30
