from typing import Any

import pytest

from sim.checkers.i15_accounting import check
from sim.evidence import Evidence, Gauge, NodeSnapshot
from sim.options import Options


def gauge(**changed: Any) -> Gauge:
    given = {"used_bytes": 50, "recounted_bytes": 50, "hint_bytes": 7, "hint_recounted_bytes": 7, "trees": 3}
    return Gauge(1.0, "a", limit_bytes=100, **(given | {"trees_right": 3} | changed))


def test_equal_figures_and_figures_that_were_not_counted() -> None:
    snapshot = NodeSnapshot("a", 1, 0, {}, used_bytes=5, recounted_bytes=5)
    plain = gauge(used_bytes=1, recounted_bytes=None, hint_recounted_bytes=None, trees_right=None)
    assert check(Evidence(Options(), gauges=(gauge(), plain), snapshots={"a": snapshot})) == []


@pytest.mark.parametrize("changed", [{"used_bytes": 51}, {"hint_bytes": 8}, {"trees": 4}])
def test_a_figure_that_differs_is_found_once(changed: dict[str, Any]) -> None:
    found = check(Evidence(Options(), gauges=(gauge(**changed), gauge(**changed))))
    assert [violation.invariant for violation in found] == ["I15"]


def test_the_end_is_recounted_too() -> None:
    snapshot = NodeSnapshot("a", 1, 0, {}, used_bytes=5, recounted_bytes=6)
    assert len(check(Evidence(Options(), snapshots={"a": snapshot}))) == 1
