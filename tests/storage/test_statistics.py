"""Statistics are a frozen copy that tells what happened."""

import attrs
import pytest

from tests.storage.builders import START_MS, engine_of, key_of, tombstone, value


def test_every_figure_moves_with_what_it_names() -> None:
    engine = engine_of(limit_bytes=60_000, gc_grace_min_ms=1, gc_grace_max_ms=1_000)
    engine.put(0, b"brief", value(ttl_ms=10))
    engine.put(1, b"dead", tombstone())
    engine.put(2, b"kept", value())
    before = engine.statistics()
    assert (before.entries, before.tombstones, before.expiring) == (2, 1, 1)
    assert engine.get(2, b"kept", START_MS) is not None
    assert engine.get(1, b"dead", START_MS) is not None
    engine.collect(START_MS + 5_000)
    for number in range(200):
        engine.put(number % 4, key_of(number), value(400))
    after = engine.statistics()
    assert (after.hits, after.misses, after.expired, after.reaped) == (1, 1, 1, 1)
    assert after.evicted > 0
    assert after.entries == 201 - after.evicted
    assert after.ghosts > 0
    assert after.usage.total_bytes <= after.limit_bytes == 60_000
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        after.entries = 0  # type: ignore[misc]
