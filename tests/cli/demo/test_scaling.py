"""The script in which a node joins and leaves, on pretended nodes."""

from typing import Any

import attrs
import pytest

from dynacache.cli.demo.scaling import OVERTIME_S, Scaling
from dynacache.cli.processes import StartFailed


@attrs.define
class PretendedProcess:
    returncode: int | None = None


@attrs.define
class PretendedChild:
    name: str = "node-4"
    process: PretendedProcess = attrs.field(factory=PretendedProcess)

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    def said(self) -> str:
        return "last words"


@attrs.define
class PretendedCluster:
    """Three nodes, and what was done to it."""

    addresses: list[str] = attrs.field(factory=lambda: ["a", "b", "c"])
    children: list[Any] = attrs.field(factory=lambda: [PretendedChild() for _ in range(3)])
    state: str = "outside"
    done: list[Any] = attrs.field(factory=list)

    def add(self) -> int:
        self.done.append("add")
        self.addresses.append("d")
        self.children.append(PretendedChild())
        return 3

    def report(self, position: int, topic: str) -> dict[str, str]:
        return {"state": self.state}

    def order(self, position: int, command: str, **arguments: str) -> None:
        self.done.append((position, command, arguments))

    def forget(self, position: int) -> None:
        self.done.append("forget")


def scaling_of(cluster: PretendedCluster, said: list[str]) -> Scaling:
    return Scaling(cluster, said.append, 30.0, {})  # type: ignore[arg-type]


def test_a_node_comes_and_goes() -> None:
    cluster, said = PretendedCluster(), list[str]()
    scaling = scaling_of(cluster, said)
    for elapsed in (0.0, 9.9):
        scaling.step(elapsed)
    assert cluster.done == []
    scaling.step(10.0)
    scaling.step(25.0)
    assert (scaling.phase, cluster.done) == ("one node joins", ["add"])
    cluster.state = "normal"
    scaling.step(26.0)
    scaling.step(27.0)
    assert cluster.done[-1] == (3, "leave", {"node": "d"})
    scaling.step(35.0)
    assert "left_at_s" not in scaling.events, "it is waited for beyond the end"
    cluster.children[3].process.returncode = 0
    scaling.step(36.0)
    assert scaling.is_over
    assert cluster.done[-1] == "forget"
    assert scaling.events == {"started_at_s": 10.0, "joined_at_s": 26.0, "leave_asked_at_s": 27.0, "left_at_s": 36.0}
    assert len(said) == 4
    scaling.step(500.0)


def test_it_does_not_leave_before_its_time() -> None:
    cluster = PretendedCluster(state="normal")
    scaling = scaling_of(cluster, [])
    for elapsed in (10.0, 11.0, 19.0):
        scaling.step(elapsed)
    assert (scaling.phase, scaling.is_leaving) == ("one node more", False)


@pytest.mark.parametrize("code", [1, -9])
def test_a_node_that_ends_in_another_way_ends_the_demo(code: int) -> None:
    cluster = PretendedCluster(state="normal")
    scaling = scaling_of(cluster, [])
    for elapsed in (10.0, 11.0, 20.0):
        scaling.step(elapsed)
    cluster.children[3].process.returncode = code
    with pytest.raises(StartFailed, match=f"exit code {code}: last words"):
        scaling.step(21.0)


def test_what_never_ends_is_told() -> None:
    scaling = scaling_of(PretendedCluster(), [])
    scaling.step(10.0)
    with pytest.raises(StartFailed, match="one node joins: not over within"):
        scaling.step(31.0 + OVERTIME_S)
