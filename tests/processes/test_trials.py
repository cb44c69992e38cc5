"""A cluster of real nodes that grows, shrinks, loses a memory and is restarted node by node, under load: nothing fails.

These are the trials of `dynacache bench`, shorter. Latencies are not judged here: tests share their machine.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from dynacache.cli import main

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

JUDGED = (
    "failed requests",
    "lost acknowledged writes",
    "values of nobody or of another key",
    "moved bytes, times the ideal",
    "nodes that did not stop with exit code 0",
    "entries that the filled node still lacks",
    "entries that filled nodes still lack",
)


@pytest.fixture
def trial(capsys: pytest.CaptureFixture[str], say_aloud: Callable[[str], None]) -> Callable[..., dict[str, Any]]:
    """Runs one trial, checks its promises except those of latency, and returns its report."""

    def run(*options: str) -> dict[str, Any]:
        main(("bench", "--keys", "8000", "--seconds", "2", "--rate", "200", "--output", "json", *options))
        captured = capsys.readouterr()
        assert captured.out, captured.err
        report: dict[str, Any] = json.loads(captured.out)
        found = {each["name"]: each["figure"] for each in report["promises"]}
        say_aloud(f"{report['trial']}: {found}")
        broken = [each for each in report["promises"] if each["name"] in JUDGED and not each["kept"]]
        assert broken == [], captured.err
        assert report["requests"] > 500
        assert report["verdict"]["acknowledged_writes"] > 8_000
        return report

    return run


def test_three_to_five_to_three(trial: Callable[..., dict[str, Any]]) -> None:
    report = trial("--scale")
    changes = [each for each in report["stretches"] if each["ideal_bytes"]]
    assert [each["name"] for each in changes] == ["3 to 4 nodes", "4 to 5 nodes", "5 to 4 nodes", "4 to 3 nodes"]
    assert all(each["moved_bytes"] > each["ideal_bytes"] / 2 for each in changes)


def test_a_node_killed_and_started_empty(trial: Callable[..., dict[str, Any]]) -> None:
    report = trial("--restart-empty")
    filled = report["stretches"][2]
    assert filled["moved_bytes"] > filled["ideal_bytes"] / 2


def test_a_rolling_restart(trial: Callable[..., dict[str, Any]]) -> None:
    report = trial("--rolling")
    stopped = [each for each in report["stretches"] if each["ideal_bytes"]]
    assert len(stopped) == 5
    assert all(each["moved_bytes"] > each["ideal_bytes"] / 2 for each in stopped)
