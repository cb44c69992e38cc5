"""Command lines on keys: what the options become, what comes out, with which exit code."""

import json
from collections.abc import Callable

import pytest

from dynacache.cli.session import Connection
from dynacache.errors import ConnectionLost, NotEnoughReplicas, TooManySiblings
from tests.cli.conftest import Ran
from tests.cli.fakes import FakeClient

Command = Callable[..., Ran]


def test_set_then_get(command: Command, fake_client: FakeClient) -> None:
    assert command("set", "k", "v", "--ttl", "5", "--level", "all") == Ran(0, "stored\n", "")
    assert fake_client.calls == [("set", "k", "v", 5.0, "all")]
    assert command("get", "k") == Ran(0, "v\n", "")
    assert json.loads(command("get", "k", "--output", "json").out) == {"key": "k", "found": True, "value": "v"}


def test_a_missing_key(command: Command, fake_client: FakeClient) -> None:
    ran = command("get", "k")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == "key 'k' not found (never written)\n"
    assert json.loads(command("get", "k", "--output", "json").out)["found"] is False


def test_values_that_look_like_options(command: Command, fake_client: FakeClient) -> None:
    assert command("set", "k", "--", "--v").code == 0
    assert fake_client.values == {b"k": "--v"}


def test_json_values(command: Command, fake_client: FakeClient) -> None:
    assert command("set", "k", "[1, 2]", "--json").code == 0
    assert fake_client.values == {b"k": [1, 2]}
    assert command("set", "k", "[1,", "--json").code == 2


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (("delete", "k"), ("delete", "k", None)),
        (("exists", "k", "--level", "one"), ("exists", "k", "one")),
        (("ttl", "k"), ("fetch", "k", None, False, False)),
        (("touch", "k", "2.5"), ("touch", "k", 2.5, None)),
        (("increment", "n", "-4"), ("increment", "n", -4, None, None)),
        (("increment", "n"), ("increment", "n", 1, None, None)),
        (("mget", "k", "n"), ("get_many", ("k", "n"), None)),
        (("fetch", "k", "--siblings"), ("fetch", "k", None, True, True)),
    ],
)
def test_what_is_asked(command: Command, fake_client: FakeClient, arguments: tuple[str, ...], call: object) -> None:
    fake_client.values |= {b"k": "v", b"n": 1}
    assert command(*arguments).code == 0
    assert fake_client.calls == [call]
    assert fake_client.closed


def test_conditions(command: Command, fake_client: FakeClient) -> None:
    assert command("set", "k", "v", "--if-present").code == 3
    assert command("set", "k", "v", "--if-absent").code == 0
    assert command("set", "k", "v", "--if-absent", "--if-present").code == 2


@pytest.mark.parametrize(
    ("error", "code"), [(NotEnoughReplicas("two of three"), 4), (ConnectionLost("gone"), 5), (TooManySiblings("8"), 2)]
)
def test_errors_of_the_cluster(command: Command, fake_client: FakeClient, error: Exception, code: int) -> None:
    fake_client.errors["set"] = error
    assert command("set", "k", "v") == Ran(code, "", f"dynacache: {error}\n")
    assert fake_client.closed


def test_where_the_servers_come_from(
    command: Command, fake_client: FakeClient, opened: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    command("exists", "k")
    monkeypatch.setenv("DYNACACHE_SERVER", "a:1 b:2")
    command("exists", "k")
    command("exists", "k", "--server", "c:3", "--server", "d:4", "--timeout", "0.5")
    assert [each.server for each in opened] == [("127.0.0.1:7400",), ("a:1", "b:2"), ("c:3", "d:4")]
    assert opened[-1].timeout == 0.5
