"""The fill: complete, nothing evicted, and its figures plausible. The full size is for `dynacache bench --memory`."""

import sys

import pytest

from dynacache.cli.bench.memory import MemoryFigures, measure
from dynacache.cli.processes import StartFailed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.parametrize(("ttl_s", "eviction"), [(0.0, "lru"), (0.0, "lfu"), (3600.0, "s3fifo")])
def test_a_small_fill(ttl_s: float, eviction: str) -> None:
    figures = measure(50_000, 39, 64, ttl_s, eviction)
    assert figures.eviction == eviction
    assert isinstance(figures, MemoryFigures)
    assert (figures.entries, figures.evicted, figures.ttl_s) == (50_000, 0, ttl_s)
    assert 80 < figures.accounted_overhead_bytes < 400
    assert 80 < figures.resident_overhead_bytes < 400
    assert 0 < figures.longest_insert_cpu_ms <= 50
    assert figures.longest_collection_ms > 0


def test_an_impossible_fill_is_said() -> None:
    with pytest.raises(StartFailed, match="exit code"):
        measure(0, 39, 64, 0.0)
