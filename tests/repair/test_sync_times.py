"""Sync times: who has been without another complete copy for too long."""

from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from dynacache.repair.sync_times import SyncTimes

GRACE_MS = 1000
LIMIT_MS = 800
BOTH = BitMap([0, 1])
NONE = BitMap()


def test_a_copy_is_overdue_after_its_share_of_the_grace_limit() -> None:
    sync = SyncTimes.since(5000, 4, GRACE_MS)
    assert sync.next_due_ms == 5000 + LIMIT_MS
    assert sync.overdue(BOTH, NONE, 5000 + LIMIT_MS) == NONE
    sync.synced(1, 5100)
    assert sync.overdue(BOTH, NONE, 5001 + LIMIT_MS) == BitMap([0])


def test_a_sync_never_goes_back() -> None:
    sync = SyncTimes.since(5000, 4, GRACE_MS)
    sync.synced(1, 6000)
    sync.synced(1, 5500)
    sync.synced_all(BitMap([0, 1]), 5800)
    assert list(sync.times_ms) == [5800, 6000, 5000, 5000]


def test_a_clock_that_had_run_ahead_leaves_no_sync_in_the_future() -> None:
    sync = SyncTimes.since(5000, 4, GRACE_MS)
    sync.synced(0, 90_000)
    sync.set_back(5_200)
    assert list(sync.times_ms) == [5_200, 5_000, 5_000, 5_000]
    assert sync.next_due_ms == 5_200
    assert sync.overdue(BOTH, NONE, 5_201 + LIMIT_MS) == BOTH


def test_the_unjudged_start_anew_and_the_lonely_are_not_asked_for() -> None:
    sync = SyncTimes.since(5000, 4, GRACE_MS)
    assert sync.overdue(BitMap([0]), BitMap([0]), 9000) == NONE
    assert sync.overdue(BitMap([0]), NONE, 9000 + LIMIT_MS) == NONE
    assert sync.overdue(BOTH, NONE, 9001 + LIMIT_MS) == BOTH


def test_what_was_completed_counts_from_then_though_it_was_looked_at_meanwhile() -> None:
    sync = SyncTimes.since(5000, 4, GRACE_MS)
    sync.overdue(BOTH, BitMap([0]), 5700)
    sync.synced(1, 5700)
    sync.completed(0, 5300)
    assert sync.next_due_ms <= 5301 + LIMIT_MS
    assert sync.overdue(BOTH, NONE, 5301 + LIMIT_MS) == BitMap([0])


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 300), st.booleans()), max_size=40),
)
def test_nobody_is_overdue_before_the_due_time(steps: list[tuple[int, int, bool]]) -> None:
    """Whoever calls only when ``next_due_ms`` has come marks nobody later than whoever calls all the time."""
    lazy, eager = SyncTimes.since(0, 4, GRACE_MS), SyncTimes.since(0, 4, GRACE_MS)
    now_ms = 0
    shared = BitMap(range(4))
    marked_lazily, marked_eagerly = BitMap(), BitMap()
    for partition, elapsed_ms, synced in steps:
        now_ms += elapsed_ms
        if synced:
            lazy.synced(partition, now_ms)
            eager.synced(partition, now_ms)
        marked_eagerly |= eager.overdue(shared, NONE, now_ms)
        if now_ms >= lazy.next_due_ms:
            marked_lazily |= lazy.overdue(shared, NONE, now_ms)
        assert marked_lazily == marked_eagerly
