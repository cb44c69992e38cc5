"""Joins, leaves, drains and removals, from the order to the end, on real node cores in virtual time."""

import io
import sys
from typing import Any

import attrs
import pytest

from dynacache.cli import changing
from dynacache.errors import InvalidOption, InvalidRequest, UnavailableError
from tests.cli.core_client import CoreClient


def places(cores: CoreClient) -> dict[str, str]:
    rows = cores.report("status")["members"]
    return {row["node"]: row["place"] for row in rows}


@pytest.fixture
def fourth(cores: CoreClient) -> CoreClient:
    """Three owners, and n4 that serves without a place."""
    cores.cluster.join("n4")
    cores.pause(3.0)
    return cores


def test_a_join_that_is_not_watched_only_begins(fourth: CoreClient) -> None:
    answer = changing.join(fourth, "n4", wait=False)
    assert "n4 joins: outside, asked to join" in answer.text
    assert places(fourth)["n4"] == "outside"
    assert ("command", "join", {"node": "n4"}, "n4:1") in fourth.calls


def test_a_join_then_a_leave_are_watched_to_their_ends(fourth: CoreClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert changing.join(fourth, "n4", wait=True).text == "n4 has joined"
    assert places(fourth)["n4"] == "normal"
    said = capsys.readouterr().err
    assert "n4: outside, asked to join" in said
    assert said.endswith("n4: normal\n")
    assert changing.leave(fourth, "n4", wait=True).text == "n4 has left and ended"
    assert "n4" not in fourth.cluster.nodes
    assert places(fourth)["n4"] == "left"
    assert "n4: leaving" in capsys.readouterr().err


@attrs.define
class InterruptedAfterTheOrder(CoreClient):
    """Somebody types Ctrl-C as soon as the order is given."""

    def command(self, name: str, arguments: Any = None, **options: Any) -> Any:
        told = super().command(name, arguments, **options)
        self.errors["report"] = KeyboardInterrupt()
        return told


def test_a_leave_that_is_interrupted_goes_on(fourth: CoreClient, capsys: pytest.CaptureFixture[str]) -> None:
    changing.join(fourth, "n4", wait=True)
    with pytest.raises(KeyboardInterrupt):
        changing.leave(InterruptedAfterTheOrder(cluster=fourth.cluster), "n4", wait=True)
    assert "n4 goes on leaving by itself" in capsys.readouterr().err
    fourth.pause(60.0)
    assert places(fourth)["n4"] == "left"


def test_a_drain_is_watched_and_taken_back(cores: CoreClient) -> None:
    answer = changing.drain(cores, "n2", undo=False, wait=True)
    assert "may be stopped" in answer.text
    assert cores.report("node", address="n2:1")["drained"] is True
    assert changing.drain(cores, "n2", undo=True, wait=False).text == "n2 serves again"
    assert cores.report("ready", address="n2:1")["ready"] is True
    assert "serves no clients any more" in changing.drain(cores, "n3", undo=False, wait=False).text


def test_a_dead_member_is_removed(fourth: CoreClient) -> None:
    changing.join(fourth, "n4", wait=True)
    with pytest.raises(InvalidRequest, match="n4 is alive, only a dead or stopped member"):
        changing.remove(fourth, "n4", wait=True)
    fourth.cluster.kill("n4")
    fourth.pause(40.0)
    assert "was removed" in changing.remove(fourth, "n4", wait=True).text
    assert places(fourth)["n4"] == "removed"


def test_a_node_that_is_down_takes_no_orders(fourth: CoreClient) -> None:
    fourth.cluster.kill("n4")
    fourth.pause(40.0)
    for order in (changing.join, changing.leave):
        with pytest.raises(UnavailableError, match="n4 is dead; it takes no commands"):
            order(fourth, "n4", wait=False)
    with pytest.raises(InvalidRequest, match="drain: got 'n9', expected one of n1, n2, n3, n4"):
        changing.drain(fourth, "n9", undo=False, wait=False)


def test_a_removal_is_confirmed_by_option_or_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    changing.confirm_removal("n4", yes=True)
    with pytest.raises(InvalidOption, match="expected --yes"):
        changing.confirm_removal("n4", yes=False)
    for typed, confirmed in (("n4\n", True), ("n3\n", False), ("", False)):
        monkeypatch.setattr(sys, "stdin", Terminal(typed))
        if confirmed:
            changing.confirm_removal("n4", yes=False)
        else:
            with pytest.raises(InvalidOption, match="nothing was changed"):
                changing.confirm_removal("n4", yes=False)


class Terminal(io.StringIO):
    """Somebody types."""

    def isatty(self) -> bool:
        return True
