"""Asking around: everybody is in the result, whether it answered or not."""

import pytest

from dynacache.cli.asking import Member, ask_all, order_all, survey
from dynacache.errors import InvalidRequest
from tests.cli.core_client import CoreClient


def test_everybody_is_asked_at_its_own_address(cores: CoreClient) -> None:
    seen = survey(cores, "n2:1")
    assert [(member.node, member.address) for member in seen.members] == [
        ("n1", "n1:1"),
        ("n2", "n2:1"),
        ("n3", "n3:1"),
    ]
    answers = ask_all(cores, seen.members, "node")
    assert [(node, each.report["node"], each.error) for node, each in answers.items()] == [
        (name, name, "") for name in ("n1", "n2", "n3")
    ]
    assert ("report", "status", "n2:1") in cores.calls


def test_silence_is_an_answer_too(cores: CoreClient) -> None:
    cores.cluster.kill("n3")
    answers = ask_all(cores, survey(cores, None).members, "node")
    assert answers["n3"].report == {}
    assert "refused" in answers["n3"].error
    assert answers["n1"].report


@pytest.mark.parametrize(
    ("state", "place"), [("dead", "normal"), ("left", "normal"), ("alive", "left"), ("dead", "removed")]
)
def test_who_is_held_dead_or_is_gone_is_not_waited_for(cores: CoreClient, state: str, place: str) -> None:
    answers = ask_all(cores, [Member("n9", "n9:1", state, place)], "node")
    assert answers["n9"].error == f"{state}, not asked"
    assert cores.calls == []


def test_orders_to_all_and_their_errors(cores: CoreClient) -> None:
    members = survey(cores, None).members
    answers = order_all(cores, members, "handoff_limit", {"bytes_per_s": 5})
    assert {each.report["limit_bytes_per_s"] for each in answers.values()} == {5}
    refused = order_all(cores, members, "handoff_limit", {"bytes_per_s": -5})
    assert all("got -5" in each.error for each in refused.values())
    assert order_all(cores, [], "repair", {}) == {}


def test_a_name_that_is_none_is_told_with_those_there_are(cores: CoreClient) -> None:
    with pytest.raises(InvalidRequest, match="join: got 'n9', expected one of n1, n2, n3"):
        survey(cores, None).member("n9", "join")
