"""A real node keeps to its limit, as the operating system counts it."""

import sys

import attrs
import pytest

from dynacache.cli.bench.soak import Watch, run_phase
from dynacache.cli.bench.soak_load import Phase
from dynacache.cli.local_cluster import LocalCluster
from dynacache.cli.processes import ProcessGroup

LIMIT = 96 * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_resident_memory_stays_within_five_per_cent_of_the_limit() -> None:
    with ProcessGroup() as group:
        cluster = LocalCluster(group, 1, str(LIMIT))
        try:
            cluster.start()
            cluster.wait_until_agreed()
            phase = Phase("127.0.0.1", cluster.ports[0], cluster.children[0].pid, key_count=22_000, depth=32)
            with Watch(phase.pid) as watch:
                filled = run_phase(attrs.evolve(phase, fill=True))
                churn = run_phase(attrs.evolve(phase, seconds=1.0, seed=2))
            report = cluster.report(0, "statistics")
        finally:
            cluster.close()
    assert filled.failures == churn.failures == 0
    assert report["storage_evicted"] > 0
    assert report["memory_limit_bytes"] == LIMIT
    assert report["memory_store_limit_bytes"] >= report["memory_store_floor_bytes"]
    assert max(counted for _, counted in watch.samples) <= 1.05 * LIMIT
    assert watch.samples[-1][1] >= 0.9 * LIMIT
