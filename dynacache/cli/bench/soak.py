"""The soak: does one limit hold for what the operating system sees, hour after hour of writes and deletes?

What: `soak` starts one node with ``--memory``, rewrites and deletes in a store that is half full, fills it to four
times the limit, then rewrites and deletes all over for as long as told; values are of mixed sizes
(`soak_load.SIZES`). A thread reads the node's resident memory ten times a second all along.

Invariant: what is judged is what ``/proc`` says of the node's process, not what the node says of itself; pauses are
judged by the node's own processor time, and shown as wall time as well.

Why below the limit first: the promise about throughput compares the same draws with and without eviction. They are not
the same requests all the same: below, nearly every set finds its key and replaces, above, most find none, insert and
evict. What an insertion costs without eviction is seen when the first half is filled; both comparisons are told, and
the promise is held against the one with rewrites.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import attrs

from dynacache.cli.bench.cpu import resident_bytes
from dynacache.cli.bench.repeated import Repeated
from dynacache.cli.bench.soak_load import Found, Phase
from dynacache.cli.local_cluster import LocalCluster
from dynacache.cli.processes import ProcessGroup, StartFailed, child_environment

__all__ = ["MEAN_ENTRY_BYTES", "Memory", "SoakFigures", "Watch", "run_phase", "soak"]

MEAN_ENTRY_BYTES = 2_750
"""What an entry of the mixture takes on the average, key and overhead included."""

_HALF_SHARE = 0.5
_SET_SHARE = 0.8
_OVER = 4
_SETTLE_S = 2.0
_PHASE_SHARE = 0.05
_LEAST_PHASE_S = 5.0


@attrs.frozen
class Memory:
    """Resident memory during a phase, as parts of the limit."""

    least: float
    median: float
    most: float
    samples: int


@attrs.frozen
class SoakFigures:
    """What a soak found."""

    limit_bytes: int
    seconds: float
    inserting: Found
    """Filling the first half: every set inserts, and there is room."""
    below: Found
    """Rewrites and deletes in a store that is half full."""
    filling: Found
    churn: Found
    filling_memory: Memory
    churn_memory: Memory
    by_minute: tuple[Memory, ...]
    report: dict[str, Any]
    """What the node said of its memory at the end."""

    @property
    def kept_rate(self) -> float:
        """Throughput above the limit as a part of that below."""
        return self.churn.rate / self.below.rate if self.below.rate else 0.0

    @property
    def kept_cpu_rate(self) -> float:
        """The same by the node's processor time, which others on the machine do not blur."""
        return self.churn.cpu_rate / self.below.cpu_rate if self.below.cpu_rate else 0.0

    @property
    def kept_of_inserts(self) -> tuple[float, float]:
        """Inserting above the limit as a part of inserting below it: by the clock, and by processor time."""
        inserting, filling = self.inserting, self.filling
        if not inserting.rate or not inserting.cpu_rate:
            return 0.0, 0.0
        return filling.rate / inserting.rate, filling.cpu_rate / inserting.cpu_rate

    @property
    def kept_of_mixture(self) -> float:
        """Throughput above the limit as a part of what the same mixture of requests would have with room, by processor
        time: as many sets that insert, at what they cost below, and the rest at what rewrites cost there."""
        inserts = _SET_SHARE * self.churn.missing_share
        if not self.churn.cpu_rate or not self.below.cpu_rate or not self.inserting.cpu_rate:
            return 0.0
        below_s = inserts / self.inserting.cpu_rate + (1 - inserts) / self.below.cpu_rate
        return below_s * self.churn.cpu_rate


@attrs.define(eq=False)
class Watch(Repeated):
    """Reads a process's resident memory."""

    pid: int
    samples: list[tuple[float, int]] = attrs.field(factory=list)
    """(monotonic second, bytes)."""

    def look(self) -> None:
        """Read it once."""
        counted = resident_bytes(self.pid)
        if counted is not None:
            self.samples.append((time.monotonic(), counted))

    def between(self, began_s: float, ended_s: float, limit_bytes: int) -> Memory:
        """Sum up what was seen in a stretch of time."""
        parts = [counted / limit_bytes for at_s, counted in self.samples if began_s <= at_s <= ended_s]
        if not parts:
            return Memory(0.0, 0.0, 0.0, 0)
        return Memory(min(parts), statistics.median(parts), max(parts), len(parts))


def run_phase(phase: Phase) -> Found:
    """Carry a phase out in a process of its own; raises StartFailed with its words."""
    ended = subprocess.run(
        [sys.executable, "-m", "dynacache.cli.bench.soak_load"],
        input=json.dumps(attrs.asdict(phase)),
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(),
    )
    if ended.returncode:
        raise StartFailed(f"the load ended early: {ended.stderr.strip()[-500:]}")
    return Found(**json.loads(ended.stdout))


def soak(limit_bytes: int, seconds: float, settings: tuple[str, ...], tell: Callable[[str], None]) -> SoakFigures:
    """Start a node with a limit and soak it; raises StartFailed."""
    with ProcessGroup() as group:
        cluster = LocalCluster(group, 1, str(limit_bytes), settings)
        try:
            cluster.start()
            cluster.wait_until_agreed()
            with Watch(cluster.children[0].pid) as watch:
                return _soak(cluster, watch, limit_bytes, seconds, tell)
        finally:
            cluster.close()


def _soak(
    cluster: LocalCluster, watch: Watch, limit_bytes: int, seconds: float, tell: Callable[[str], None]
) -> SoakFigures:
    keys = limit_bytes // MEAN_ENTRY_BYTES
    phase = Phase("127.0.0.1", cluster.ports[0], watch.pid, seconds=max(_LEAST_PHASE_S, seconds * _PHASE_SHARE))
    half = int(keys * _HALF_SHARE)
    tell(f"half full: {half:,} entries of mixed sizes, then rewrites and deletes for {phase.seconds:.0f} s")
    inserting = run_phase(attrs.evolve(phase, key_count=half, fill=True))
    below = run_phase(attrs.evolve(phase, key_count=half, seed=2, set_share=_SET_SHARE))
    tell(f"filling to {_OVER} times the limit: {_OVER * keys:,} entries")
    began_s = time.monotonic()
    filling = run_phase(attrs.evolve(phase, key_count=_OVER * keys, fill=True, seed=3))
    filled_s = time.monotonic()
    tell(f"rewriting and deleting among them for {seconds:.0f} s")
    churn = run_phase(attrs.evolve(phase, key_count=_OVER * keys, seconds=seconds, seed=4, set_share=_SET_SHARE))
    ended_s = time.monotonic()
    cluster.check_running()
    minutes = [filled_s + 60 * minute for minute in range(int((ended_s - filled_s) // 60) + 1)]
    report = cluster.report(0, "statistics")
    return SoakFigures(
        limit_bytes,
        seconds,
        inserting,
        below,
        filling,
        churn,
        watch.between(began_s, filled_s, limit_bytes),
        watch.between(filled_s + _SETTLE_S, ended_s, limit_bytes),
        tuple(watch.between(start_s, min(start_s + 60, ended_s), limit_bytes) for start_s in minutes),
        {name: value for name, value in report.items() if name.startswith(("memory_", "storage_usage", "storage_li"))},
    )
