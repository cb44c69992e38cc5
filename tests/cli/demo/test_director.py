"""The script of the demo, on pretended nodes: when it kills and restarts, what it writes down, when it passes."""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from dynacache.cli.demo import director
from dynacache.cli.demo_options import DemoOptions
from dynacache.cli.local_cluster import LocalCluster
from dynacache.cli.processes import StartFailed
from dynacache.errors import InvalidOption, NotEnoughReplicas
from tests.cli.fakes import FakeClient

WANTED = ("requests", "failed", "unknown", "lost_acknowledged_writes", "evicted", "hit_ratio", "p50_ms", "p99_ms")


@attrs.define
class PretendedChild:
    name: str
    pid: int = 1
    running: bool = True
    process: Any = None

    def said(self) -> str:
        return "last words"


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the demo did to its nodes, which are no processes."""
    events: list[str] = []

    def start(cluster: LocalCluster) -> None:
        events.append("start")
        cluster.children = [PretendedChild(address) for address in cluster.addresses]  # type: ignore[misc]

    def kill(cluster: LocalCluster, position: int) -> None:
        events.append(f"kill {position}")
        cluster.children[position].running = False  # type: ignore[misc]

    def restart(cluster: LocalCluster, position: int) -> None:
        events.append(f"restart {position}")
        cluster.children[position].running = True  # type: ignore[misc]

    monkeypatch.setattr(LocalCluster, "start", start)
    monkeypatch.setattr(LocalCluster, "kill", kill)
    monkeypatch.setattr(LocalCluster, "restart", restart)
    monkeypatch.setattr(LocalCluster, "wait_until_agreed", lambda cluster: 0.1)
    return events


@pytest.fixture
def cluster_client(fake_client: FakeClient) -> FakeClient:
    fake_client.reports |= {"status": {"members": []}, "statistics": {"storage_evicted": 2, "hints": {"a": 1}}}
    fake_client.reports["ready"] = {"ready": True, "warming_partitions": 4}
    return fake_client


def options(tmp_path: Path, **changes: Any) -> DemoOptions:
    base = DemoOptions(nodes=3, seconds=1.2, rate=400.0, workers=2, keys=50, json=tmp_path / "out.json")
    return attrs.evolve(base, **changes)


def test_a_demo_that_holds(played: list[str], cluster_client: FakeClient, tmp_path: Path, capsys: Any) -> None:
    assert director.run(options(tmp_path)) == 0
    assert played == ["start", "kill 1", "restart 1"]
    figures = json.loads((tmp_path / "out.json").read_text())
    for name in WANTED:
        assert isinstance(figures[name], int | float)
    assert figures["availability"] == 1.0
    assert 0.4 <= figures["killed_at_s"] < 0.7
    assert 0.8 <= figures["restarted_at_s"] < 1.1
    assert figures["acknowledged_writes"] > 0
    assert figures["evicted"] == 8, "two at each node, and two at the one that was killed"
    assert "nothing was lost" in capsys.readouterr().out


def test_a_demo_that_loses(played: list[str], cluster_client: FakeClient, tmp_path: Path, capsys: Any) -> None:
    cluster_client.unreadable = frozenset({b"demo:00000000"})
    assert director.run(options(tmp_path)) == 1
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["lost_acknowledged_writes"] > 0
    assert "NOT HELD" in capsys.readouterr().out


def test_a_demo_that_fails(played: list[str], cluster_client: FakeClient, tmp_path: Path, capsys: Any) -> None:
    cluster_client.errors["get"] = NotEnoughReplicas("1 of 2")
    assert director.run(options(tmp_path)) == 1
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["failed"] == figures["reads"] > 0
    assert 0 < figures["availability"] < 1
    assert "NotEnoughReplicas: 1 of 2" in capsys.readouterr().out


def test_a_node_that_ends_by_itself_ends_the_demo(
    played: list[str], cluster_client: FakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def check(_: LocalCluster) -> float:
        raise StartFailed("node-1 ended with exit code 10: taken")

    monkeypatch.setattr(LocalCluster, "wait_until_agreed", check)
    assert director.run(options(tmp_path)) == 1
    assert "exit code 10: taken" in capsys.readouterr().err


def test_figures_that_could_not_be_written_are_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="--json"):
        director.run(options(tmp_path, json=tmp_path / "none" / "out.json"))


def test_a_trace_becomes_positions(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    path.write_text("b\na\nb\n")
    shape = director.shape_of(options(tmp_path, trace=path))
    assert (shape.keys, shape.trace) == ((b"b", b"a"), (0, 1, 0))
    assert shape.rate == 400.0
    assert director.shape_of(options(tmp_path, trace=path, rate=None)).rate == 3 / 1.2
    assert director.shape_of(options(tmp_path, rate=None)).rate == 1500.0
    for content in ("", "\n"):
        path.write_text(content)
        with pytest.raises(InvalidOption, match="--trace"):
            director.shape_of(options(tmp_path, trace=path))
