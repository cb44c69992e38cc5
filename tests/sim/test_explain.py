import pytest

from sim.explain import explain


def test_a_seed_that_holds_needs_no_explanation(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(seed=11) == 0
    assert "violates nothing" in capsys.readouterr().out
