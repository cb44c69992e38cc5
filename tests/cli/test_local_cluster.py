"""When nodes count as agreed, what is started how, and a node that ends too early. The real thing: tests/processes."""

import sys
from typing import Any

import pytest

from dynacache.cli.local_cluster import LocalCluster, agreed
from dynacache.cli.processes import ProcessGroup, StartFailed
from tests.cli.fakes import FakeClient


def report(cluster: str = "c", states: str = "alive alive alive", ready: bool = True, linked: bool = True) -> Any:
    members = [
        {"node": f"n{number}", "place": "normal", "state": state, "linked": linked}
        for number, state in enumerate(states.split())
    ]
    return {"cluster": cluster, "members": members, "ready": ready}


def test_three_that_see_the_same_three_agree() -> None:
    assert agreed([report()] * 3, 3)


@pytest.mark.parametrize(
    "other",
    [
        {},
        report(cluster="d"),
        report(states="alive alive"),
        report(states="alive suspect alive"),
        report(ready=False),
        report(linked=False),
    ],
)
def test_one_that_sees_something_else_does_not(other: Any) -> None:
    assert not agreed([report(), report(), other], 3)


def test_a_different_place_is_no_agreement() -> None:
    other = report()
    other["members"][0]["place"] = "leaving"
    assert not agreed([report(), other], 3)


def started(group: ProcessGroup, monkeypatch: pytest.MonkeyPatch) -> tuple[LocalCluster, list[list[str]]]:
    """A cluster whose nodes are sleeping processes, and the commands that were meant for them."""
    commands: list[list[str]] = []
    real_start = group.start

    def start(name: str, command: list[str]) -> Any:
        commands.append(list(command))
        return real_start(name, [sys.executable, "-c", "import time; time.sleep(60)"])

    monkeypatch.setattr(group, "start", start)
    cluster = LocalCluster(group, 3, "64MiB")
    cluster.start()
    return cluster, commands


def test_founders_name_each_other_and_a_restart_names_one_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    with ProcessGroup() as group:
        cluster, commands = started(group, monkeypatch)
        for position, command in enumerate(commands):
            assert command[:4] == [sys.executable, "-m", "dynacache", "serve"]
            assert command[command.index("--founders") + 1] == "3"
            seeds = [command[at + 1] for at, word in enumerate(command) if word == "--seed"]
            assert seeds == [address for at, address in enumerate(cluster.addresses) if at != position]
        cluster.kill(2)
        assert not cluster.children[2].running
        cluster.restart(2)
        assert "--founders" not in commands[-1]
        assert commands[-1].count("--seed") == 1
        assert str(cluster.ports[2]) in commands[-1]
        assert cluster.addresses[0] in commands[-1]


def test_one_joins_and_one_leaves(fake_client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with ProcessGroup() as group:
        cluster, commands = started(group, monkeypatch)
        founders = cluster.addresses
        assert cluster.add() == 3
        assert "cluster.join=true" in commands[-1]
        assert [commands[-1][at + 1] for at, word in enumerate(commands[-1]) if word == "--seed"] == list(founders)
        assert len(set(cluster.addresses)) == 4
        fake_client.reports["leave"] = {"state": "leaving"}
        assert cluster.order(3, "leave", node="x") == {"state": "leaving"}
        assert fake_client.calls[-1] == ("command", "leave", {"node": "x"}, cluster.addresses[3])
        assert cluster.terminate(3) != 0
        cluster.forget(3)
        assert (cluster.addresses, len(cluster.children)) == (founders, 3)
        cluster.close()


def test_waiting_asks_every_node_and_has_an_end(fake_client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with ProcessGroup() as group:
        cluster, _ = started(group, monkeypatch)
        fake_client.reports["status"] = report()
        assert cluster.wait_until_agreed(5.0) < 5
        assert [call[2] for call in fake_client.calls] == list(cluster.addresses)
        fake_client.reports["status"] = report(states="alive")
        with pytest.raises(StartFailed, match="did not agree"):
            cluster.wait_until_agreed(0.05)
        cluster.kill(1)
        with pytest.raises(StartFailed, match="exit code -9"):
            cluster.wait_until_agreed(5.0)
        cluster.close()
    assert fake_client.closed
