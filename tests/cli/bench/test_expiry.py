"""How late entries went, from what was seen of their number."""

from dynacache.cli.bench.expiry import ExpiryFigures, lateness_of
from dynacache.cli.bench.expiry_turns import TurnFigures
from tests.cli.bench.test_soak_load import PHASE, carried_out


def test_lateness_is_counted_from_each_entrys_own_expiry() -> None:
    # A thousand entries, one every ten milliseconds from second 100 on.
    assert lateness_of([(100.0, 1_000), (105.0, 500)], 100.0, 10.0, 1_000) == 0.0
    assert lateness_of([(103.0, 1_000), (105.0, 400), (112.0, 0)], 100.0, 10.0, 1_000) == 3.0
    assert lateness_of([(112.5, 10)], 100.0, 10.0, 1_000) == 112.5 - 109.9


def test_the_factor_is_of_the_quiet_percentile() -> None:
    quiet, _ = carried_out(PHASE)
    turns = TurnFigures(10, 1.0, 1.0, 1, 0.1, 0.1, 0.1, 0, (0, 0, 0))
    assert ExpiryFigures(10, quiet, quiet, 0.0, 0, 1, turns).p99_factor == 1.0
