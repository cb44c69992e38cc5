"""The command `model`."""

import json

import pytest

from dynacache.errors import InvalidOption
from sim.ring.command import measure, model


def test_figures_of_the_rules_and_of_a_mutation(capsys: pytest.CaptureFixture[str]) -> None:
    assert model(runs=8, mutation=("no_refusal",), output="json") == 0
    rules, left_out = json.loads(capsys.readouterr().out)
    assert (rules["mutation"], rules["runs"], rules["stale"], rules["lost"], rules["unfinished"]) == ("", 8, 0, 0, 0)
    assert rules["reads"] > 500
    assert left_out["stale"] == 1
    assert left_out["runs"] == left_out["first_seed"]


def test_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert model(runs=3) == 0
    assert "quorum reads" in capsys.readouterr().out


def test_a_mutation_that_is_not_caught_fails() -> None:
    assert model(runs=1, first=1, mutation=("early_retiring",)) == 1
    assert not measure("early_retiring", 2).found


def test_an_unknown_mutation_is_refused() -> None:
    with pytest.raises(InvalidOption, match="'no_such', expected all or one of clear_at_once"):
        model(mutation=("no_such",))
