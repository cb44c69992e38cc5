"""Commands on a real cluster: written through one node, read through another."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dynacache.cli import main
from dynacache.cli.local_cluster import LocalCluster
from dynacache.cli.processes import ProcessGroup

pytestmark = pytest.mark.processes
Command = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Three nodes that agree."""
    with ProcessGroup() as group:
        started = LocalCluster(group, 3, "128MiB")
        started.start()
        started.wait_until_agreed()
        yield started
        started.close()


@pytest.fixture
def through(cluster: LocalCluster, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command through the node at a position; returns exit code and output."""

    def run(position: int, *arguments: str) -> tuple[int, str]:
        code = main((*arguments, "--server", cluster.addresses[position]))
        captured = capsys.readouterr()
        return code, captured.out or captured.err

    return run


def test_values_travel_between_nodes(through: Command, tmp_path: Path) -> None:
    assert through(0, "set", "greeting", "hello") == (0, "stored\n")
    assert through(1, "get", "greeting") == (0, "hello\n")
    assert through(2, "delete", "greeting") == (0, "deleted\n")
    code, said = through(0, "get", "greeting")
    assert (code, said) == (3, "key 'greeting' not found (deleted)\n")
    (tmp_path / "in").write_bytes(b"\x00\xff\r\n")
    assert through(1, "set", "raw", "--raw-file", str(tmp_path / "in"))[0] == 0
    assert through(2, "get", "raw", "--raw-file", str(tmp_path / "out"), "--level", "quorum")[0] == 0
    assert (tmp_path / "out").read_bytes() == b"\x00\xff\r\n"
    assert through(0, "set", "document", '{"a": [1, null]}', "--json", "--level", "all")[0] == 0
    assert json.loads(through(1, "get", "document", "--output", "json")[1])["value"] == {"a": [1, None]}


def test_conditions_and_counters(through: Command) -> None:
    assert through(0, "set", "once", "1", "--if-absent")[0] == 0
    assert through(1, "set", "once", "2", "--if-absent")[0] == 3
    assert through(2, "set", "never", "2", "--if-present")[0] == 3
    assert [through(position, "increment", "visits", "5")[1] for position in range(3)] == ["5\n", "10\n", "15\n"]
    assert through(0, "increment", "once")[0] == 2


def test_expiry(through: Command) -> None:
    assert through(0, "set", "brief", "x", "--ttl", "100")[0] == 0
    assert 90 < float(through(1, "ttl", "brief")[1]) <= 100
    assert through(2, "touch", "brief", "500") == (0, "touched\n")
    assert 490 < float(through(0, "ttl", "brief", "--level", "quorum")[1]) <= 500
    assert through(1, "exists", "brief") == (0, "yes\n")
    assert through(1, "exists", "nothing", "--level", "all") == (3, "no\n")


def test_everything_about_a_value(through: Command) -> None:
    through(0, "set", "known", "x")
    record = json.loads(through(1, "fetch", "known", "--level", "quorum", "--output", "json")[1])
    assert record["value"] == "x"
    assert record["version"]
    assert len(record["receipt"]["answered"]) >= 2
    assert record["receipt"]["level"] == "quorum"
    assert record["created_at"] <= record["last_updated"]
    assert json.loads(through(2, "mget", "known", "unknown", "--output", "json")[1]) == {
        "found": {"known": "x"},
        "missing": ["unknown"],
    }


def test_the_cluster_is_shown(through: Command, cluster: LocalCluster) -> None:
    status = json.loads(through(1, "cluster", "status", "--output", "json")[1])
    assert status["node"] == cluster.addresses[1]
    assert [member["state"] for member in status["members"]] == ["alive"] * 3
    code, shown = through(0, "cluster", "status")
    assert code == 0
    assert all(address in shown for address in cluster.addresses)
    owners = [json.loads(through(position, "cluster", "owners", "k", "--output", "json")[1]) for position in range(3)]
    assert owners[0] == owners[1] == owners[2]
    assert sorted(owners[0]["owners"]) == sorted(cluster.addresses)
    assert through(2, "ready") == (0, "ready, 0 partitions warming\n")


def test_nobody_there(through: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("get", "k", "--server", "127.0.0.1:1", "--timeout", "0.3")) == 4
    assert capsys.readouterr().err.count("\n") == 1
