"""Hot keys: the sample is fair, the rates are right, memory is bounded, yesterday's hot key goes."""

from random import Random

import pytest

from dynacache.observability.hot_keys import HALVING_S, HOT_KEYS_LIMIT, SAMPLED_ONE_IN, HotKeys
from dynacache.wire.messages import GET, SET


def feed(hot: HotKeys, messages: list[list[object]]) -> None:
    """A batch, as the node feeds it."""
    hot.countdown -= len(messages)
    if hot.countdown <= 0:
        hot.sample(messages)


@pytest.mark.parametrize("batch", [1, 2, 7, 50, 1_000])
def test_one_request_in_so_many_is_looked_at_whatever_the_batches(batch: int) -> None:
    hot = HotKeys(0.0)
    count = 60_000 // batch
    for number in range(count):
        feed(hot, [[GET, 1, b"%d" % (number * batch + place)] for place in range(batch)])
    assert hot.sampled == pytest.approx(count * batch / SAMPLED_ONE_IN, rel=0.02)


def test_rates_follow_what_was_read() -> None:
    hot, random = HotKeys(0.0), Random(5)
    now_s = 0.0
    for _ in range(60):
        # 1,000 requests a second: 400 reads of one key, 100 of another, the rest writes and cold keys.
        messages: list[list[object]] = [[GET, 1, b"hot"]] * 400 + [[GET, 1, b"warm"]] * 100
        messages += [[SET, 1, b"written", 0, b""]] * 200 + [[GET, 1, random.randbytes(4)] for _ in range(300)]
        random.shuffle(messages)
        for start in range(0, 1_000, 8):
            feed(hot, messages[start : start + 8])
        now_s += 1.0
        hot.tick(now_s)
    first, second = hot.top(2, now_s)
    assert (first.key, second.key) == (b"hot", b"warm")
    assert first.reads_per_s == pytest.approx(400, rel=0.2)
    assert second.reads_per_s - second.error_per_s <= 120
    assert second.reads_per_s == pytest.approx(100, rel=0.5)
    assert not [each for each in hot.top(HOT_KEYS_LIMIT, now_s) if each.key == b"written"]


def test_it_keeps_a_named_number_and_forgets_what_is_read_no_more() -> None:
    hot = HotKeys(0.0)
    for _ in range(50_000):
        feed(hot, [[GET, 1, b"yesterday"]])
    now_s = 0.0
    for step in range(12):
        for number in range(5_000):
            feed(hot, [[GET, 1, b"today %d" % ((number * 7 + step) % 500)]])
        now_s += HALVING_S
        hot.tick(now_s)
    top = hot.top(10_000, now_s)
    assert len(top) <= HOT_KEYS_LIMIT
    assert b"yesterday" not in {each.key for each in top[:20]}


def test_before_any_time_has_passed_there_is_no_rate() -> None:
    hot = HotKeys(3.0)
    feed(hot, [[GET, 1, b"key"]])
    assert hot.top(5, 3.0) == []
    assert [each.key for each in hot.top(5, 4.0)] == [b"key"]


def test_malformed_messages_are_left_to_others() -> None:
    hot = HotKeys(0.0)
    malformed: list[list[object]] = [[GET], [GET, 1], [GET, 1, "text"], [99]]
    for message in malformed:
        hot.countdown = 1
        feed(hot, [message])
    assert hot.top(5, 1.0) == []
