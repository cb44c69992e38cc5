import json

import pytest

from sim.planted.command import planted


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
