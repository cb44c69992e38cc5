"""Reports of exchanges and of rest: what is promised, and what a broken promise does."""

from typing import Any

import attrs

from dynacache.cli.bench.exchange_cost import ExchangeCase, RestCase
from dynacache.cli.bench.exchange_report import exchange_answer, rest_answer
from dynacache.cli.bench.idle import IdleFigures


def exchange(entries: int, differences: int, **changes: Any) -> dict[str, Any]:
    case = ExchangeCase(entries, differences, 30, 30, 2000 + 100 * differences, 100 * differences, 30.0, 300.0)
    return attrs.asdict(attrs.evolve(case, **changes))


CASES = [exchange(entries, differences) for entries in (100, 1000) for differences in (0, 1, 10)]
REST = attrs.asdict(RestCase("full", 5000, 12, (50, 3, *[0] * 10), (9000, *[400] * 11), (20, *[0] * 11)))
IDLE = IdleFigures(3, 100, 10.0, 0.006, 0.005)


def test_cheap_exchanges_keep_every_promise() -> None:
    answer = exchange_answer(CASES)
    assert (answer.exit_code, answer.complaint) == (0, "")
    assert len(answer.record["promises"]) == 6
    assert answer.tables[0].rows[2] == ("100", "10", 30, 30, "4,000", "1,000", "30.0")


def test_dear_exchanges_break_them() -> None:
    answer = exchange_answer(
        [*CASES[:3], exchange(1000, 0, pairs=31, cpu_ms=9000.0), exchange(1000, 10, message_bytes=9999)]
    )
    assert answer.exit_code == 1
    assert [line.partition(":")[0] for line in answer.complaint.split("\n")] == [
        "message pairs an exchange, 1,000 equal entries",
        "share of a core for each of the two",
        "message bytes, 10 differing of 1,000, times those of 100",
    ]


def test_rest_is_quiet_and_cheap() -> None:
    answer = rest_answer([REST], IDLE)
    assert (answer.exit_code, answer.complaint) == (0, "")
    assert [row[2] for row in answer.tables[0].rows] == [1, 2, 3, 12]
    assert round(IDLE.repair, 6) == 0.001
    assert attrs.evolve(IDLE, without_repair=0.007).repair == 0


def test_what_goes_on_for_ever_is_told() -> None:
    restless = REST | {"records_by_minute": (14,) * 12}
    answer = rest_answer([restless], attrs.evolve(IDLE, with_repair=0.02))
    assert answer.exit_code == 1
    assert "differences in the last 10 min: full: 140" in answer.complaint
    assert "share of a core for repair, idle node: 0.015" in answer.complaint
