"""Local health stays within its bounds and takes note of lag."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.config.membership import MembershipConfig
from dynacache.membership.awareness import LocalHealth


@given(st.lists(st.integers(-20, 20)))
def test_the_score_stays_within_its_bounds(signs: list[int]) -> None:
    health = LocalHealth(MembershipConfig())
    for sign in signs:
        before = health.score
        health.adjust(sign)
        assert health.score == min(max(before + sign, 0), 7)
        assert health.multiplier == health.score + 1


@pytest.mark.parametrize(("lag_s", "expected"), [(0.0, 0), (0.1, 0), (0.11, 1), (0.5, 1), (0.51, 2), (60.0, 2)])
def test_lag_counts_by_its_length(lag_s: float, expected: int) -> None:
    health = LocalHealth(MembershipConfig())
    health.note_loop_lag(lag_s)
    assert health.score == expected
