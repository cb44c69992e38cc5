"""Counters are plain integers by name."""

from dynacache.coordination.counters import Counters


def test_a_snapshot_has_every_counter() -> None:
    counters = Counters()
    counters.reads += 3
    snapshot = counters.snapshot()
    assert snapshot["reads"] == 3
    assert sum(snapshot.values()) == 3
    assert {"hits", "misses", "hints_stored", "hints_lost", "read_repairs"} <= set(snapshot)
