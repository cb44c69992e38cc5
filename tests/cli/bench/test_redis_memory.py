"""Redis is filled with what we are filled with, and asked what that costs."""

import pytest

from dynacache.cli.bench import redis_memory


@pytest.mark.skipif(not redis_memory.is_there(), reason="redis-server is not installed")
@pytest.mark.parametrize("ttl_s", [0.0, 3600.0])
def test_a_small_fill(ttl_s: float) -> None:
    found = redis_memory.measure(30_000, 39, 64, ttl_s)
    assert (found.entries, found.ttl_s, found.eviction) == (30_000, ttl_s, "allkeys-lru")
    assert found.version
    assert 50 < found.accounted_overhead_bytes < 250
    assert 20 < found.resident_overhead_bytes < 400
