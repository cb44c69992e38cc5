import json

import pytest

from sim.planted import command
from sim.planted.catalogue import searched
from sim.planted.command import planted
from sim.planted.hunting import Chunk, Searched


def test_a_bug_is_hunted_and_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert planted(seeds=0, only=("growth is not accounted",), jobs=1, output="json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["invariant"], row["directed"], row["seed"]) == (
        "growth is not accounted", "I15", True, None,
    )  # fmt: skip
    assert planted(seeds=0, only=("growth is not accounted",), jobs=1) == 0
    assert "1 planted bugs: 1 caught as directed, 0 rare" in capsys.readouterr().out


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no such bug"):
        planted(only=("no such bug",))


def test_a_table_for_the_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    assert planted(seeds=5, only=("growth is not accounted",), jobs=1, output="markdown") == 0
    printed = capsys.readouterr()
    *_, row, _ = printed.out.splitlines()
    assert row.startswith(
        "| growth is not accounted | an entry that grows is accounted at its old size | I15 | caught |"
    )
    assert "growth is not accounted (I15): " in printed.err


def test_processes_share_the_work_and_change_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    only = ("growth is not accounted", "memory limit ignored")
    told = []
    for jobs in (1, 2):
        planted(seeds=3, only=only, jobs=jobs, output="json")
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1]
    assert [each["name"] for each in told[0]] == list(only)


def test_an_interrupt_prints_what_was_done(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(chunk: Chunk) -> Searched:
        if chunk.count:
            raise KeyboardInterrupt
        return searched(chunk)

    monkeypatch.setattr(command, "searched", interrupted)
    assert planted(seeds=9, only=("growth is not accounted",), jobs=1) == 0
    printed = capsys.readouterr().out
    assert "not tried" in printed
    assert "interrupted" in printed


def test_fewer_seeds_than_none_are_refused() -> None:
    with pytest.raises(ValueError, match="got -1"):
        planted(seeds=-1)
