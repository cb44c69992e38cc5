"""Histograms: within one bucket of the exact percentile, additive, bounded."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.cli.histogram import Histogram

durations = st.lists(st.floats(2e-6, 150.0), min_size=1, max_size=200)


def recorded(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(durations, st.floats(0.01, 1.0))
def test_percentile_is_at_most_one_bucket_above(values: list[float], share: float) -> None:
    exact_ms = sorted(values)[math.ceil(share * len(values)) - 1] * 1000
    told_ms = recorded(values).percentile_ms(share)
    assert exact_ms * 0.9999 <= told_ms <= exact_ms * 1.0221


@given(durations, durations)
def test_sum_and_difference_undo_each_other(first: list[float], second: list[float]) -> None:
    both = recorded(first + second)
    assert recorded(first).plus(recorded(second)) == both
    assert both.since(recorded(first)) == recorded(second)
    assert both.count == len(first) + len(second)


@pytest.mark.parametrize("extreme", [0.0, 1e-9, 1e6])
def test_extremes_are_counted_at_the_ends(extreme: float) -> None:
    assert recorded([extreme]).count == 1


def test_nothing_counted_is_zero() -> None:
    assert Histogram().percentile_ms(0.99) == 0.0
