"""The command `speed`: how much virtual time of a cluster passes in a second of one core.

What: runs a few seeds of five nodes at 20 operations a virtual second (or as asked), once in fair weather and once as
the seeds draw everything else, faults included, and prints virtual seconds per second of CPU time, judges included.

Invariant: one process, one core, CPU time and not the clock on the wall: what else the machine does changes little. A
run that does not hold measures nothing, and is told instead (exit code 1).
"""

import gc
import json
import sys
import time
from typing import Annotated, Any, Literal

import attrs
import cyclopts

from .run import run

__all__ = ["FAIR", "Speed", "measure", "register", "speed"]

_Output = Literal["table", "json"]
_WARM_UP_S = 1.0

FAIR: dict[str, Any] = {
    "joiners": 0,
    "fault_kinds": (),
    "startup_faults": False,
    "loss_rate": 0.0,
    "duplicate_rate": 0.0,
    "reorder_rate": 0.0,
    "storage_limit_bytes": 64 * 1024 * 1024,
    "exchange_interval_s": 10.0,
    "walk_interval_s": 600.0,
    "longest_timeout_ms": 60_000,
    "hint_lifetime_ms": 30 * 60 * 1000,
    "tombstone_grace_ms": 24 * 60 * 60 * 1000,
}
"""Options of fair weather: nothing goes wrong or is short, and replicas are compared as often as the product does by
itself. Drawn runs compare them up to twenty times as often, so that more happens in a virtual minute."""


@attrs.frozen
class Speed:
    """What some runs of one kind took."""

    seeds: int
    virtual_s: float
    cpu_s: float
    events: int
    not_held: tuple[int, ...]
    """Seeds that did not hold."""

    @property
    def virtual_s_per_cpu_s(self) -> float:
        """The figure."""
        return self.virtual_s / max(1e-9, self.cpu_s)


def register(app: cyclopts.App) -> None:
    """Add the command to the simulator's command line."""
    app.command(speed)


def speed(
    *,
    nodes: Annotated[int, cyclopts.Parameter(help="Nodes.")] = 5,
    operations_per_s: Annotated[float, cyclopts.Parameter(help="Operations a virtual second.")] = 20.0,
    seeds: Annotated[int, cyclopts.Parameter(help="Seeds of each kind, from 1.")] = 5,
    duration_s: Annotated[float, cyclopts.Parameter(help="Virtual seconds of workload in each run.")] = 30.0,
    output: _Output = "table",
) -> int:
    """Measure how fast virtual time passes, on one core."""
    fixed = {"nodes": nodes, "operations_per_s": operations_per_s, "duration_s": duration_s}
    run(1, **{**fixed, **FAIR, "duration_s": _WARM_UP_S})  # imports and caches
    found = {"fair": measure(seeds, fixed | FAIR), "drawn": measure(seeds, fixed)}
    if output == "json":
        rows = {name: attrs.asdict(each) for name, each in found.items()}
        for name, each in found.items():
            rows[name]["virtual_s_per_cpu_s"] = each.virtual_s_per_cpu_s
        _say(json.dumps({"nodes": nodes, "operations_per_s": operations_per_s, **rows}, sort_keys=True))
    else:
        for each in found.values():
            for seed in each.not_held:
                _say(f"seed {seed} did not hold")
        fair, drawn = (f"{each.virtual_s_per_cpu_s:.0f}" for each in found.values())
        _say(
            f"speed: {nodes} nodes at {operations_per_s:g} operations a virtual second: {fair} virtual s"
            f" per CPU second of one core in fair weather, {drawn} as drawn, faults included"
        )
    return 1 if any(each.not_held for each in found.values()) else 0


def measure(seeds: int, fixed: dict[str, Any]) -> Speed:
    """Run this many seeds with these options fixed; collection of garbage is paid between the runs, as in many runs."""
    virtual_s, events, not_held = 0.0, 0, []
    gc.disable()
    began_s = time.process_time()
    try:
        for seed in range(1, seeds + 1):
            result = run(seed, **fixed)
            virtual_s += result.virtual_s
            events += result.events
            if result.verdict != "held":
                not_held.append(seed)
            del result
            gc.collect()
    finally:
        gc.enable()
    return Speed(seeds, virtual_s, time.process_time() - began_s, events, tuple(not_held))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
