"""Journals and stamps: what a write leaves behind, and that a value says which write it is."""

import math

from hypothesis import given
from hypothesis import strategies as st

from dynacache.cli.demo.journal import Journal, Stamp, read_stamp, stamp

keys = st.binary(min_size=1, max_size=40).filter(lambda key: b"\n" not in key)


@given(keys, st.integers(0, 10**6), st.integers(0, 10**9), st.integers(0, 2000))
def test_stamps_are_read_back(key: bytes, writer: int, sequence: int, size: int) -> None:
    value = stamp(key, writer, sequence, size)
    assert read_stamp(value) == Stamp(key, writer, sequence)
    assert len(value) == max(size, len(stamp(key, writer, sequence, 0)))


@given(st.none() | st.integers() | st.text() | st.binary())
def test_other_values_have_no_stamp(value: object) -> None:
    found = read_stamp(value)
    assert found is None or (isinstance(value, bytes) and value.startswith(b"%d %d " % (found.writer, found.sequence)))


def test_the_life_of_a_write() -> None:
    journal = Journal(3)
    for number in range(3):
        assert journal.begin(number + 10, number) == number
    journal.acknowledge(0, 5.5)
    journal.refuse(1)
    first, second, third = (journal.write(number) for number in range(3))
    assert (first.acknowledged, first.refused, first.ended_at) == (True, False, 5.5)
    assert (second.acknowledged, second.refused) == (False, True)
    assert (third.acknowledged, third.refused, third.ended_at) == (False, False, math.inf)
    assert (first.writer, first.began_at, list(journal.key_positions)) == (3, 0.0, [10, 11, 12])
