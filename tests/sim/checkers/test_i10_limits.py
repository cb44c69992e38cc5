from typing import Any

import pytest

from sim.checkers.i10_limits import check
from sim.evidence import Evidence, Gauge
from sim.faults.schedule import Fault
from sim.options import Options

FULL: dict[str, Any] = {
    "tombstone_bytes": 10, "tombstone_limit_bytes": 10, "hint_bytes": 10, "hint_limit_bytes": 10,
    "hint_bytes_by_target": {"b": 5}, "hint_target_limit_bytes": 5, "hint_count_by_target": {"b": 2},
    "hint_target_limit_count": 2, "pending": 3, "pending_limit": 3, "operation_ids": 4, "operation_id_limit": 4,
    "largest_entry_bytes": 7,
}  # fmt: skip


def gauge(used_bytes: int = 107, at_s: float = 1.0, **changed: Any) -> Gauge:
    return Gauge(at_s, "a", used_bytes, 100, **(FULL | changed))


def test_full_is_within_the_limit() -> None:
    assert check(Evidence(Options(), gauges=(gauge(), Gauge(2.0, "b", 5, 0)))) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"used_bytes": 108},
        {"tombstone_bytes": 11},
        {"hint_bytes": 11},
        {"hint_bytes_by_target": {"b": 6}},
        {"hint_count_by_target": {"b": 3}},
        {"pending": 4},
        {"operation_ids": 5},
    ],
)
def test_one_more_is_found_once(changed: dict[str, Any]) -> None:
    found = check(Evidence(Options(), gauges=(gauge(**changed), gauge(at_s=2.0, **changed))))
    assert [violation.invariant for violation in found] == ["I10"]
    assert "1.000 s" in found[0].text


def test_a_lowered_limit_is_reached_by_and_by() -> None:
    squeeze = Fault(0.0, "memory", {"node": "a", "limit_bytes": 100, "duration_s": 9.0})
    assert check(Evidence(Options(storage_limit_bytes=200), gauges=(gauge(150),), faults=(squeeze,))) == []


def shares(*sizes: int, limit: int = 10_000) -> tuple[Gauge, ...]:
    """Gauges of one node, a second apart."""
    return tuple(
        Gauge(float(at_s), "a", 5, 0, group_bytes={"s1": size}, group_limit_bytes={"s1": limit})
        for at_s, size in enumerate(sizes)
    )


def test_a_namespace_has_no_more_than_its_share_for_long() -> None:
    assert check(Evidence(Options(), gauges=shares(9_000, 12_000, 12_000, 11_000, 12_000))) == []
    found = check(Evidence(Options(), gauges=shares(9_000, 12_000, 12_000, 12_000, 12_000)))
    assert [violation.text for violation in found] == [
        "memory of namespace s1 at a was 12000 at 3.000 s, its share of it is 10000"
    ]


def test_who_stands_still_cleans_up_nothing() -> None:
    pause = Fault(0.0, "pause", {"node": "a", "duration_s": 3.0})
    assert check(Evidence(Options(), gauges=shares(*[12_000] * 5), faults=(pause,))) == []


def test_the_catalogue_has_a_limit() -> None:
    gauges = (Gauge(1.0, "a", 5, 0, catalogue=11, catalogue_limit=10),)
    assert ["catalogue" in violation.text for violation in check(Evidence(Options(), gauges=gauges))] == [True]
