"""The hybrid clock: strictly increasing, causal, and deaf to clocks that run too far ahead."""

from hypothesis import given
from hypothesis import strategies as st

from dynacache.versioning.hybrid_clock import HybridClock, milliseconds

walls = st.integers(0, 2**40)


@given(st.lists(st.tuples(st.booleans(), walls, st.integers(-600, 600)), max_size=40))
def test_a_tick_exceeds_everything_issued_or_accepted_before(events: list[tuple[bool, int, int]]) -> None:
    clock = HybridClock(max_skew_ms=500)
    highest = highest_wall_ms = 0
    for is_tick, wall_ms, ahead_ms in events:
        if is_tick:
            timestamp = clock.tick(wall_ms)
            highest_wall_ms = max(highest_wall_ms, wall_ms)
            assert timestamp > highest
            assert milliseconds(timestamp) >= wall_ms
            highest = timestamp
        else:
            remote = max(wall_ms + ahead_ms, 0) << 16 | 7
            accepted = clock.observe(remote, wall_ms)
            assert accepted == (remote >> 16 <= max(wall_ms, highest_wall_ms) + 500)
            highest = max(highest, remote) if accepted else highest
        assert clock.last == highest


def test_without_skew_it_reads_as_the_wall_clock() -> None:
    clock = HybridClock()
    assert [clock.tick(wall_ms) for wall_ms in (5, 6, 7)] == [5 << 16, 6 << 16, 7 << 16]


def test_events_of_one_millisecond_count_up() -> None:
    clock = HybridClock()
    assert [clock.tick(5) for _ in range(3)] == [5 << 16, 5 << 16 | 1, 5 << 16 | 2]


def test_a_full_counter_carries_into_the_milliseconds() -> None:
    clock = HybridClock(last=5 << 16 | 0xFFFF)
    assert clock.tick(5) == 6 << 16


def test_a_wall_clock_that_goes_back_is_ignored() -> None:
    clock = HybridClock()
    before = clock.tick(1000)
    assert clock.tick(10) == before + 1


def test_a_timestamp_too_far_ahead_changes_nothing() -> None:
    clock = HybridClock(max_skew_ms=500)
    clock.tick(1000)
    assert not clock.observe(1501 << 16, 1000)
    assert clock.last == 1000 << 16
    assert clock.observe(1500 << 16 | 0xFFFF, 1000)
    assert milliseconds(clock.tick(1000)) == 1501


def test_machines_whose_clocks_were_set_back_together_understand_each_other() -> None:
    first, second = HybridClock(), HybridClock()
    first.tick(1_000_000)
    second.tick(1_000_300)
    assert first.observe(second.tick(10_000), 10_000)
    assert second.observe(first.tick(10_001), 10_001)
    assert milliseconds(first.tick(20_000)) == 1_000_300, "it counts on until the wall clock has caught up"


def test_a_clock_that_was_never_there_follows_nobody_there() -> None:
    clock = HybridClock()
    clock.tick(1_000_000)
    clock.tick(10_000)
    assert not clock.observe(1_000_501 << 16, 10_000), "the bound does not creep"
    assert clock.observe(1_000_500 << 16, 10_000)
    assert not clock.observe(1_000_501 << 16, 10_000)


def test_a_clock_that_had_run_ahead_is_set_back() -> None:
    clock = HybridClock()
    clock.tick(1_000_000)
    clock.set_back(10_000)
    assert milliseconds(clock.tick(10_000)) == 10_000
    assert not clock.observe(1_000_000 << 16, 10_000)
