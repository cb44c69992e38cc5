"""`scan`, `watch`, `hot` and `misses` as command lines: options, namespaces, mistakes."""

from collections.abc import Callable

import pytest

from tests.cli.conftest import Ran
from tests.cli.fakes import FakeClient

Command = Callable[..., Ran]


@pytest.mark.parametrize("name", ["scan", "watch", "hot", "misses"])
def test_each_has_help(command: Command, name: str) -> None:
    ran = command(name, "--help")
    assert ran.code == 0
    assert f"dynacache {name}" in ran.out


def test_the_namespace_is_an_option_of_those_about_keys(command: Command, fake_client: FakeClient) -> None:
    assert command("scan", "--namespace", "team").code == 0
    assert fake_client.calls[0] == ("namespace", "team")
    assert command("hot", "--namespace", "team").code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("scan", "--level", "strong"),
        ("scan", "--limit", "many"),
        ("watch", "--change", "sets"),
        ("hot", "--count", "x"),
        ("scan", "--limit", "-1"),
        ("watch", "--limit", "-1"),
        ("hot", "--count", "0"),
        ("misses", "--count", "-1"),
    ],
)
def test_mistakes_are_one_sentence(command: Command, fake_client: FakeClient, arguments: tuple[str, ...]) -> None:
    ran = command(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
