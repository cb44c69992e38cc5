"""Real nodes under drawn delays agree with the drawing."""

import pytest

from sim.staleness import Latency, simulate
from sim.staleness_check import observe


@pytest.mark.parametrize("pair", [(1, 1), (1, 2), (2, 1)])
def test_real_nodes_are_as_stale_as_drawn(pair: tuple[int, int]) -> None:
    (drawn,) = simulate(3, [pair], Latency(), trials=8_000)
    assert observe(*pair, Latency(), trials=250) == pytest.approx(drawn.stale_at(0.0), abs=0.1)


def test_real_quorums_are_never_stale() -> None:
    assert observe(2, 2, Latency(), trials=150) == 0.0


def test_levels_that_three_nodes_do_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match="r and w: got 4 and 1"):
        observe(4, 1, Latency())
