"""The bucket: rates hold over any span, debts are paid, the share yields."""

from hypothesis import given
from hypothesis import strategies as st

from dynacache.repair.transfer_rate import TokenBucket


def test_a_tenth_of_a_second_at_once_and_then_the_rate() -> None:
    bucket = TokenBucket(1_000_000)
    assert bucket.available(5.0) == 100_000
    bucket.take(100_000)
    assert bucket.available(5.0) == 0
    assert bucket.available(5.0625) == 62_500
    assert bucket.available(60.0) == 100_000


def test_a_debt_is_paid_before_anything_else_is_taken() -> None:
    bucket = TokenBucket(1_000_000)
    assert bucket.available(0.0)
    bucket.take(600_000)
    assert bucket.available(0.5) == 0
    assert bucket.wait_s(50_000) == 0.05
    assert bucket.available(0.55) == 50_000


def test_what_is_given_back_can_be_taken_again_but_no_more() -> None:
    bucket = TokenBucket(1_000_000)
    assert bucket.available(0.0) == 100_000
    bucket.take(60_000)
    bucket.take(-30_000)
    assert bucket.available(0.0) == 70_000
    bucket.take(-1_000_000)
    assert bucket.available(0.0) == 100_000


def test_a_share_of_the_rate() -> None:
    bucket = TokenBucket(1_000_000)
    bucket.available(0.0)
    bucket.take(100_000)
    bucket.share = 0.1
    assert bucket.available(0.1) == 10_000
    assert bucket.wait_s(20_000) == 0.1


def test_a_tiny_rate_still_lets_a_small_page_through() -> None:
    bucket = TokenBucket(1_000)
    assert bucket.available(0.0) == 32_768
    bucket.take(32_768)
    assert bucket.wait_s(1 << 20) == 32.768


@given(
    st.integers(1_000, 10_000_000),
    st.lists(st.tuples(st.floats(0.0, 1.0), st.integers(1, 200_000)), min_size=1, max_size=30),
)
def test_no_span_sees_more_than_the_rate_one_bucket_and_one_item(rate: int, steps: list[tuple[float, int]]) -> None:
    bucket = TokenBucket(rate)
    now_s, taken, largest = 10.0, 0, 0
    bucket.available(now_s)
    for pause_s, item in steps:
        now_s += pause_s
        if bucket.available(now_s):
            bucket.take(item)
            taken += item
            largest = max(largest, item)
    assert taken <= rate * (now_s - 10.0) + max(32_768, rate / 10) + largest + 1
