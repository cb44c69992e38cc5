"""An idle cluster is measured with repair and without, and asked nothing meanwhile. Real nodes: `bench --rest`."""

from typing import Any

import pytest

from dynacache.cli.bench import idle
from dynacache.cli.bench.idle import NO_REPAIR, idle_figures, idle_share
from dynacache.cli.processes import StartFailed
from tests.cli.bench.pretended import PretendedCluster
from tests.cli.fakes import FakeClient


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "_SETTLE_S", 0.0)


def test_with_and_without_repair(fake_client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    settings_given: list[Any] = []

    def pretended(group: object, nodes: int, memory: str, settings: Any) -> PretendedCluster:
        settings_given.append(settings)
        return PretendedCluster(nodes)

    clock = iter(range(1000))
    monkeypatch.setattr(idle, "LocalCluster", pretended)
    monkeypatch.setattr(idle, "cpu_seconds", lambda pid: next(clock) * 0.001)
    figures = idle_figures(3, 300, 0.05, "1GiB", lambda _: None)
    assert settings_given == [(), NO_REPAIR]
    assert (figures.nodes, figures.keys) == (3, 300)
    # Three readings lie between two readings of the same node.
    assert 0.03 < figures.with_repair <= 0.06
    assert len(fake_client.values) == 300
    assert fake_client.closed


def test_a_system_that_does_not_tell(fake_client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "cpu_seconds", lambda pid: None)
    cluster: Any = PretendedCluster(3)
    with pytest.raises(StartFailed, match="does not tell"):
        idle_share(cluster, 10, 0.01, lambda _: None)
