"""Key samplers: frequencies, determinism, limits."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.cli.zipf import KeySampler


@given(st.integers(1, 500), st.floats(0, 3), st.integers(0, 2**32), st.integers(0, 50))
def test_ranks_are_in_range_and_a_function_of_the_source(count: int, exponent: float, seed: int, many: int) -> None:
    sampler = KeySampler(count, exponent)
    drawn = sampler.draw(random.Random(seed), many)
    assert len(drawn) == many
    assert all(0 <= rank < count for rank in drawn)
    assert drawn == KeySampler(count, exponent).draw(random.Random(seed), many)


@pytest.mark.parametrize("exponent", [0.5, 0.99, 1.2])
def test_frequencies_follow_the_law(exponent: float) -> None:
    many = 200_000
    counted = Counter(KeySampler(100, exponent).draw(random.Random(3), many))
    total = sum((rank + 1) ** -exponent for rank in range(100))
    for rank in (0, 1, 9, 99):
        expected = many * (rank + 1) ** -exponent / total
        assert abs(counted[rank] - expected) < 5 * expected**0.5


def test_exponent_zero_is_even() -> None:
    counted = Counter(KeySampler(10, 0.0).draw(random.Random(3), 100_000))
    assert max(counted.values()) - min(counted.values()) < 800


@pytest.mark.parametrize(("count", "exponent"), [(0, 1.0), (-1, 1.0), (5, -0.1), (5, 11.0)])
def test_nonsense_is_refused(count: int, exponent: float) -> None:
    with pytest.raises(ValueError, match="got"):
        KeySampler(count, exponent)
