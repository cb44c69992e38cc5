import json
import re

import attrs
import pytest

import sim.speed as module
from sim.run import Result
from sim.speed import Speed, measure, speed


def test_one_line_says_how_fast_time_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert speed(nodes=3, seeds=1, duration_s=1.0) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"speed: 3 nodes at 20 operations a virtual second: [1-9]\d* virtual s per CPU second of one core in fair"
        r" weather, [1-9]\d* as drawn, faults included",
        line,
    )


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert speed(nodes=3, seeds=2, duration_s=1.0, output="json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["nodes"], told["operations_per_s"], told["fair"]["seeds"], told["fair"]["not_held"]) == (
        3,
        20.0,
        2,
        [],
    )
    assert told["fair"]["virtual_s_per_cpu_s"] == told["fair"]["virtual_s"] / told["fair"]["cpu_s"]


def test_a_run_that_does_not_hold_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(seed: int, **fixed: object) -> Result:
        return Result(seed, "unknown" if seed == 2 and "joiners" not in fixed else "held", "", (), {}, 10.0, 5, 100)

    monkeypatch.setattr(module, "run", run)
    found = measure(2, {})
    assert attrs.evolve(found, cpu_s=1.0) == Speed(2, 20.0, 1.0, 200, (2,))
    assert speed(seeds=2) == 1
    assert "seed 2 did not hold" in capsys.readouterr().out
