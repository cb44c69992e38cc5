"""The command line as a whole: usage errors, help, speed of starting, the entry point as a module."""

import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from dynacache.cli import app
from tests.cli.conftest import Ran
from tests.cli.fakes import FakeClient

Command = Callable[..., Ran]
COMMANDS = ("serve", "get", "set", "delete", "ttl", "touch", "mget", "increment", "exists", "fetch", "explain")
OTHERS = ("cluster", "repair", "hints", "handoff", "ready", "demo", "bench", "sim")


@pytest.mark.parametrize(
    "arguments",
    [
        ("get",),
        ("get", "k", "--nonsense"),
        ("nonsense",),
        ("get", "k", "--level", "most"),
        ("get", "k", "--output", "xml"),
        ("touch", "k", "soon"),
        ("serve", "--port", "many"),
        ("serve", "--set", "nonsense"),
        ("serve", "--memory", "lots"),
        ("serve", "--secret", "a", "--secret-file", "b"),
        ("demo", "--nodes", "2"),
        ("bench", "--depth", "0"),
        ("sim", "--seed", "many"),
        ("sim", "run"),
        ("sim", "--seed", "1", "--set", "nonsense=1"),
    ],
)
def test_usage_errors_are_one_sentence_and_code_two(command: Command, arguments: tuple[str, ...]) -> None:
    ran = command(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("dynacache: ")
    assert ran.err.count("\n") == 1


def test_help_names_every_command(command: Command) -> None:
    ran = command("--help")
    assert ran.code == 0
    for name in (*COMMANDS, *OTHERS):
        assert f" {name} " in ran.out


@pytest.mark.parametrize("name", [*COMMANDS, *OTHERS])
def test_every_command_has_help(command: Command, name: str) -> None:
    ran = command(name, "--help")
    assert ran.code == 0
    assert f"dynacache {name}" in ran.out


def test_an_interrupt_is_no_traceback(command: Command, fake_client: FakeClient) -> None:
    fake_client.errors["exists"] = KeyboardInterrupt()
    assert command("exists", "k").code == 130


def test_status_and_ready_ask_the_server_that_was_named(command: Command, fake_client: FakeClient) -> None:
    fake_client.reports |= {"ready": {"ready": True}, "status": {}, "owners": {}}
    assert command("ready", "--server", "a:1").code == 0
    assert command("cluster", "status", "--server", "b:2").code == 0
    assert command("cluster", "owners", "k").code == 0
    assert fake_client.calls == [("report", "ready", "a:1"), ("report", "status", "b:2"), ("owners", "k")]


def test_of_several_servers_whichever_answers_tells_of_the_cluster(command: Command, fake_client: FakeClient) -> None:
    fake_client.reports |= {"status": {}}
    assert command("cluster", "status", "--server", "a:1", "--server", "b:2").code == 0
    assert fake_client.calls == [("report", "status", None)]


def test_help_starts_neither_client_nor_node() -> None:
    program = (
        "import sys; from dynacache.cli import main; main(['--help'])\n"
        "late = {'trio', 'anyio', 'msgpack', 'dynacache.node', 'dynacache.simulator'}\n"
        "print('LOADED', sorted(late & set(sys.modules)))"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert ran.stdout.endswith("LOADED []\n")


def test_it_runs_as_a_module() -> None:
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    command = [sys.executable, "-m", "dynacache", "touch"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ran.returncode == 2
    assert ran.stderr.startswith("dynacache: ")


def test_the_simulator_is_one_of_the_commands(command: Command) -> None:
    ran = command("sim", "--seed", "1", "--no-faults", "--duration-s", "1", "--nodes", "3")
    assert ran.code == 0, ran
    assert re.fullmatch(r"seed 1 trace [0-9a-f]{32} held", ran.out.splitlines()[-1])


def test_the_application_is_the_exported_one() -> None:
    assert app.app["get"].default_command is not None
