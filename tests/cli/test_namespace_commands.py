"""Command lines about namespaces, and keys of a namespace: what the options become."""

from collections.abc import Callable

import pytest

from tests.cli.conftest import Ran
from tests.cli.fakes import FakeClient

Command = Callable[..., Ran]
TOLD = {"name": "web", "version": 7, "settings": {"sliding": True}}


def test_settings_become_one_order(command: Command, fake_client: FakeClient) -> None:
    fake_client.reports["namespace_set"] = TOLD
    line = (
        "--default-ttl",
        "1.5",
        "--sliding",
        "--no-key-events",
        "--eviction",
        "lru",
        "--version",
        "3",
        "--level",
        "all",
    )
    assert command("namespaces", "set", "web", *line) == Ran(0, "web: sliding yes (version 7)\n", "")
    options = {"default_ttl_ms": 1_500, "sliding": True, "key_events": False, "eviction": "lru"}
    arguments = {"name": "web", "options": options, "write_level": 4, "version": 3}
    assert fake_client.calls == [("command", "namespace_set", arguments, None)]


def test_a_drop(command: Command, fake_client: FakeClient) -> None:
    fake_client.reports["namespace_drop"] = {**TOLD, "name": "", "settings": {}}
    assert command("namespaces", "drop", ".") == Ran(0, ".: defaults (version 7); what it held is invalidated\n", "")
    assert fake_client.calls == [("command", "namespace_drop", {"name": "", "write_level": 2}, None)]


@pytest.mark.parametrize(
    "line", [("set", "web"), ("set", "Web", "--sliding"), ("set", "web", "--mode", "none"), ("drop", "")]
)
def test_mistakes_end_in_one_sentence(command: Command, fake_client: FakeClient, line: tuple[str, ...]) -> None:
    ran = command("namespaces", *line)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert fake_client.calls == []


@pytest.mark.parametrize("line", [("get", "k"), ("set", "k", "v"), ("delete", "k"), ("increment", "c"), ("mget", "k")])
def test_commands_on_keys_take_a_namespace(
    command: Command, fake_client: FakeClient, line: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_client.values = {b"k": "v"}
    assert command(*line, "--namespace", "web").code == 0
    assert fake_client.calls[0] == ("namespace", "web")
    fake_client.calls.clear()
    monkeypatch.setenv("DYNACACHE_NAMESPACE", "shop")
    assert command(*line).code == 0
    assert fake_client.calls[0] == ("namespace", "shop")
