"""A trial on a pretended cluster: what is filled and judged, what a stretch counts, when waiting ends."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from dynacache.cli.bench.trial import Trial, shape_of_trial
from dynacache.cli.processes import StartFailed
from dynacache.errors import NotEnoughReplicas
from tests.cli.bench.pretended import PretendedCluster
from tests.cli.fakes import FakeClient

KEYS = 600


@pytest.fixture
def cluster() -> PretendedCluster:
    return PretendedCluster()


@pytest.fixture
def trial(cluster: PretendedCluster, fake_client: FakeClient) -> Iterator[Trial]:
    fake_client.reports["explain"] = {"copy": {"held": True, "record": {"bytes": 100}}}
    made = Trial(cast(Any, cluster), shape_of_trial(KEYS, 50, 500.0, 1), lambda _: None)
    yield made
    made.close()
    assert cluster.events[-1] == "close"
    assert fake_client.closed


def test_every_key_is_filled_and_judged(trial: Trial, fake_client: FakeClient) -> None:
    trial.start()
    assert [call[1] for call in fake_client.calls if call[0] == "set_many"] == [250, 250, 100]
    with trial.stretch("before"):
        trial.until(lambda: trial.workload.counts().requests > 20, 10, "some load")
    verdict = trial.finish()
    assert verdict.keys_read == KEYS
    assert verdict.acknowledged_writes >= KEYS
    assert verdict.lost_acknowledged_writes == 0
    (stretch,) = trial.stretches
    assert (stretch.name, stretch.failed, stretch.unknown) == ("before", 0, 0)
    assert stretch.requests > 20
    assert stretch.p99_ms >= stretch.p50_ms > 0


def test_a_value_that_vanishes_is_lost(trial: Trial, fake_client: FakeClient) -> None:
    trial.start()
    trial.workload.stop()
    del fake_client.values[trial.shape.keys[7]]
    assert trial.finish().lost_acknowledged_writes >= 1


def test_failures_and_bytes_belong_to_their_stretch(
    trial: Trial, cluster: PretendedCluster, fake_client: FakeClient
) -> None:
    trial.start()
    before = trial.workload.counts()
    with trial.stretch("quiet"):
        trial.wait(0.05)
    with trial.stretch("moving", 0.5):
        cluster.received += 700
        fake_client.errors["set"] = NotEnoughReplicas("no")
        trial.until(lambda: trial.workload.counts().failed > 2, 10, "failures")
        del fake_client.errors["set"]
    quiet, moving = trial.stretches
    assert (quiet.failed, quiet.moved_bytes, quiet.ideal_bytes) == (0, 0, 0)
    assert moving.failed > 2
    assert moving.moved_bytes == 700
    assert moving.ideal_bytes == KEYS * (100 + len(trial.shape.keys[0])) // 2
    assert trial.p99_ms_of(before) > 0


def test_bytes_of_a_node_that_has_ended_still_count(trial: Trial, cluster: PretendedCluster) -> None:
    trial.start()
    with trial.stretch("moving"):
        cluster.received = 300
        trial.until(lambda: True, 1, "nothing")
        trial.until(iter([False, True]).__next__, 1, "one look")
        cluster.children[0].running = False
    assert trial.stretches[0].moved_bytes == 300


def test_waiting_has_an_end(trial: Trial) -> None:
    trial.start()
    with pytest.raises(StartFailed, match="the moon: not within"):
        trial.until(lambda: False, 0.05, "the moon")


def test_a_user_that_comes_to_grief_is_told(trial: Trial) -> None:
    trial.start()
    trial.workload.workers[0].crash = "ValueError: x"
    with pytest.raises(StartFailed, match="ValueError: x"):
        trial.finish()
    trial.workload.workers[0].crash = ""


def test_nobody_tells_how_large_records_are(trial: Trial, fake_client: FakeClient) -> None:
    trial.start()
    fake_client.reports["explain"] = {"copy": {"held": False}}
    with pytest.raises(StartFailed, match="how large"):
        trial.data_bytes()
