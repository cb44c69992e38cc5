"""The commands: last lines, exit codes, JSON, options that are fixed or refused."""

import json
import re
from typing import Any

import pytest

from dynacache.errors import InvalidOption
from sim.cli import app, main


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, str]:
    code = app(list(arguments), result_action="return_value")
    return code, capsys.readouterr().out


def test_one_seed_ends_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = _run(capsys, "--seed", "3", "--duration-s", "1", "--nodes", "3")
    assert code == 0
    assert re.fullmatch(r"seed 3 trace [0-9a-f]{32} held", text.splitlines()[-1])


def test_one_seed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = _run(capsys, "--seed", "3", "--duration-s", "1", "--nodes", "3", "--output", "json")
    told = json.loads(text)
    assert (code, told["seed"], told["verdict"], told["violations"]) == (0, 3, "held", [])


def test_many_end_with_one_summary_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = _run(capsys, "run", "--seeds", "2", "--first", "5", "--jobs", "1", "--duration-s", "1", "--no-faults")
    assert code == 0
    assert re.fullmatch(r"2 seeds: 2 held, 0 violated, 0 unknown; \d+ operations, .*", text.splitlines()[-1])


def test_the_schedule_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    _, text = _run(capsys, "--seed", "28", "--duration-s", "2", "--schedule")
    assert all(len(fault) == 3 for fault in json.loads(text.splitlines()[0]))


@pytest.mark.parametrize("setting", ["unheard_of=1", "keys=many", "startup_faults=perhaps"])
def test_an_option_that_is_none_is_refused_by_name(setting: str) -> None:
    with pytest.raises(InvalidOption, match=setting.split("=")[0]):
        app(["--seed", "1", "--set", setting], result_action="return_value")


@pytest.mark.parametrize("arguments", [("--sed", "1"), ("run",), ("--seed", "1", "--set", "unheard_of=1")])
def test_a_mistake_is_one_sentence_and_no_verdict(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert told.err.startswith("sim: ")


def test_any_option_can_be_set(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ("--set", "keys=1", "--set", "startup_faults=false", "--set", "fault_kinds=pause,reset")
    code, _ = _run(capsys, "--seed", "2", "--duration-s", "1", *settings)
    assert code == 0
