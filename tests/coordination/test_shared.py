"""The shared state of a turn: ids, errors, counters."""

from dynacache.errors import NotEnoughReplicas, TimedOut
from dynacache.wire.messages import ERROR
from tests.fake_cluster import FakeCluster


def test_errors_say_what_happened() -> None:
    shared = FakeCluster(3).nodes["n1"].shared
    shared.effects.sends.clear()
    shared.fail(5, 1, NotEnoughReplicas("level all cannot be reached now"))
    shared.timed_out(5, 2, "write", 1, 2)
    first, second = shared.effects.sends[5]
    assert first == (ERROR, 1, NotEnoughReplicas.code, "level all cannot be reached now")
    assert second == (ERROR, 2, TimedOut.code, "write timed out: 1 of 2 replicas answered")
    assert (shared.counters.errors, shared.counters.unavailable, shared.counters.timeouts) == (2, 1, 1)
