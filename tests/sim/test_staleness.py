"""Staleness: what must hold by reason, and what others have measured."""

import math

import pytest

from sim.draws import Draws
from sim.staleness import Latency, Windows, curve, simulate

PAIRS = [(1, 1), (1, 2), (2, 1), (2, 2), (1, 3), (3, 1)]


def by_pair(way: str, **options: int) -> dict[tuple[int, int], Windows]:
    found = simulate(3, PAIRS, Latency(), way=way, **{"trials": 8_000, **options})
    return {(each.r, each.w): each for each in found}


@pytest.mark.parametrize("way", ["owner", "outside"])
def test_overlapping_quorums_are_never_stale(way: str) -> None:
    found = by_pair(way)
    for r, w in PAIRS:
        assert (found[r, w].windows_ms[-1] == 0.0) == (r + w > 3)


@pytest.mark.parametrize(
    ("pair", "fresh"),
    [
        ((1, 1), (0.74, 0.92, 0.977, 0.988)),
        ((1, 2), (0.89, 0.954, 0.980, 0.989)),
        ((2, 1), (0.958, 0.996, 0.9994, 0.9999)),
    ],
)
def test_the_model_of_the_paper_gives_known_figures(pair: tuple[int, int], fresh: tuple[float, ...]) -> None:
    windows = by_pair("outside")[pair]
    assert [1 - windows.stale_at(moment) for moment in (0, 1, 5, 10)] == pytest.approx(fresh, abs=0.015)


def test_through_any_of_three_owners_one_third_meets_the_writer() -> None:
    assert 1 - by_pair("owner")[1, 1].stale_at(0.0) == pytest.approx(1 / 3, abs=0.02)


def test_staleness_only_falls() -> None:
    windows = by_pair("owner")[1, 2]
    shares = [windows.stale_at(moment) for moment in (0, 1, 2, 5, 10, 50, 1_000)]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == 0.0


def test_figures_of_made_up_windows() -> None:
    windows = Windows(3, 1, 1, "owner", (0.0, 0.0, 10.0, 30.0))
    assert windows.stale_at(0.0) == 0.5
    assert windows.stale_at(10.0) == 0.25
    assert windows.fresh_after_ms(0.5) == 0.0
    assert windows.fresh_after_ms(0.75) == 10.0
    # A write each 1,000 s: a read falls into a window with the share of its length.
    assert windows.stale_share(0.001) == pytest.approx((10e-3 + 30e-3) * 0.001 / 4, rel=1e-3)
    # Of 40 ms of windows, 20 have an age up to 10, and all an age up to 30.
    assert windows.age_ms(0.5, 0.001) == pytest.approx(10.0, rel=1e-3)
    assert windows.age_ms(1.0, 0.001) == pytest.approx(30.0, rel=1e-3)


def test_the_row_of_a_level_that_is_never_stale() -> None:
    row = curve(Windows(3, 2, 2, "owner", (0.0, 0.0)), (0.0, 1.0), 10.0)
    assert (row.stale_at, row.stale_share, row.fresh_999_ms, row.age_p99_ms) == ((0.0, 0.0), 0.0, 0.0, 0.0)


def test_the_same_seed_gives_the_same_figures() -> None:
    assert by_pair("owner", trials=200) == by_pair("owner", trials=200)
    assert by_pair("owner", trials=200) != by_pair("owner", trials=200, seed=2)


def test_the_latency_has_its_mean() -> None:
    draws = Draws(1).stream("legs")
    latency = Latency(1.0, 0.1, 11.0)
    legs = [latency.draw_ms(draws) for _ in range(20_000)]
    assert math.fsum(legs) / len(legs) == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n": 0}, "n: got 0"),
        ({"pairs": [(4, 1)]}, "r: got 4, expected 1 to n = 3"),
        ({"pairs": [(1, 0)]}, "w: got 0"),
        ({"way": "sideways"}, "way: got 'sideways', expected owner or outside"),
        ({"trials": 5}, "trials: got 5"),
    ],
)
def test_what_is_out_of_range_is_refused(options: dict[str, object], text: str) -> None:
    given = {"n": 3, "pairs": [(1, 1)], "latency": Latency(), **options}
    with pytest.raises(ValueError, match=text):
        simulate(**given)  # type: ignore[arg-type]


def test_impossible_latencies_are_refused() -> None:
    with pytest.raises(ValueError, match="mean_ms: got 0"):
        Latency(mean_ms=0)
    with pytest.raises(ValueError, match="tail_share: got 2"):
        Latency(tail_share=2)
