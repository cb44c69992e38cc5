"""Reports of the soak and of expiry: what is promised, and what a broken promise does."""

import attrs

from dynacache.cli.bench.expiry import ExpiryFigures
from dynacache.cli.bench.expiry_turns import TurnFigures
from dynacache.cli.bench.soak import Memory, SoakFigures
from dynacache.cli.bench.soak_load import Found
from dynacache.cli.bench.soak_report import expiry_answer, soak_answer

LOAD = Found(10_000, 0, 10, 10**6, 10.0, 1.0, 2.0, 12.0, 3.0, 0, 0.5, 50)
HELD = Memory(0.95, 0.98, 1.01, 100)
SOAK = SoakFigures(
    2**30, 600.0, LOAD, LOAD, LOAD, LOAD, HELD, HELD, (HELD,), {"memory_trims": 3, "storage_usage": {"a": 1}}
)
TURNS = TurnFigures(1_000_000, 1.5, 1.1, 36_000, 0.7, 0.05, 0.4, 0, (2**24, 2**28, 2**26))
EXPIRY = ExpiryFigures(1_000_000, LOAD, LOAD, 1.7, 0, 130, TURNS)


def test_a_soak_within_its_promises() -> None:
    answer = soak_answer(SOAK)
    assert (answer.exit_code, answer.complaint) == (0, "")
    assert answer.tables[0].rows[1][:3] == ("half full", "1,000", "50.0")
    assert answer.tables[1].rows[0] == ("above, against half full", "20 % and 20 %", "1.00", "1.00")
    assert answer.tables[2].rows[0] == ("filling", "95.0 %", "98.0 %", "101.0 %", 100)
    assert answer.tables[3].rows == (("memory_trims", 3), ("storage_usage.a", 1))
    assert answer.record["kept_rate"] == 1.0


def test_a_soak_that_breaks_them_all() -> None:
    bad = Memory(0.5, 0.9, 1.06, 100)
    churn = attrs.evolve(LOAD, requests=6_000, longest_cpu_ms=11.0, failures=1)
    filling = attrs.evolve(LOAD, longest_cpu_ms=11.0)
    answer = soak_answer(attrs.evolve(SOAK, churn=churn, filling=filling, churn_memory=bad))
    assert answer.exit_code == 1
    assert len(answer.complaint.split("\n")) == 7


def test_expiry_within_its_promises_and_not() -> None:
    kept = expiry_answer(EXPIRY)
    assert kept.exit_code == 0
    assert kept.tables[1].rows == (("1.50", "36,000", "1.10", "0.050", "0.400", "0.70", "16", "256", "64"),)
    slow = attrs.evolve(LOAD, p99_ms=4.1, longest_cpu_ms=5.1, failures=1)
    turns = attrs.evolve(TURNS, longest_turn_ms=5.1, late_s=1.1, left=1)
    answer = expiry_answer(attrs.evolve(EXPIRY, meanwhile=slow, late_s=2.1, left=1, turns=turns))
    assert answer.exit_code == 1
    assert len(answer.complaint.split("\n")) == 8
