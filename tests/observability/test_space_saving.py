"""The laws of Space-Saving, against exact counts, whatever is added, halved, and in what order."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dynacache.observability.space_saving import Counted, SpaceSaving

_STREAMS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5)), max_size=300)


@given(capacity=st.integers(1, 12), stream=_STREAMS)
def test_counters_bound_the_truth_and_errors_are_small(capacity: int, stream: list[tuple[int, int]]) -> None:
    table: SpaceSaving[str] = SpaceSaving(capacity)
    truth: Counter[str] = Counter()
    for number, weight in stream:
        table.add(str(number), weight)
        truth[str(number)] += weight
    total = sum(truth.values())
    assert table.total == total
    top = table.top(capacity)
    assert len(top) == len(table) == min(capacity, len(truth))
    assert sum(each.count for each in top) == total
    for each in top:
        assert each.count - each.error <= truth[each.item] <= each.count
        assert each.error <= total / capacity
    for item, count in truth.items():
        assert item in table or count <= total / capacity
    assert top == sorted(top, key=lambda each: (-each.count, each.item))


@given(capacity=st.integers(1, 8), streams=st.lists(_STREAMS, min_size=2, max_size=4))
def test_halving_keeps_the_bounds(capacity: int, streams: list[list[tuple[int, int]]]) -> None:
    table: SpaceSaving[str] = SpaceSaving(capacity)
    truth: Counter[str] = Counter()
    for stream in streams:
        for number, weight in stream:
            table.add(str(number), weight)
            truth[str(number)] += weight
        table.halve()
        truth = Counter({item: count >> 1 for item, count in truth.items()})
        for each in table.top(capacity):
            assert each.count - each.error <= truth[each.item] <= each.count
            assert each.error <= table.total / capacity + 2  # of rounding
        for item, count in truth.items():
            assert item in table or count <= table.total / capacity + 1


@given(stream=_STREAMS)
def test_whoever_loses_a_counter_had_the_least(stream: list[tuple[int, int]]) -> None:
    table: SpaceSaving[str] = SpaceSaving(4)
    for number, weight in stream:
        before = {each.item: each.count for each in table.top(4)}
        loser = table.add(str(number), weight)
        if loser is not None:
            assert before[loser] == min(before.values())
            assert loser not in table


def test_a_hot_item_is_found_among_many_cold_ones() -> None:
    table: SpaceSaving[bytes] = SpaceSaving(16)
    for number in range(10_000):
        table.add(b"cold %d" % number)
        if not number % 5:
            table.add(b"hot")
    top = table.top(1)[0]
    assert top.item == b"hot"
    assert top.count - top.error <= 2_000 <= top.count
    assert table.top(0) == []
    assert SpaceSaving[bytes](1).top(5) == []
    assert Counted(b"x", 2, 1).count == 2
