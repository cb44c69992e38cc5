"""Which cases the options ask for, and a run against a node in a thread. Real nodes: tests/processes."""

import json
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from dynacache.cli.bench.job import Job
from dynacache.cli.bench.running import OURS, REDIS, REDIS_BATCH, cases_of
from dynacache.cli.bench_options import BenchOptions
from tests.cli.bench.fake_node import FakeNode
from tests.cli.conftest import Ran

JOB = Job("dynacache", (("127.0.0.1", 1),))
BOTH = {OURS: JOB, REDIS: attrs.evolve(JOB, dialect="redis")}


def test_writes_and_reads_apart_at_both_depths() -> None:
    cases = cases_of(BenchOptions(), BOTH)
    assert [case.name for case in cases] == ["SET, depth 1", "GET, depth 1", "SET, depth 16", "GET, depth 16"]
    assert [(case.jobs[REDIS].depth, case.jobs[REDIS].read_share) for case in cases] == [
        *[(1, 0.0), (1, 1.0), (16, 0.0), (16, 1.0)]
    ]
    assert all(case.jobs[REDIS].wait == "each" for case in cases)
    assert [REDIS_BATCH in case.jobs for case in cases] == [False, False, True, False]
    assert cases[2].jobs[REDIS_BATCH].wait == "batch"


def test_both_systems_get_the_same_shape() -> None:
    for options in (BenchOptions(), BenchOptions(read_share=0.5, depth=(4,)), BenchOptions(rate=(2000.0, 5000.0))):
        for case in cases_of(options, BOTH):
            ours, theirs = case.jobs[OURS], case.jobs[REDIS]
            assert attrs.evolve(theirs, dialect="dynacache") == ours


def test_shares_and_rates() -> None:
    mixed = cases_of(BenchOptions(read_share=0.25, depth=(4,)), BOTH)
    assert [(case.name, case.jobs[OURS].depth) for case in mixed] == [("25% reads, depth 4", 4)]
    rated = cases_of(BenchOptions(rate=(2000.0,)), BOTH)
    assert [(case.name, case.jobs[OURS].rate, case.jobs[OURS].read_share) for case in rated] == [
        ("2,000 requests/s, 80% reads", 2000.0, 0.8)
    ]


@pytest.mark.parametrize(
    ("options", "cases"), [((), 4), (("--rate", "500"), 1), (("--read-share", "0.5", "--depth", "8"), 1)]
)
def test_a_running_cluster_is_measured(command: Callable[..., Ran], options: tuple[str, ...], cases: int) -> None:
    with FakeNode() as node:
        ran = command(
            *("bench", "--server", f"127.0.0.1:{node.port}", "--seconds", "1", "--rounds", "1", "--keys", "200"),
            *("--connections", "4", "--output", "json", *options),
        )
        assert ran.code == 0, ran.err
        record: Any = json.loads(ran.out)
        assert len(record["cases"]) == cases
        for case in record["cases"]:
            assert case["systems"]["dynacache"]["rate"]["median"] > 0
        assert {message[2] for message in node.received} == set(node.values)
        assert len(node.values) == 200


def test_what_fails_is_an_exit_code(command: Callable[..., Ran]) -> None:
    ran = command("bench", "--server", "127.0.0.1:1")
    assert ran.code == 4
    assert ran.err.startswith("dynacache: cannot reach 127.0.0.1:1")
    assert ran.err.count("\n") == 1
