import json
from pathlib import Path
from typing import Any

import pytest

import sim.explain as module
from dynacache.errors import InvalidOption
from sim.explain import explain, folder_of, store_in
from sim.planted.bug import active
from sim.planted.catalogue import BUGS
from sim.regressions import loads
from sim.run import Scenario, run_scenario

BUG = BUGS["hint dropped silently"]


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Every seed means the directed scenario of a bug, which is switched on."""
    monkeypatch.setattr(module, "draw_scenario", lambda seed: BUG.scenario())
    with active(BUG):
        yield


def test_a_seed_that_holds_needs_no_explanation(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert explain(seed=11, store=(tmp_path,)) == 0
    assert "violates nothing" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("planted")
def test_what_is_left_is_told_and_stored_and_can_be_replayed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "deep" / "er"
    assert explain(seed=1, limit=8, store=(folder,)) == 1
    (path,) = folder.iterdir()
    told = capsys.readouterr().out.splitlines()
    assert told[-1] == f"stored: {path}"
    assert any(line.startswith("I1 violated: ") for line in told)
    regression = loads(path.read_text(encoding="utf-8"))
    assert (regression.invariant, regression.fixed_by, path.name) == ("I1", "", "seed-1-i1.json")
    assert regression.found.startswith("operation ")
    assert isinstance(regression.scenario, Scenario)
    assert {each.invariant for each in run_scenario(regression.scenario).violations} == {"I1"}


@pytest.mark.usefixtures("planted")
def test_as_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert explain(seed=1, limit=1, output="json") == 1
    assert json.loads(capsys.readouterr().out)["stored"] is None
    assert explain(seed=1, limit=1, store=(tmp_path,), output="json") == 1
    assert json.loads(capsys.readouterr().out)["stored"] == str(tmp_path / "seed-1-i1.json")


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    regression = loads((Path(__file__).parent / "regressions/seed-21-i2.json").read_text(encoding="utf-8"))
    names = [store_in(tmp_path, regression).name for _ in range(3)]
    assert names == ["seed-21-i2.json", "seed-21-i2-2.json", "seed-21-i2-3.json"]


def test_the_folder_of_a_checkout_is_the_default(tmp_path: Path) -> None:
    assert folder_of(()) == Path(__file__).resolve().parent / "regressions"
    with pytest.raises(InvalidOption, match="no folder of regressions; name one: --store PATH"):
        folder_of((), checkout=tmp_path)
    assert folder_of((tmp_path,), checkout=tmp_path) == tmp_path


def test_a_folder_that_is_none_is_refused_before_the_search(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InvalidOption, match="which is a file, expected a folder"):
        explain(seed=11, store=(tmp_path / "file",))
    with pytest.raises(InvalidOption, match="got 2 folders, expected one"):
        folder_of((tmp_path, tmp_path))
