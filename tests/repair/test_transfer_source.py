"""What a puller keeps of one source."""

from typing import Any

import pytest
from pyroaring import BitMap

from dynacache.repair.transfer_messages import PARTITIONS_PER_PULL, Outcome, Page, Part
from dynacache.repair.transfer_rate import TokenBucket
from dynacache.repair.transfer_source import Asked, Begun, Source
from dynacache.repair.warming import Standing


def source_of(count: int = 1_000) -> Source:
    source = Source("a", TokenBucket(1e9), BitMap(range(count)))
    source.linked(True)
    return source


def page_of(warming: tuple[int, ...] = (), stale: tuple[int, ...] = (), parts: int = 0, record_bytes: int = 0) -> Page:
    records = [b"k", b"r"] if record_bytes else []
    listed = [Part(partition, Outcome.LAST, 0, records) for partition in range(parts)]
    return Page(BitMap(warming), BitMap(stale), 0, listed, parts * record_bytes)


def asked_of(source: Source, partitions: list[int], heard: list[Any]) -> Asked:
    return Asked(
        source,
        frozenset(partitions),
        BitMap(partitions),
        100,
        0,
        0.0,
        lambda _, message: heard.append(message),
        lambda _: heard.append("failed"),
    )


def test_nothing_is_known_before_it_was_heard_and_after_it_was_away() -> None:
    source = source_of()
    assert source.standing(1) is Standing.UNHEARD
    source.heard(page_of((1,), (2,)), 5.0)
    assert [source.standing(each) for each in (1, 2, 3)] == [Standing.WARMING, Standing.STALE, Standing.COMPLETE]
    source.linked(False)
    assert source.standing(3) is Standing.UNHEARD
    assert not source.is_usable


def test_what_was_taken_stays_taken_while_it_is_away() -> None:
    source = source_of()
    source.complete.add(1)
    source.linked(False)
    assert 1 in source.complete


def test_changes_of_state_are_told() -> None:
    source = source_of(10)
    assert source.heard(page_of((1, 2), (3,)), 1.0) == (BitMap(range(10)), BitMap(range(10)) - BitMap([1, 2, 3]))
    assert source.heard(page_of((1, 2), (3,)), 2.0) == (BitMap(), BitMap())
    assert source.heard(page_of((1,), (2, 3)), 3.0) == (BitMap([2]), BitMap()), "stale is another state than warming"
    assert source.heard(page_of((), (2,)), 4.0) == (BitMap([1, 3]), BitMap([1, 3]))


def test_one_that_fails_again_and_again_is_not_planned_with_until_it_answers() -> None:
    source = source_of(10)
    source.heard(page_of(), 1.0)
    for _ in range(3):
        assert source.is_usable
        source.failed(10.0)
    assert not source.is_usable
    assert source.heard(page_of(), 11.0)[0] == BitMap(range(10)), "to be decided about anew"
    assert source.is_usable


def test_pauses_after_failures_grow_and_end() -> None:
    source = source_of()
    pauses = []
    for _ in range(20):
        source.failed(10.0)
        pauses.append(source.not_before_s - 10.0)
    assert pauses[:3] == pytest.approx([0.1, 0.2, 0.4])
    assert pauses[-1] == 5.0


def test_the_partition_under_way_comes_first_and_those_of_others_are_left_out() -> None:
    source = source_of()
    source.todo.update(range(20))
    source.begun[7] = Begun(99, complete=True, since_ms=0)
    assert source.choose(BitMap(range(5)))[:3] == [7, 5, 6]
    source.todo.discard(7)
    assert source.choose(BitMap())[0] == 0, "what is begun but not wanted any more is not asked for"


def test_a_pull_names_as_many_partitions_as_pages_have_room_for() -> None:
    source = source_of()
    source.todo.update(range(1_000))
    assert len(source.choose(BitMap())) == PARTITIONS_PER_PULL
    source.served(PARTITIONS_PER_PULL, page_of(parts=3))
    assert len(source.choose(BitMap())) == 8
    source.served(8, page_of(parts=8))
    assert len(source.choose(BitMap())) == 16
    for _ in range(10):
        source.served(16, page_of(parts=16))
    source.served(PARTITIONS_PER_PULL, page_of(parts=PARTITIONS_PER_PULL - 1))
    assert len(source.choose(BitMap())) == PARTITIONS_PER_PULL


def test_forgetting_a_partition_takes_it_out_of_everything() -> None:
    source = source_of()
    heard: list[Any] = []
    for each in (source.todo, source.waited, source.merged, source.complete):
        each.update((1, 2))
    source.begun[1] = Begun(9, complete=True, since_ms=0)
    source.asked = asked_of(source, [1, 2], heard)
    source.forget(1)
    assert source.todo == source.waited == source.merged == source.complete == BitMap([2])
    assert not source.begun
    assert source.asked.counted == BitMap([2])
    assert source.asked.named == {1, 2}
    assert source.taking == BitMap([2])


def test_only_the_first_of_answer_and_failure_is_heard() -> None:
    source = source_of()
    heard: list[Any] = []
    source.asked = asked = asked_of(source, [1], heard)
    asked.answered((1,))
    asked.failed()
    asked.answered((2,))
    assert heard == [(1,)]
    assert source.asked is None


def test_pages_of_small_records_are_small() -> None:
    source = source_of()
    assert source.page_bytes(65_536) == 8_192
    source.served(1, page_of(parts=1, record_bytes=1_200))
    assert source.page_bytes(65_536) == 65_536
    assert source.page_bytes(8_192) == 8_192
    source.served(1, page_of(parts=1, record_bytes=100))
    assert source.page_bytes(65_536) == 6_400
    source.served(1, page_of(parts=1))
    assert source.page_bytes(65_536) == 6_400, "an empty page says nothing"
    source.served(1, page_of(parts=1, record_bytes=2))
    assert source.page_bytes(65_536) == 4_096


def test_small_records_count_for_more_than_their_size() -> None:
    source = source_of()
    source.served(1, page_of(parts=1, record_bytes=1_024))
    assert source.cost_bytes(10_000) == 20_000
    source.served(1, page_of(parts=1, record_bytes=102_400))
    assert source.cost_bytes(10_000) == 10_100


def test_a_source_whose_answers_are_late_is_left_alone_for_a_while() -> None:
    source = source_of()
    for elapsed_s in (0.004, 0.002, 0.020, 0.003):
        source.took(elapsed_s, 10.0)
    assert source.not_before_s < 10.0, "chance"
    source.took(0.052, 10.0)
    assert source.not_before_s == pytest.approx(10.1, abs=0.001)
    source.took(5.0, 20.0)
    assert source.not_before_s == 21.0


def test_a_lasting_change_of_the_delay_is_believed_in_the_end() -> None:
    source = source_of()
    source.took(0.002, 10.0)
    pauses = 0
    for page in range(2_000):
        source.took(0.040, 20.0 + page)
        pauses += source.not_before_s > 20.0 + page
    assert 500 < pauses < 1_500
