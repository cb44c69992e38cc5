"""Deadlines in order, without a heap."""

from hypothesis import given
from hypothesis import strategies as st

from dynacache.coordination.timeline import TIMEOUT_CLASSES_MS, Timeline, timeout_class_ms


@given(st.integers(1, 100_000))
def test_a_timeout_is_rounded_up_to_a_class(timeout_ms: int) -> None:
    rounded = timeout_class_ms(timeout_ms)
    assert rounded in TIMEOUT_CLASSES_MS
    assert rounded >= min(timeout_ms, TIMEOUT_CLASSES_MS[-1])


@given(st.lists(st.tuples(st.floats(0, 5), st.sampled_from(TIMEOUT_CLASSES_MS)), max_size=50))
def test_every_id_comes_up_once_at_or_after_its_time(added: list[tuple[float, int]]) -> None:
    timeline = Timeline()
    due_at: dict[int, float] = {}
    now_s = 0.0
    for request_id, (pause_s, delay_ms) in enumerate(added):
        now_s += pause_s
        timeline.add(now_s, delay_ms, request_id)
        due_at[request_id] = now_s + delay_ms / 1000
    came_up: list[int] = []
    while len(timeline):
        next_s = timeline.next_due()
        assert next_s == min(due_at[request_id] for request_id in due_at if request_id not in came_up)
        assert timeline.due(next_s - 1e-6) == []
        came_up += timeline.due(next_s)
    assert sorted(came_up) == sorted(due_at)
    assert timeline.next_due() == float("inf")
