"""`dynacache bench` with real nodes, alone and beside Redis."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from dynacache.cli import main

pytestmark = pytest.mark.processes
Bench = Callable[..., dict[str, Any]]


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str]) -> Bench:
    """Runs one small bench and returns its report."""

    def run(*options: str) -> dict[str, Any]:
        code = main(("bench", "--rounds", "1", "--seconds", "0.3", "--keys", "500", "--output", "json", *options))
        captured = capsys.readouterr()
        assert code == 0, captured.err
        report: dict[str, Any] = json.loads(captured.out)
        return report

    return run


def test_beside_redis(bench: Bench, redis_server_path: str) -> None:
    report = bench("--against", "redis", "--connections", "10", "--value-bytes", "512")
    assert [case["case"] for case in report["cases"]] == [
        "SET, depth 1",
        "GET, depth 1",
        "SET, depth 16",
        "GET, depth 16",
    ]
    for case in report["cases"]:
        assert {"dynacache", "redis"} <= set(case["systems"])
        for summary in case["systems"].values():
            assert summary["rate"]["median"] > 100
            assert summary["server_cpu_us"] > 0
            assert 0 < summary["generator_share"] <= 1.1
            assert summary["failures"] == summary["misses"] == 0
        assert case["ratios"][0]["against"] == "redis"
        assert case["ratios"][0]["median"] > 0
    assert report["settings"]["redis"]


def test_on_schedule(bench: Bench) -> None:
    report = bench("--rate", "400", "--connections", "10", "--nodes", "5")
    (case,) = report["cases"]
    summary = case["systems"]["dynacache"]
    assert 300 < summary["rate"]["median"] < 450
    assert summary["p50_ms"]["median"] > 0
    assert summary["failures"] == summary["misses"] == summary["unanswered"] == 0
