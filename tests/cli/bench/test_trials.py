"""The scripts of the trials, on pretended nodes: what is done in which order, and what is promised."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from dynacache.cli.bench import trials
from dynacache.cli.bench.trial import Trial, shape_of_trial
from dynacache.cli.bench.trials import restart_empty, rolling, run_trials, scale
from dynacache.cli.bench_options import BenchOptions
from dynacache.cli.processes import StartFailed
from tests.cli.bench.pretended import PretendedCluster
from tests.cli.fakes import FakeClient

Started = Callable[[int], tuple[Trial, PretendedCluster]]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "_DOWN_S", 0.05)
    monkeypatch.setattr(trials, "_SETTLE_S", 0.05)
    monkeypatch.setattr(trials, "_CHANGE_TIMEOUT_S", 1.0)


@pytest.fixture
def started(fake_client: FakeClient) -> Iterator[Started]:
    """Starts a trial of so many pretended nodes."""
    fake_client.reports["explain"] = {"copy": {"held": True, "record": {"bytes": 1}}}
    made: list[Trial] = []

    def start(nodes: int) -> tuple[Trial, PretendedCluster]:
        cluster = PretendedCluster(nodes)
        trial = Trial(cast(Any, cluster), shape_of_trial(100, 20, 500.0, 1), lambda _: None)
        made.append(trial)
        trial.start()
        return trial, cluster

    yield start
    for trial in made:
        trial.close()


def promises_of(record: Any) -> dict[str, bool]:
    return {each["name"]: each["kept"] for each in record["promises"]}


def test_two_join_and_two_leave(started: Started) -> None:
    trial, cluster = started(3)
    answer = scale(trial, 0.1)
    assert cluster.events == ["add", "add", "leave n5", "leave n4"]
    assert [each["name"] for each in answer.record["stretches"]] == [
        *("before", "3 to 4 nodes", "4 to 5 nodes", "5 to 4 nodes", "4 to 3 nodes", "after")
    ]
    promises = promises_of(answer.record)
    assert promises["failed requests"]
    assert promises["lost acknowledged writes"]
    assert {"moved bytes, times the ideal", "p99 while data move, times before"} < set(promises)


def test_a_leaver_that_fails_is_told(started: Started) -> None:
    trial, cluster = started(3)
    cluster.exit_code = 7
    with pytest.raises(StartFailed, match="exit code 7: last words"):
        scale(trial, 0.1)


def test_a_leaver_that_nobody_heard_of_is_told(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    trial, cluster = started(3)
    monkeypatch.setattr(PretendedCluster, "forget", lambda self, position: self.left.clear())
    monkeypatch.setattr(trials, "_CHANGE_TIMEOUT_S", 0.05)
    with pytest.raises(StartFailed, match="not everybody knows"):
        scale(trial, 0.1)
    assert cluster.left == []


def test_one_is_killed_and_comes_back(started: Started) -> None:
    trial, cluster = started(5)
    answer = restart_empty(trial, 0.1)
    assert cluster.events == ["kill 2", "restart 2"]
    assert answer.record["stretches"][2]["moved_bytes"] == 1000
    assert promises_of(answer.record)["failed requests"]


def test_one_that_is_not_filled_is_told(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    trial, cluster = started(5)
    monkeypatch.setattr(PretendedCluster, "restart", lambda self, position: setattr(self, "entries", 7))
    monkeypatch.setattr(PretendedCluster, "kill", lambda self, position: None)
    answer = restart_empty(trial, 0.1)
    assert "entries that the filled node still lacks: 3" in answer.complaint
    cluster.entries = 0
    with pytest.raises(StartFailed, match="does not tell"):
        rolling(trial, 0.1)


def test_all_are_restarted_in_turn(started: Started) -> None:
    trial, cluster = started(5)
    answer = rolling(trial, 0.1)
    assert cluster.events == [f"{what} {position}" for position in range(5) for what in ("terminate", "restart")]
    assert answer.exit_code == 0


def test_one_that_does_not_stop_well_is_told(started: Started) -> None:
    trial, cluster = started(5)
    cluster.exit_code = 1
    answer = rolling(trial, 0.1)
    assert answer.exit_code == 1
    assert "nodes that did not stop with exit code 0: 5" in answer.complaint


def test_only_what_is_asked_for_is_run(fake_client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_client.reports["explain"] = {"copy": {"held": True, "record": {"bytes": 1}}}
    made: list[PretendedCluster] = []

    def pretended(group: object, nodes: int, memory: str) -> PretendedCluster:
        made.append(PretendedCluster(nodes))
        return made[-1]

    monkeypatch.setattr(trials, "LocalCluster", pretended)
    assert run_trials(BenchOptions(), lambda _: None) == []
    (answer,) = run_trials(BenchOptions(restart_empty=True, keys=100, seconds=0.1), lambda _: None)
    assert answer.exit_code == 0
    assert made[0].events == ["kill 2", "restart 2", "close"]
