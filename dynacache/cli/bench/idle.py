"""What an idle cluster costs: the processor time of nodes that hold data and are asked nothing.

What: `idle_share` starts nodes, fills them, lets them finish what the fill has left to do, and reads their CPU clocks
over a stretch of time. Measured twice, with repair as it is by default and with repair that never comes, the difference
is what repair costs.

Invariant: nobody asks the nodes for reports while they are measured, since an answer costs more than a minute of rest.

Why the difference: a profile would count only what runs under a function's name, not the wake-ups that it causes.
"""

import time
from collections.abc import Callable

import attrs

from dynacache.cli.bench.cpu import cpu_seconds
from dynacache.cli.local_cluster import LocalCluster
from dynacache.cli.processes import ProcessGroup, StartFailed
from dynacache.cli.session import Connection, client_factory

__all__ = ["NO_REPAIR", "IdleFigures", "idle_figures", "idle_share"]

NO_REPAIR = ("repair.exchange_interval_s=1000000", "repair.walk_interval_s=1000000")
_BATCH = 250
_SETTLE_S = 25.0
_CLIENT_TIMEOUT_S = 10.0


@attrs.frozen
class IdleFigures:
    """Shares of one core, for one node."""

    nodes: int
    keys: int
    seconds: float
    with_repair: float
    without_repair: float

    @property
    def repair(self) -> float:
        """What repair adds; never below 0."""
        return max(0.0, self.with_repair - self.without_repair)


def idle_figures(nodes: int, keys: int, seconds: float, memory: str, tell: Callable[[str], None]) -> IdleFigures:
    """Measure an idle cluster with and without repair; raises StartFailed."""
    shares = []
    for settings in ((), NO_REPAIR):
        with ProcessGroup() as group:
            cluster = LocalCluster(group, nodes, memory, settings)
            try:
                shares.append(idle_share(cluster, keys, seconds, tell))
            finally:
                cluster.close()
    return IdleFigures(nodes, keys, seconds, *shares)


def idle_share(cluster: LocalCluster, keys: int, seconds: float, tell: Callable[[str], None]) -> float:
    """The share of one core that a node takes when nothing is asked of it; the mean of all nodes."""
    cluster.start()
    cluster.wait_until_agreed()
    tell(f"filling {cluster.count} nodes with {keys:,} keys, then leaving them alone")
    client = client_factory.get()(Connection(server=cluster.addresses, timeout=_CLIENT_TIMEOUT_S))
    try:
        for start in range(0, keys, _BATCH):
            client.set_many({b"idle:%08d" % n: b"%064d" % n for n in range(start, min(start + _BATCH, keys))})
    finally:
        client.close()
    cluster.close()
    time.sleep(_SETTLE_S)
    before = [cpu_seconds(child.pid) for child in cluster.children]
    began = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    used = [
        after - earlier
        for earlier, child in zip(before, cluster.children, strict=True)
        if earlier is not None and (after := cpu_seconds(child.pid)) is not None
    ]
    cluster.check_running()
    if not used:
        raise StartFailed("this system does not tell how much processor time a process has used")
    return sum(used) / len(used) / took
