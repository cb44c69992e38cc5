"""Tombstones are named at the grace limit, in slices, and never while their partition is held."""

from pyroaring import BitMap

from dynacache.storage.reaper import HELD_RETRY_MS, SWEEP_INTERVAL_MS, Reaper
from dynacache.storage.tables import TableSet
from tests.storage.builders import START_MS, tombstone

GRACE_MS = 1_000_000
NOTHING_HELD = (BitMap(), BitMap())


def filled(count: int, spread_ms: int = 0) -> tuple[Reaper, TableSet]:
    reaper, tables = Reaper(GRACE_MS, 4), TableSet()
    tables.extend(4)
    for number in range(count):
        record = tombstone(now_ms=START_MS + number * spread_ms)
        tables.insert(number % 4, b"%d" % number, record)
        reaper.note(record)
    return reaper, tables


def test_nothing_is_looked_at_before_the_first_is_due() -> None:
    reaper, tables = filled(10)
    assert reaper.next_ms == START_MS + GRACE_MS
    assert reaper.sweep(tables, START_MS + GRACE_MS - 1, 100, NOTHING_HELD) == ([], 0)


def test_all_that_is_due_is_named_once_at_the_limit() -> None:
    reaper, tables = filled(10)
    dropped, looked = reaper.sweep(tables, START_MS + GRACE_MS, 100, NOTHING_HELD)
    assert sorted(dropped) == sorted((number % 4, b"%d" % number) for number in range(10))
    assert looked == 10
    assert reaper.next_ms is None


def test_younger_ones_stay_and_set_the_next_sweep() -> None:
    reaper, tables = filled(2, spread_ms=60_000)
    dropped, _ = reaper.sweep(tables, START_MS + GRACE_MS, 100, NOTHING_HELD)
    assert dropped == [(0, b"0")]
    assert reaper.next_ms == START_MS + GRACE_MS + 60_000


def test_sweeps_are_spaced() -> None:
    reaper, tables = filled(2, spread_ms=1)
    reaper.sweep(tables, START_MS + GRACE_MS, 100, NOTHING_HELD)
    assert reaper.next_ms == START_MS + GRACE_MS + SWEEP_INTERVAL_MS


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
        dropped, _ = reaper.sweep(tables, now_ms, 100, held)
        assert {shard for shard, _ in dropped} == {0, 1, 3}
        for shard, key in dropped:
            tables.remove(shard, key)
        assert reaper.next_ms == now_ms + HELD_RETRY_MS
        held[which].discard(2)
        assert len(reaper.sweep(tables, now_ms + HELD_RETRY_MS, 100, held)[0]) == 2
