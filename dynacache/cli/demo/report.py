"""The demo's findings: as figures for a file, as a verdict for people.

What: `figures_of` gathers everything a run found into one map, `passed` judges it, `print_verdict` says it, and
`print_how_to_use` tells how to go on with a cluster that is kept.

Invariant: what decides the exit code is in the figures, so a script that reads the file comes to the same verdict.

Definitions: *failed* is an error within the client's deadline, after its retries; *unknown* a write that may have been
applied; *lost* as in `verdict`; *availability* the share of requests that were neither failed nor unknown.
"""

from collections.abc import Mapping
from typing import Any

from dynacache.cli.demo.verdict import Verdict
from dynacache.cli.demo.workload import Counts
from dynacache.cli.demo_options import DemoOptions
from dynacache.cli.local_cluster import LocalCluster
from dynacache.cli.processes import ProcessGroup

__all__ = ["figures_of", "passed", "print_how_to_use", "print_verdict"]


def figures_of(
    options: DemoOptions,
    counts: Counts,
    verdict: Verdict,
    elapsed: float,
    evictions: int,
    events: Mapping[str, float],
    crashes: list[str],
) -> dict[str, Any]:
    """Everything the demo found, as it goes into the file of ``--json``."""
    return {
        "requests": counts.requests,
        "failed": counts.failed,
        "unknown": counts.unknown,
        "lost_acknowledged_writes": verdict.lost_acknowledged_writes,
        "evicted": evictions + verdict.evicted_keys,
        "hit_ratio": round(counts.hit_ratio, 6),
        "p50_ms": round(counts.latencies.percentile_ms(0.5), 3),
        "p99_ms": round(counts.latencies.percentile_ms(0.99), 3),
        "p999_ms": round(counts.latencies.percentile_ms(0.999), 3),
        "availability": round(counts.availability, 6),
        "requests_per_s": round(counts.requests / elapsed, 1),
        "reads": counts.reads,
        "acknowledged_writes": verdict.acknowledged_writes,
        "keys_read_back": verdict.keys_read,
        "wrong_values": counts.wrong_values,
        "foreign_values": verdict.foreign_values,
        "refused_but_applied": verdict.refused_but_applied,
        "nodes": options.nodes,
        "seconds": round(elapsed, 3),
        "trace": str(options.trace) if options.trace else None,
        **events,
        "errors": dict(counts.errors.most_common(20)),
        "losses": list(verdict.examples),
        "crashes": crashes,
    }


def passed(figures: Mapping[str, Any]) -> bool:
    """Whether nothing went wrong that must not."""
    zero = ("failed", "lost_acknowledged_writes", "wrong_values", "foreign_values", "refused_but_applied")
    return not any(figures[name] for name in zero) and not figures["crashes"]


def print_verdict(figures: Mapping[str, Any]) -> None:
    """Say what the figures mean."""
    print(
        f"{figures['requests']:,} requests in {figures['seconds']:.1f} s ({figures['requests_per_s']:,.0f}/s),"
        f" p50 {figures['p50_ms']:.2f} ms, p99 {figures['p99_ms']:.2f} ms, hit ratio {figures['hit_ratio']:.1%}"
    )
    print(
        f"availability {figures['availability']:.4%}: {figures['failed']} failed, {figures['unknown']} of unknown fate"
    )
    print(
        f"{figures['acknowledged_writes']:,} acknowledged writes on {figures['keys_read_back']:,} keys read back at"
        f" quorum: {figures['lost_acknowledged_writes']} lost, {figures['evicted']} evicted"
    )
    for name in ("wrong_values", "foreign_values", "refused_but_applied"):
        if figures[name]:
            print(f"{name.replace('_', ' ')}: {figures[name]}")
    for text, count in figures["errors"].items():
        print(f"  {count} x {text}")
    for text in (*figures["losses"], *figures["crashes"]):
        print(f"  {text}")
    print("VERDICT: nothing failed, nothing was lost" if passed(figures) else "VERDICT: NOT HELD")


def print_how_to_use(cluster: LocalCluster, group: ProcessGroup) -> None:
    """Tell how to use and how to end a cluster that keeps running."""
    address = cluster.addresses[0]
    pids = " ".join(str(child.pid) for child in cluster.children)
    print(f"\nThe cluster keeps running on {', '.join(cluster.addresses)}; logs are in {group.folder}. Try:")
    print(f"  dynacache cluster status --server {address}")
    print(f"  dynacache set greeting hello --server {address}")
    print(f"  dynacache get greeting --server {cluster.addresses[1]}")
    print(f'  python -c \'import dynacache; print(dynacache.Client("{address}").get("greeting"))\'')
    print(f"  kill {pids} && rm -r {group.folder}    # stops it")
