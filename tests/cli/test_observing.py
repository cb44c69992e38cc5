"""`scan`, `watch`, `hot` and `misses`: what is asked, what is added up, and what is printed."""

import json
from collections.abc import Callable

import pytest

from dynacache.client.watching import EventsLost, KeyEvent
from dynacache.errors import UnavailableError
from dynacache.types import KeyChange
from dynacache.wire.messages import GET
from tests.cli.conftest import Ran
from tests.cli.core_client import CoreClient
from tests.cli.fakes import FakeClient

Command = Callable[..., Ran]


def test_scan_prints_a_key_a_line(command: Command, fake_client: FakeClient) -> None:
    fake_client.values |= {b"user:1": 1, b"user:2": 2, b"page": 3, b"user:\xff": 4}
    assert command("scan", "user:") == Ran(0, "user:1\nuser:2\nuser:\\xff\n", "")
    assert command("scan", "user:", "--limit", "2").out == "user:1\nuser:2\n"
    assert command("scan", "--pattern", "u*", "--level", "quorum").code == 0
    assert fake_client.calls[-1] == ("scan", b"", b"u*", "quorum")
    document = json.loads(command("scan", "--output", "json").out)
    assert document == {"keys": ["page", "user:1", "user:2", {"base64": "dXNlcjr/"}], "count": 4}


def test_watch_prints_what_happens(command: Command, fake_client: FakeClient) -> None:
    fake_client.events = [
        KeyEvent(KeyChange.SET, b"user:1", 1.5, "n1"),
        EventsLost("n2", 3),
        EventsLost("n3", None),
        KeyEvent(KeyChange.EVICT, b"user:2", 2.0, "n1"),
    ]
    ran = command("watch", "user:", "--change", "set", "--change", "evict", "--limit", "2")
    assert fake_client.calls == [("subscribe", b"user:", ["set", "evict"])]
    first, second, third, fourth = ran.out.splitlines()
    assert first.split() == ["1970-01-01", "00:00:01.500", "set", "user:1", "(n1)"]
    assert second == "3 events of n2 lost: they were not taken in time"
    assert third.startswith("events of n3 may have been lost")
    assert fourth.split()[2:] == ["evict", "user:2", "(n1)"]
    lines = [json.loads(line) for line in command("watch", "--limit", "2", "--output", "json").out.splitlines()]
    assert lines[0] == {"change": "set", "key": "user:1", "at": 1.5, "node": "n1"}
    assert lines[1:3] == [{"lost": 3, "node": "n2"}, {"lost": None, "node": "n3"}]
    assert lines[-1] == {"events": 2, "lost": 3}
    assert command("watch", "--seconds", "0").out == ""


def test_hot_keys_of_all_members_are_added_up(command: Command, cores: CoreClient) -> None:
    for name, count in (("n1", 30), ("n2", 20)):
        for _ in range(count):
            cores.cluster.ask_many(name, [[GET, b"hot"] for _ in range(40)], 0.05)
            cores.cluster.ask_many(name, [[GET, b"\0\x04teamwarm"] for _ in range(8)], 0.0)
    ran = command("hot")
    assert ran.code == 0
    rows = [line.split() for line in ran.out.splitlines() if "hot" in line or "team/warm" in line]
    assert [row[0] for row in rows] == ["hot", "team/warm"]
    assert rows[0][-1] == "2"
    document = json.loads(command("hot", "--count", "1", "--output", "json").out)
    assert [(each["key"], each["namespace"]) for each in document["keys"]] == [("hot", "")]
    assert document["unanswered"] == {}


def test_misses_of_all_members_are_added_up(command: Command, cores: CoreClient) -> None:
    for name in ("n1", "n2"):
        cores.cluster.ask_many(name, [[GET, b"user:%d" % number] for number in range(5)])
        cores.cluster.ask_many(name, [[GET, b"page:1"], [GET, b"plain"]])
    ran = command("misses")
    assert ran.code == 0
    rows = {line.split()[0]: line.split()[1] for line in ran.out.splitlines() if len(line.split()) > 2}
    assert (rows["user"], rows["page"], rows["all"]) == ("10", "2", "14")
    assert "(no prefix)" in ran.out
    document = json.loads(command("misses", "--count", "1", "--output", "json").out)
    assert document["by_reason"]["never_written"] == 14
    assert [(each["prefix"], each["by_reason"]["never_written"]) for each in document["prefixes"]] == [("user", 10)]
    assert document["other"]["never_written"] == 4


def test_hot_says_so_when_nothing_was_sampled(command: Command, cores: CoreClient) -> None:
    assert "no read was in the sample lately" in command("hot").out


@pytest.mark.parametrize("name", ["hot", "misses"])
def test_a_member_that_does_not_answer_is_named(command: Command, cores: CoreClient, name: str) -> None:
    cores.cluster.kill("n3")
    cores.cluster.run(20.0)
    assert "n3 did not answer" in command(name).out


def test_errors_are_told_as_of_any_command(command: Command, fake_client: FakeClient) -> None:
    fake_client.errors["scan"] = UnavailableError("nobody is there")
    ran = command("scan")
    assert (ran.code, ran.err) == (4, "dynacache: nobody is there\n")
