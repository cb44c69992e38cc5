"""Tombstones are named at the grace limit, or before it once confirmed, in slices, and never while their partition is
held."""

from pyroaring import BitMap

from dynacache.storage.reaper import HELD_RETRY_MS, SWEEP_INTERVAL_MS, Reaper
from dynacache.storage.tables import TableSet
from tests.storage.builders import START_MS, tombstone

GRACE_MS = 1_000_000
EARLY_MS = 400_000
NOTHING_HELD = (BitMap(), BitMap())


def filled(count: int, spread_ms: int = 0, early_ms: int = GRACE_MS) -> tuple[Reaper, TableSet]:
    reaper, tables = Reaper(early_ms, GRACE_MS), TableSet()
    tables.extend(4)
    reaper.extend(4)
    for number in range(count):
        record = tombstone(now_ms=START_MS + number * spread_ms)
        tables.insert(number % 4, b"%d" % number, record)
        reaper.note(number % 4, record)
    return reaper, tables


def test_nothing_is_looked_at_before_the_first_is_due() -> None:
    reaper, tables = filled(10)
    assert reaper.next_ms == START_MS + GRACE_MS
    assert reaper.sweep(tables, START_MS + GRACE_MS - 1, 100, NOTHING_HELD) == ([], 0)
    assert reaper.due_shards(reaper.next_ms // 1000 - 1) == []
    assert reaper.due_shards(reaper.next_ms // 1000) == [0, 1, 2, 3]


def test_all_that_is_due_is_named_once_at_the_limit() -> None:
    reaper, tables = filled(10)
    dropped, looked = reaper.sweep(tables, START_MS + GRACE_MS, 100, NOTHING_HELD)
    assert sorted(dropped) == sorted((number % 4, b"%d" % number, False) for number in range(10))
    assert looked == 10
    assert reaper.next_ms is None
    assert not reaper.is_due(0, 2**40)


def test_a_tombstone_leaves_at_the_end_of_its_second() -> None:
    reaper, tables = filled(2, spread_ms=1)
    now_ms = START_MS + GRACE_MS
    assert reaper.sweep(tables, now_ms + 999, 100, NOTHING_HELD)[0] == [(0, b"0", False)]
    assert reaper.is_due(1, (now_ms + 1_000) // 1000)
    assert not reaper.is_due(1, now_ms // 1000)


def test_younger_ones_stay_and_set_the_next_sweep() -> None:
    reaper, tables = filled(2, spread_ms=60_000)
    dropped, _ = reaper.sweep(tables, START_MS + GRACE_MS, 100, NOTHING_HELD)
    assert dropped == [(0, b"0", False)]
    assert reaper.next_ms == START_MS + GRACE_MS + 60_000


def test_sweeps_are_spaced() -> None:
    reaper, tables = filled(2, spread_ms=1)
    reaper.sweep(tables, START_MS + GRACE_MS, 100, NOTHING_HELD)
    assert reaper.next_ms == START_MS + GRACE_MS + SWEEP_INTERVAL_MS
    assert Reaper(1_600, 1_600).interval_ms == 100, "a short grace asks for more frequent sweeps"


def test_a_slice_ends_near_its_budget_and_asks_for_more() -> None:
    reaper, tables = filled(400)
    now_ms = START_MS + GRACE_MS
    dropped, looked = reaper.sweep(tables, now_ms, 50, NOTHING_HELD)
    assert looked == len(dropped) == 100, "one shard at a time"
    assert reaper.next_ms == now_ms
    for _ in range(3):
        dropped += reaper.sweep(tables, now_ms, 50, NOTHING_HELD)[0]
    assert len(set(dropped)) == 400


def test_a_held_partition_keeps_its_tombstones_until_it_is_released() -> None:
    for which in range(2):
        held = (BitMap(), BitMap())
        held[which].add(2)
        reaper, tables = filled(8)
        now_ms = START_MS + GRACE_MS
        dropped, _ = reaper.sweep(tables, now_ms, 100, held, lambda shard, key: True)
        assert {shard for shard, _, _ in dropped} == {0, 1, 3}
        for shard, key, _ in dropped:
            tables.remove(shard, key)
        assert reaper.next_ms == now_ms + HELD_RETRY_MS
        assert reaper.due_shards(now_ms // 1000) == [2], "it is overdue all the same"
        held[which].discard(2)
        assert len(reaper.sweep(tables, now_ms + HELD_RETRY_MS, 100, held)[0]) == 2


def test_what_is_confirmed_goes_early_but_not_before_the_least_grace() -> None:
    reaper, tables = filled(8, early_ms=EARLY_MS)
    asked: list[bytes] = []

    def confirmed(shard: int, key: bytes) -> bool:
        asked.append(key)
        return shard == 1

    assert reaper.sweep(tables, START_MS + EARLY_MS - 1, 100, NOTHING_HELD, confirmed) == ([], 0)
    dropped, _ = reaper.sweep(tables, START_MS + EARLY_MS, 100, NOTHING_HELD, confirmed)
    assert dropped == [(1, b"1", True), (1, b"5", True)]
    assert len(asked) == 8
    assert reaper.next_ms == START_MS + EARLY_MS + HELD_RETRY_MS, "the others are asked about again"
