"""The pace of repair: a rate that holds, and clients first."""

from hypothesis import given
from hypothesis import strategies as st

from dynacache.repair.exchange_pace import Pace


def test_a_debt_is_waited_for() -> None:
    pace = Pace(1000, 0.5, 1.0)
    assert pace.ready_s(10.0, 0.0) <= 10.0
    pace.moved(3000, 10.0)
    assert pace.room_bytes(10.0) == 0
    assert pace.ready_s(10.0, 0.0) == 12.0
    assert pace.ready_s(11.5, 0.0) == 12.0
    assert pace.pauses == 2
    assert pace.ready_s(12.1, 0.0) <= 12.1


def test_a_node_at_rest_saves_one_second() -> None:
    pace = Pace(1000, 0.5, 1.0)
    assert pace.room_bytes(1e6) == 1000


def test_rest_before_a_large_message_does_not_pay_for_it() -> None:
    pace = Pace(1000, 0.5, 1.0)
    pace.moved(5000, 100.0)
    assert pace.ready_s(100.0, 0.0) == 104.0


def test_busy_clients_get_a_second_between_steps_and_repair_never_none() -> None:
    pace = Pace(10**9, 0.5, 1.0)
    steps = 0
    for tick in range(100):
        now_s = tick / 10
        if pace.ready_s(now_s, 0.9) <= now_s:
            pace.stepped(now_s)
            steps += 1
    assert steps == 10
    assert pace.ready_s(10.05, 0.1) <= 10.05


@given(st.lists(st.tuples(st.floats(0.0, 2.0), st.integers(1, 5000)), max_size=60))
def test_the_rate_holds_over_any_stretch(steps: list[tuple[float, int]]) -> None:
    pace = Pace(1000, 0.5, 1.0)
    now_s, moved, largest = 0.0, 0, 0
    for wait_s, size_bytes in steps:
        now_s += wait_s
        if pace.ready_s(now_s, 0.0) <= now_s:
            pace.moved(size_bytes, now_s)
            moved += size_bytes
            largest = max(largest, size_bytes)
    assert moved <= 1000 * now_s + 1000 + largest
    assert pace.moved_bytes == moved
