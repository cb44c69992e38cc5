"""The wheel hands out every key once, in the second that its life says, and nothing else."""

import gc
import sys
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.storage.expiry import BUCKET_BYTES, ExpiryWheel, due_second
from tests.storage.builders import START_MS

HOUR_MS = 3_600_000
WIDTHS_S = [(HOUR_MS, 1), (48 * HOUR_MS, 60), (60 * 24 * HOUR_MS, 3_600), (10**15, 86_400)]


def wheel_of(shards: int = 8) -> ExpiryWheel:
    wheel = ExpiryWheel()
    wheel.extend(shards)
    return wheel


@pytest.mark.parametrize(("longest_ms", "width_s"), WIDTHS_S)
def test_the_width_of_a_bucket_follows_from_the_life(longest_ms: int, width_s: int) -> None:
    expire_ms = START_MS + longest_ms
    due = due_second(START_MS << 16, expire_ms)
    assert due % width_s == 0
    assert 0 <= due * 1000 - expire_ms < 1000 * width_s


@given(st.integers(0, 2**48), st.integers(-(2**40), 2**60))
def test_a_bucket_is_never_due_before_its_entries_have_expired(time_ms: int, life_ms: int) -> None:
    expire_ms = max(1, time_ms + life_ms)
    late_ms = due_second(time_ms << 16, expire_ms) * 1000 - expire_ms
    assert 0 <= late_ms <= max(1_000, (expire_ms - time_ms) // 48)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 7), st.integers(0, 90)), max_size=300), st.data())
def test_against_a_dictionary_of_sets_in_virtual_time(adds: list[tuple[int, int, int]], data: st.DataObject) -> None:
    wheel = wheel_of()
    model: dict[tuple[int, bytes], int] = {}
    for number, shard, due in adds:
        key = b"%d" % (number * 8 + shard)
        if (shard, key) in model and (model[shard, key] != due or number % 3 == 0):
            wheel.remove(shard, key, model.pop((shard, key)))
        if (shard, key) not in model:
            wheel.add(shard, key, due)
            model[shard, key] = due
        assert wheel.count == len(model)
    assert wheel.contents() == model
    now_ms = 0
    while model:
        assert wheel.recount_bytes() == wheel.size_bytes
        now_ms += data.draw(st.integers(0, 9_000))
        expected = {place for place, due in model.items() if due * 1000 <= now_ms}
        budget = data.draw(st.integers(1, 40))
        assert wheel.due_count(now_ms) == len(expected)
        taken = [(shard, key) for key, shard in wheel.take(now_ms, budget)]
        assert len(taken) == min(budget, len(expected)) == len(set(taken))
        assert set(taken) <= expected
        dues = [model.pop(place) for place in taken]
        assert dues == sorted(dues), "earliest bucket first"
    next_due_ms = wheel.next_due_ms()
    assert next_due_ms is None or next_due_ms > now_ms or wheel.take(now_ms, 1) == []


def test_the_earliest_bucket_is_announced() -> None:
    wheel = wheel_of()
    assert wheel.next_due_ms() is None
    wheel.add(0, b"late", 50)
    wheel.add(0, b"early", 20)
    assert wheel.next_due_ms() == 20_000
    assert wheel.take(19_999, 10) == []
    assert wheel.take(20_000, 10) == [(b"early", 0)]
    assert wheel.next_due_ms() == 50_000


def test_setting_and_removing_one_key_for_ever_leaves_one_empty_bucket() -> None:
    wheel = wheel_of()
    for _ in range(10_000):
        wheel.add(0, b"lock", 77)
        wheel.remove(0, b"lock", 77)
    assert wheel.size_bytes == BUCKET_BYTES
    assert len(wheel._due) == 1
    assert wheel.take(77_000, 10) == []
    assert wheel.size_bytes == 0


def test_a_bucket_that_is_emptied_at_random_shrinks() -> None:
    wheel = wheel_of()
    keys = [b"%d" % number for number in range(20_000)]
    for key in keys:
        wheel.add(0, key, 9)
    full = wheel.size_bytes
    for key in keys[: 19 * len(keys) // 20]:
        wheel.remove(0, key, 9)
    assert wheel.recount_bytes() == wheel.size_bytes < full / 4


def test_an_entry_costs_no_more_than_a_dictionary_slot_and_the_collector_does_not_see_it() -> None:
    wheel = wheel_of()
    keys = [b"%d" % number for number in range(100_000)]
    for key in keys:
        wheel.add(5, key, 9)
    assert wheel.size_bytes / len(keys) < 33
    tracked: dict[bool, int] = defaultdict(int)
    for bucket in wheel._buckets.values():
        for chunk in bucket:
            tracked[gc.is_tracked(chunk)] += len(chunk)
    assert tracked == {False: len(keys)}
    shards = {shard for bucket in wheel._buckets.values() for chunk in bucket for shard in map(id, chunk.values())}
    assert len(shards) == 1, "all entries of a shard share one number object"
    assert sys.getsizeof(wheel._buckets) + sys.getsizeof(wheel._due) < 1_000
