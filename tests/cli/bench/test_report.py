"""The report: every figure in the tables is in the JSON, and what went wrong is spelled out."""

import io
import json
from typing import Any

import attrs

from dynacache.cli.bench.job import Latencies, Outcome
from dynacache.cli.bench.memory import MemoryFigures
from dynacache.cli.bench.report import memory_answer, report_answer
from dynacache.cli.output import show

LATENCIES = Latencies(1000, 1.0, 2.0, 3.0, 4.0, 5.0)
OURS = Outcome(1000, 0, 0, 1.0, LATENCIES, Latencies(), Latencies(), (0.05,), 0.01, 0.2)
THEIRS = attrs.evolve(OURS, requests=500, latencies=attrs.evolve(LATENCIES, p99_ms=1.5))
FOUND = {"SET, depth 1": {"dynacache": [OURS], "redis": [THEIRS], "redis, one WAIT for all": [THEIRS]}}


def cells(answer: Any) -> str:
    return " ".join(str(cell) for table in answer.tables for row in table.rows for cell in row)


def test_throughput_ratios() -> None:
    answer = report_answer({"nodes": 3, "redis": "7.0"}, FOUND, False)
    assert answer.exit_code == 0
    assert [row[1:] for row in answer.tables[1].rows] == [
        ("dynacache / redis", "requests/s", "2.00", "2.00-2.00"),
        ("dynacache / redis, one WAIT for all", "requests/s", "2.00", "2.00-2.00"),
    ]
    assert "50.0" in cells(answer)
    assert "nodes 3, redis 7.0" in answer.tables[0].title
    stream = io.StringIO()
    show(answer, "json", stream)
    record = json.loads(stream.getvalue())
    case = record["cases"][0]
    assert case["systems"]["dynacache"]["rate"]["median"] == 1000.0
    assert case["systems"]["dynacache"]["generator_share"] == 0.01
    assert case["ratios"][0] == {"against": "redis", "of": "requests/s", "median": 2.0, "lowest": 2.0, "highest": 2.0}


def test_latency_ratios_of_an_open_loop() -> None:
    answer = report_answer({}, FOUND, True)
    assert [row[2:4] for row in answer.tables[1].rows[:2]] == [("p50", "1.00"), ("p99", "2.00")]
    assert answer.tables[0].columns[-1] == "sent late ms"


def test_alone_there_is_no_ratio() -> None:
    answer = report_answer({}, {"GET, depth 1": {"dynacache": [OURS]}}, False)
    assert len(answer.tables) == 1


def test_what_went_wrong_is_spelled_out() -> None:
    bad = attrs.evolve(OURS, failures=3, misses=2, unanswered=1)
    answer = report_answer({}, {"GET, depth 1": {"dynacache": [bad]}}, False)
    assert answer.exit_code == 1
    assert answer.complaint.splitlines() == [
        "GET, depth 1, dynacache: 3 requests failed",
        "GET, depth 1, dynacache: 2 requests missed",
        "GET, depth 1, dynacache: 1 requests were not answered",
    ]


def test_memory() -> None:
    figures = MemoryFigures(1000, 39, 64, 3600.0, 190.5, 188.0, 1.5, 1.0, 0.7, 0.6, 0)
    answer = memory_answer([attrs.evolve(figures, ttl_s=0.0), figures])
    shown = cells(answer)
    for text in ("never", "3600 s", "190.5", "188.0", "1.50 ms", "0.70 ms"):
        assert text in shown
    assert answer.record["fills"][1]["resident_overhead_bytes"] == 190.5
