"""The verdict, seen red on made-up losses and green on everything that is none."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.cli.demo.journal import Journal, Stamp
from dynacache.cli.demo.verdict import Reading, Verdict, acknowledged_keys, judge

KEYS = [b"k", b"other"]
REFUSED = -1.0
UNKNOWN = -2.0


def journals_of(*writes: tuple[int, float, float]) -> list[Journal]:
    """Writes of one key as (writer, began, ended), in the order given."""
    journals = [Journal(writer) for writer in range(4)]
    for writer, began, ended in writes:
        sequence = journals[writer].begin(0, began)
        if ended == REFUSED:
            journals[writer].refuse(sequence)
        elif ended != UNKNOWN:
            journals[writer].acknowledge(sequence, ended)
    return journals


def verdict(journals: list[Journal], *shown: tuple[int, int], **reading: Any) -> Verdict:
    stamps = tuple(Stamp(b"k", writer, sequence) for writer, sequence in shown)
    return judge(journals, KEYS, {0: attrs.evolve(Reading(stamps), **reading)})


def test_the_last_write_readable_is_no_loss() -> None:
    assert verdict(journals_of((0, 1, 2), (1, 3, 4)), (1, 0)).lost_acknowledged_writes == 0


def test_an_older_write_alone_is_a_loss_of_the_newer() -> None:
    found = verdict(journals_of((0, 1, 2), (1, 3, 4)), (0, 0))
    assert found.lost_acknowledged_writes == 1
    assert "1 lost, last by writer 1 write 0" in found.examples[0]


def test_every_newer_write_counts() -> None:
    assert verdict(journals_of((0, 1, 2), (1, 3, 4), (2, 5, 6), (1, 7, 8)), (0, 0)).lost_acknowledged_writes == 3


def test_of_two_at_once_either_may_win() -> None:
    journals = journals_of((0, 1, 4), (1, 2, 3))
    assert verdict(journals, (0, 0)).lost_acknowledged_writes == 0
    assert verdict(journals, (1, 0)).lost_acknowledged_writes == 0


def test_a_sibling_keeps_what_the_winner_hides() -> None:
    journals = journals_of((0, 1, 2), (1, 3, 4))
    assert verdict(journals, (0, 0), (1, 0)).lost_acknowledged_writes == 0


@pytest.mark.parametrize(
    "reading", [Reading(error="TimedOut: late"), Reading(error="a miss (unknown)"), Reading(foreign=True)]
)
def test_nothing_readable_loses_everything_acknowledged(reading: Reading) -> None:
    found = judge(journals_of((0, 1, 2), (1, 3, 4), (2, 5, UNKNOWN)), KEYS, {0: reading})
    assert (found.acknowledged_writes, found.lost_acknowledged_writes) == (2, 2)
    assert found.foreign_values == reading.foreign


def test_a_key_that_was_never_read_is_lost() -> None:
    assert judge(journals_of((0, 1, 2)), KEYS, {}).lost_acknowledged_writes == 1


def test_a_write_of_unknown_fate_may_stand_for_what_came_before_and_after() -> None:
    journals = journals_of((0, 1, 2), (1, 3, UNKNOWN), (2, 5, 6))
    assert verdict(journals, (1, 0)).lost_acknowledged_writes == 0
    assert verdict(journals, (0, 0)).lost_acknowledged_writes == 1


def test_unknown_and_refused_writes_cannot_be_lost() -> None:
    journals = journals_of((0, 1, 2), (1, 3, UNKNOWN), (2, 5, REFUSED))
    assert verdict(journals, (0, 0)).lost_acknowledged_writes == 0
    assert acknowledged_keys(journals) == [0]
    assert acknowledged_keys(journals_of((0, 1, UNKNOWN))) == []


def test_a_refused_write_that_shows_is_a_contradiction() -> None:
    found = verdict(journals_of((0, 1, 2), (1, 3, REFUSED)), (1, 0))
    assert (found.refused_but_applied, found.lost_acknowledged_writes) == (1, 0)


def test_eviction_is_no_loss() -> None:
    found = verdict(journals_of((0, 1, 2)), evicted=True, error="a miss (evicted)")
    assert (found.lost_acknowledged_writes, found.evicted_keys) == (0, 1)


@pytest.mark.parametrize("stamp", [Stamp(b"other", 0, 0), Stamp(b"k", 9, 0), Stamp(b"k", 0, 7)])
def test_a_value_from_elsewhere_is_foreign_and_keeps_nothing(stamp: Stamp) -> None:
    found = judge(journals_of((0, 1, 2)), KEYS, {0: Reading((stamp,))})
    assert (found.foreign_values, found.lost_acknowledged_writes) == (1, 1)


spans = st.tuples(st.integers(0, 3), st.integers(0, 50), st.integers(0, 20) | st.just(int(UNKNOWN)))


@given(st.lists(spans, min_size=1, max_size=8), st.data())
def test_a_reading_that_some_order_of_the_writes_explains_is_no_loss(
    drawn: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    """Take the writes as applied at some instant within each one's span; the last applied is what a read may show."""
    spans = [(writer, began, UNKNOWN if took < 0 else began + took) for writer, began, took in drawn]
    journals = journals_of(*spans)
    applied = [
        (began + data.draw(st.integers(0, took if took >= 0 else 100)), number)
        for number, (_, began, took) in enumerate(drawn)
    ]
    _, last = max(applied)
    writer = spans[last][0]
    sequence = sum(other[0] == writer for other in spans[:last])
    assert verdict(journals, (writer, sequence)).lost_acknowledged_writes == 0
