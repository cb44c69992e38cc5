"""Misses by reason and prefix: exact in total, bounded in number, by namespace."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dynacache.observability.miss_counts import NO_PREFIX, PREFIX_LIMIT_BYTES, PREFIXES_LIMIT, MissCounts
from dynacache.types import MissReason


def miss(key: bytes, reason: MissReason = MissReason.NEVER_WRITTEN) -> tuple[object, ...]:
    """As the coordinator notes it."""
    return (key, 1_000, 1, reason, "n1", "n2")


def test_by_prefix_up_to_the_first_delimiter() -> None:
    counts = MissCounts()
    keys = [b"user:1", b"user:2:x", b"plain", b":odd", b"\0\x05teamsuser:1", b"\0\0\0raw:1", b"\0\x05teamsplain"]
    counts.count([miss(key, MissReason.EXPIRED) for key in keys])
    rows = {row.prefix: row.by_reason[MissReason.EXPIRED] for row in counts.rows(10)}
    expected = {b"user": 2, NO_PREFIX: 2, b"\0\x05teamsuser": 1, b"\0\0\0raw": 1, b"\0\x05teams": 1}
    assert rows == expected
    assert counts.by_reason[MissReason.EXPIRED] == 7


def test_another_delimiter_and_long_prefixes() -> None:
    counts = MissCounts(delimiter=b"/")
    counts.count([miss(b"a/b:c"), miss(b"x" * 200 + b"/1"), miss(b"x" * 300 + b"/1")])
    assert {row.prefix: sum(row.by_reason) for row in counts.rows(9)} == {b"a": 1, b"x" * PREFIX_LIMIT_BYTES: 2}


@given(st.lists(st.tuples(st.integers(0, 3_000), st.sampled_from(MissReason)), max_size=400))
def test_rows_and_other_are_the_total(drawn: list[tuple[int, MissReason]]) -> None:
    counts = MissCounts()
    counts.count([miss(b"%d:x" % (number % 1_500), MissReason.DELETED) for number in range(1_500)])
    counts.count([miss(b"%d:y" % number, reason) for number, reason in drawn])
    truth = Counter(reason for _, reason in drawn)
    truth[MissReason.DELETED] += 1_500
    rows = counts.rows(5_000)
    assert len(rows) == PREFIXES_LIMIT
    for reason in MissReason:
        assert counts.by_reason[reason] == truth[reason]
        assert sum(row.by_reason[reason] for row in rows) + counts.other[reason] == truth[reason]


def test_a_prefix_that_begins_to_miss_gets_a_row_though_the_table_is_full() -> None:
    counts = MissCounts()
    counts.count([miss(b"%d:x" % number) for number in range(3 * PREFIXES_LIMIT)])
    counts.count([miss(b"new:%d" % number, MissReason.EVICTED) for number in range(500)])
    first = counts.rows(1)[0]
    assert first.prefix == b"new"
    assert first.by_reason[MissReason.EVICTED] == 500
    assert first.error <= 3
