"""Schedules: checked, and the same after JSON."""

import pytest

from sim.faults.schedule import FAULT_KINDS, Fault, from_json, to_json


def test_json_there_and_back() -> None:
    faults = (Fault(1.5, "pause", {"node": "n1", "duration_s": 2.0}), Fault(-1.0, "join", {"node": "j1"}))
    assert from_json(to_json(faults)) == faults


@pytest.mark.parametrize(
    ("kind", "arguments", "named"),
    [("unheard_of", {}, "unheard_of"), ("join", {}, "join"), ("join", {"node": "j1", "more": 1}, "more")],
)
def test_a_malformed_fault_is_refused(kind: str, arguments: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Fault(0.0, kind, arguments)


def test_every_kind_that_lasts_says_how_long() -> None:
    lasting = {kind for kind, arguments in FAULT_KINDS.items() if {"duration_s", "down_s"} & set(arguments)}
    assert set(FAULT_KINDS) - lasting == {"reset", "join", "repair_now"}
