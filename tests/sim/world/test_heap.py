"""The heap: time in order, equal moments in the order of asking, nothing in the past."""

from sim.world.heap import START_S, Heap


def test_calls_come_in_the_order_of_their_time() -> None:
    heap = Heap()
    seen: list[str] = []
    for delay_s, name in ((0.3, "c"), (0.1, "a"), (0.2, "b"), (0.1, "a again")):
        heap.after(delay_s, seen.append, name)
    heap.run(START_S + 0.25)
    assert seen == ["a", "a again", "b"]
    assert (heap.now_s, heap.calls) == (START_S + 0.25, 3)


def test_the_past_is_now() -> None:
    heap = Heap()
    seen: list[float] = []
    heap.at(0.0, lambda: seen.append(heap.now_s))
    heap.run(START_S + 1)
    assert seen == [START_S]


def test_calls_may_ask_for_calls_and_end_the_run() -> None:
    heap = Heap()
    seen: list[float] = []

    def again() -> None:
        seen.append(heap.now_s)
        heap.after(1.0, again)
        heap.halted = len(seen) == 3

    heap.at(START_S, again)
    heap.run(START_S + 100)
    assert seen == [START_S, START_S + 1, START_S + 2]
    assert heap.now_s == START_S + 2
