"""The operator's command lines: options, output, exit codes; from the words typed to node cores and back."""

import json
from collections.abc import Callable

import pytest

from tests.cli.conftest import Ran
from tests.cli.core_client import CoreClient

Command = Callable[..., Ran]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("cluster", "status"), 0, "3 members"),
        (("cluster", "members"), 0, "member table"),
        (("cluster", "owners", "key"), 0, "owner"),
        (("cluster", "plan", "--join", "n4"), 0, "nothing is changed"),
        (("cluster", "drain", "n2"), 0, "n2 serves no clients any more"),
        (("cluster", "drain", "n2", "--undo"), 0, "n2 serves again"),
        (("repair", "start"), 0, "n3: begins to compare all partitions"),
        (("repair", "start", "--partition", "1", "--partition", "2", "--wait"), 0, "n1: compared partition 1, 2"),
        (("repair", "status"), 0, "settled leaves"),
        (("hints", "list"), 0, "ended so far"),
        (("handoff", "status"), 0, "transfers"),
        (("handoff", "limit", "8MiB", "--node", "n1"), 0, "n1: holds transfers to 8.0 MiB/s"),
        (("explain", "key"), 0, "never written"),
    ],
)
def test_each_command_answers(
    command: Command, cores: CoreClient, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ran = command(*arguments)
    assert (ran.code, said in ran.out) == (code, True), ran
    document = command(*arguments, "--output", "json")
    assert document.code == code
    json.loads(document.out)
    assert document.out.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("cluster", "plan"), 2, "expected --join, --leave or --remove"),
        (("cluster", "plan", "--join", "n1"), 2, "n1 is a member already"),
        (("cluster", "join", "n9"), 2, "expected one of n1, n2, n3"),
        (("cluster", "join"), 2, "--help"),
        (("cluster", "remove", "n1"), 2, "expected --yes"),
        (("cluster", "remove", "n1", "--yes"), 2, "only a dead or stopped member can be removed"),
        (("repair", "start", "--partition", "1024"), 2, "expected 0 to 1023"),
        (("handoff", "limit", "fast"), 2, "expected bytes or a size"),
        (("handoff", "limit", "0"), 4, "expected a number of bytes a second above 0"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_a_code(
    command: Command, cores: CoreClient, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ran = command(*arguments)
    assert (ran.code, ran.out.strip()) == (code, ""), ran
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_joining_and_leaving_from_the_command_line(command: Command, cores: CoreClient) -> None:
    cores.cluster.join("n4")
    cores.pause(3.0)
    ran = command("cluster", "join", "n4", "--wait", "--output", "json")
    assert (ran.code, json.loads(ran.out)["state"]) == (0, "normal")
    assert "n4: " in ran.err, "progress is told beside the answer"
    assert command("cluster", "leave", "n4", "--wait").out == "n4 has left and ended\n"
    assert "3 members" in command("cluster", "status").out
    assert "left" in command("cluster", "members").out


@pytest.mark.parametrize("name", ["status", "members", "owners", "plan", "join", "leave", "drain", "remove"])
def test_every_command_of_the_cluster_has_help(command: Command, name: str) -> None:
    ran = command("cluster", name, "--help")
    assert ran.code == 0
    assert f"dynacache cluster {name}" in ran.out
