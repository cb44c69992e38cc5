"""The commands that measure and compute: `membership`, `capacity`, `staleness`.

What: each gathers the figures of one module, and prints tables for people, or one JSON object with ``--output json``.
``register`` puts them on the simulator's command line.

Invariant: figures come from the modules; nothing is computed here but units.

Why real time is read here: `membership` says how long it took, and `capacity` measures costs; the modules take the
clock as an argument.
"""

import gc
import json
import math
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Literal

import attrs
import cyclopts
from cyclopts import Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from dynacache.types import Level

from . import capacity as capacity_model
from . import membership_scale, operation_costs, staleness_check
from . import staleness as staleness_model
from .staleness_plot import plot as plot_png

__all__ = ["PAPERS", "capacity", "membership", "register", "staleness"]

_Output = Literal["table", "json"]
_LevelName = Literal["one", "quorum", "all"]
_MOMENTS_MS = (0.0, 1.0, 5.0, 10.0, 25.0)
_GIGABYTE = 1e9

PAPERS: tuple[tuple[str, str, str], ...] = (
    ("first detection", "1 / (1 - 1/e) = 1.58 periods, mean", "SWIM, section 3.1; ours: 1 s, accused at its end"),
    ("first detection", "does not change with N, up to 55", "SWIM, section 5.2; ours: to first suspicion"),
    ("spread", "a few periods, slowly rising with N", "SWIM, section 5.2; ours: gossip of its own every 0.2 s"),
    ("suspicion", "3 ceil(log(N + 1)) periods", "SWIM, section 5; ours 4 log10(N) once confirmed, else 6 times that"),
    ("load", "2.0 messages a period, up to N = 55", "SWIM, section 5.1; ours at rest"),
    ("false deaths", "50 to 100 times fewer than SWIM's", "Lifeguard, section V; compare with --plain"),
)
"""What the papers report: figure, value, where and what differs."""


def register(app: cyclopts.App) -> None:
    """Add the commands to an application."""
    for command in (membership, capacity, staleness):
        app.command(command)


def membership(
    *,
    nodes: Annotated[list[int] | None, Parameter(help="Cluster sizes; left out, 10, 100 and 1,000.")] = None,
    seed: Annotated[int, Parameter(help="Of the first life; each further one has the next.")] = 1,
    lives: Annotated[int, Parameter(help="Lives of each size; 0 takes more of them for small clusters.")] = 0,
    plain: Annotated[bool, Parameter(help="Without Lifeguard and last calls, to compare.")] = False,
    output: _Output = "table",
) -> int:
    """Measure the membership protocol alone: detection, false accusations, load, joining."""
    rows: list[dict[str, Any]] = []
    errors = Console(stderr=True)
    gc.disable()  # a thousand cores are a million objects and no cycle; to look for one again and again takes minutes
    try:
        for size in nodes or [10, 100, 1_000]:
            began_s = time.perf_counter()
            with errors.status(f"{size} nodes") as status:
                found = [
                    membership_scale.measure(
                        size,
                        seed + number,
                        membership_scale.PLAIN if plain else None,
                        tell=lambda phase, size=size: status.update(f"{size} nodes: {phase}"),  # type: ignore[misc]
                    )
                    for number in range(lives or membership_scale.repeats(size))
                ]
            summary = membership_scale.combine(found)
            rows.append(attrs.asdict(summary) | {"real_s": time.perf_counter() - began_s})
            gc.collect()
    finally:
        gc.enable()
    if output == "json":
        return _print_json({"sizes": rows, "papers": [list(row) for row in PAPERS]})
    _print_table(
        ["", *(f"{row['nodes']} nodes" for row in rows)], [[name, *cells] for name, *cells in _membership(rows)]
    )
    _print_table(["", "the papers report", "where, and what differs"], [list(row) for row in PAPERS])
    return 0


def capacity(
    *,
    nodes: Annotated[int, Parameter(help="Nodes of the first cluster.")] = 16,
    memory_gigabytes: Annotated[int, Parameter(help="Memory of each node.")] = 64,
    users: Annotated[int, Parameter(help="Users.")] = 50_000_000,
    requests_per_user_day: Annotated[float, Parameter(help="Requests of each on a day.")] = 100.0,
    peak_per_s: Annotated[float, Parameter(help="Requests a second at the peak.")] = 100_000.0,
    read_share: Annotated[float, Parameter(help="Share of reads.")] = 0.8,
    distinct_terabytes: Annotated[float, Parameter(help="Distinct data of the second cluster.")] = 1.0,
    key_bytes: Annotated[int, Parameter(help="Size of a key.")] = 39,
    value_bytes: Annotated[int, Parameter(help="Size of a value.")] = 1_000,
    read_level: Annotated[_LevelName, Parameter(help="Level of reads.")] = "quorum",
    write_level: Annotated[_LevelName, Parameter(help="Level of writes.")] = "quorum",
    operations: Annotated[int, Parameter(help="Operations in each round of measuring.")] = 1_024,
    output: _Output = "table",
) -> int:
    """Compute clusters from the measured cost of operations and entries."""
    lone, batched = (
        operation_costs.measure(
            time.process_time,
            batch=batch,
            nodes=min(nodes, 16),
            key_bytes=key_bytes,
            value_bytes=value_bytes,
            read_level=Level[read_level.upper()],
            write_level=Level[write_level.upper()],
            operations=operations,
        )
        for batch in (1, 16)
    )
    overhead = operation_costs.entry_overhead_bytes(key_bytes, value_bytes)
    work = capacity_model.Workload(users, requests_per_user_day, peak_per_s, read_share)
    machine = capacity_model.Machine(memory_bytes=int(memory_gigabytes * _GIGABYTE))
    payload_bytes = distinct_terabytes * 1e12
    by_memory, by_core = capacity_model.nodes_for(payload_bytes, work, machine, batched, overhead)
    _, by_core_lone = capacity_model.nodes_for(payload_bytes, work, machine, lone, overhead)
    plans = [
        capacity_model.plan(size, work, machine, lone, batched, overhead) for size in (nodes, max(by_memory, by_core))
    ]
    if output == "json":
        return _print_json(
            {
                "costs": [attrs.asdict(lone), attrs.asdict(batched)],
                "entry_overhead_bytes": overhead,
                "mean_per_s": work.mean_per_s,
                "machine": attrs.asdict(machine),
                "plans": [attrs.asdict(each) for each in plans],
                "nodes_by_memory": by_memory,
                "nodes_by_core_batched": by_core,
                "nodes_by_core_lone": by_core_lone,
            }
        )
    _print_table(["measured, per operation", "read", "write"], _costs(lone, batched))
    _print_table(
        ["", f"{nodes} nodes", f"{distinct_terabytes:g} TB distinct"], _plans(plans, work, machine, lone, overhead)
    )
    _say(
        f"{distinct_terabytes:g} TB of distinct data takes {by_memory} nodes by memory; the peak takes {by_core} by "
        f"computing with 16 requests a turn, {by_core_lone} with one, one node lost."
    )
    return 0


def staleness(
    *,
    n: Annotated[int, Parameter(help="Copies.")] = 3,
    r: Annotated[list[int] | None, Parameter(help="Answers of a read; left out, every useful one.")] = None,
    w: Annotated[list[int] | None, Parameter(help="Acknowledgements of a write; likewise.")] = None,
    way: Annotated[
        Literal["owner", "outside"], Parameter(help="owner: through any owner, which counts itself; outside: ask all.")
    ] = "owner",
    latency_ms: Annotated[float, Parameter(help="Mean of one leg.")] = 0.6,
    tail_share: Annotated[float, Parameter(help="Share of slow legs.")] = 0.05,
    tail_ms: Annotated[float, Parameter(help="Mean of a slow leg.")] = 8.0,
    writes_per_s: Annotated[float, Parameter(help="Writes of one key a second, for the share over time.")] = 1.0,
    trials: Annotated[int, Parameter(help="Pairs of a write and a read.")] = 50_000,
    seed: Annotated[int, Parameter(help="Decides every draw.")] = 1,
    plot: Annotated[Path | None, Parameter(help="Also draw a PNG (needs the extra `sim`).")] = None,
    check: Annotated[bool, Parameter(help="Also run real nodes with these delays (n = 3, way owner).")] = False,
    output: _Output = "table",
) -> int:
    """Compute how often, and for how long, reads are stale at each level."""
    majority = n // 2 + 1
    pairs = [(one, other) for one in r or sorted({1, majority}) for other in w or sorted({1, majority, n})]
    latency = staleness_model.Latency(latency_ms, tail_share, tail_ms)
    found = staleness_model.simulate(n, pairs, latency, way=way, seed=seed, trials=trials)
    curves = [staleness_model.curve(each, _MOMENTS_MS, writes_per_s) for each in found]
    observed: dict[tuple[int, int], float] = {}
    if check:
        if n != 3 or way != "owner":
            raise ValueError("--check: real nodes are run with --n 3 --way owner only")
        observed = {pair: staleness_check.observe(*pair, latency, seed=seed) for pair in pairs}
    if plot is not None:
        until_ms = max(5.0, *(each.fresh_after_ms(0.999) for each in found))
        picture = BytesIO()
        plot_png(found, until_ms, picture)
        plot.write_bytes(picture.getvalue())
    if output == "json":
        rows = [attrs.asdict(each) | {"real_nodes_at_0": observed.get((each.r, each.w))} for each in curves]
        return _print_json({"moments_ms": list(_MOMENTS_MS), "writes_per_s": writes_per_s, "levels": rows})
    header = ["r", "w", *(f"stale at {moment:g} ms" for moment in _MOMENTS_MS)]
    header += ["99.9 % fresh after", f"stale at {writes_per_s:g} writes/s", "age p50", "age p99"]
    body = [
        [each.r, each.w, *(_share(share) for share in each.stale_at), f"{each.fresh_999_ms:.1f} ms"]
        + [_share(each.stale_share), f"{each.age_p50_ms:.1f} ms", f"{each.age_p99_ms:.1f} ms"]
        + ([_share(observed[each.r, each.w])] if check else [])
        for each in curves
    ]
    _print_table(header + (["real nodes at 0 ms"] if check else []), body)
    if plot is not None:
        _say(f"drawn: {plot}")
    return 0


def _membership(rows: list[dict[str, Any]]) -> list[list[object]]:
    """Return the lines of the table, a cell for each size."""
    lines: list[tuple[str, Any]] = [
        ("lives", lambda row: row["lives"]),
        ("nodes that joined", lambda row: row["joined"]),
        ("join known to all, p50 / most", lambda row: f"{row['join_p50_s']:.1f} / {row['join_max_s']:.1f} s"),
        ("crashes", lambda row: row["crashes"]),
        ("first suspicion p50 / p99", lambda row: f"{row['suspected_p50_s']:.1f} / {row['suspected_p99_s']:.1f} s"),
        ("dead in a first view p50 / p99", lambda row: f"{row['dead_p50_s']:.1f} / {row['dead_p99_s']:.1f} s"),
        ("dead in all views p50 / p99", lambda row: f"{row['buried_p50_s']:.1f} / {row['buried_p99_s']:.1f} s"),
        ("crashes not known to all in the end", lambda row: row["unburied"]),
    ]
    for name, field in (("at rest", "quiet"), ("while nodes crash", "crashing"), ("10 % slow, 1 % loss", "slow")):
        lines += [
            (f"datagrams a node and second, {name}", lambda row, field=field: f"{row[field]['datagrams']:.1f}"),
            (f"  probes and answers / rumours alone, {name}", lambda row, field=field: _datagrams(row[field])),
            (f"bytes of probes / of rumours, {name}", lambda row, field=field: _bytes(row[field])),
            (f"bytes of full exchanges, {name}", lambda row, field=field: f"{row[field]['exchange_bytes']:.0f}"),
        ]
    lines += [
        ("datagrams a node for one crash, beyond rest", lambda row: f"{row['datagrams_per_crash']:.1f}"),
        ("datagrams a node for one hold-up, beyond rest", lambda row: f"{row['datagrams_per_holdup']:.1f}"),
        ("false deaths without faults", lambda row: row["false_deaths_fair"]),
        ("false deaths, healthy / slow nodes", lambda row: _pair(row, "false_deaths")),
        ("false suspicions, healthy / slow nodes", lambda row: _pair(row, "false_suspicions")),
        ("node-minutes with slow nodes and loss", lambda row: f"{row['slow_node_minutes']:.0f}"),
        ("virtual s after joining, of each life", lambda row: f"{row['virtual_s'] / row['lives']:.0f}"),
        ("real s, all lives", lambda row: f"{row['real_s']:.1f}"),
    ]
    return [[name, *(cell(row) for row in rows)] for name, cell in lines]


def _datagrams(load: dict[str, float]) -> str:
    return f"{load['datagrams'] - load['gossip']:.1f} / {load['gossip']:.1f}"


def _bytes(load: dict[str, float]) -> str:
    return f"{load['datagram_bytes'] - load['rumour_bytes']:.0f} / {load['rumour_bytes']:.0f}"


def _pair(row: dict[str, Any], name: str) -> str:
    return f"{row[name + '_healthy']} / {row[name + '_slow']}"


def _costs(lone: operation_costs.OperationCosts, batched: operation_costs.OperationCosts) -> list[list[object]]:
    rows: list[list[object]] = []
    for costs, name in ((lone, "alone"), (batched, "16 in a frame")):
        both = (costs.read, costs.write)
        rows += [
            [f"coordinator, {name}", *(_micro(each.coordinate_s + each.complete_s) for each in both)],
            [f"replicas, {name}", *(_micro(each.replica_s) for each in both)],
            [f"turns, {name}", *(f"{each.turns:.2f}" for each in both)],
            [f"messages between nodes, {name}", *(f"{each.messages:.2f}" for each in both)],
            [f"bytes to and from the client, {name}", *(f"{each.client_bytes:.0f}" for each in both)],
            [f"bytes between nodes, {name}", *(f"{each.peer_bytes:.0f}" for each in both)],
        ]
    return rows


def _plans(
    plans: list[capacity_model.Plan],
    work: capacity_model.Workload,
    machine: capacity_model.Machine,
    costs: operation_costs.OperationCosts,
    overhead: float,
) -> list[list[object]]:
    lines: list[tuple[str, Any]] = [
        ("nodes", lambda plan: plan.nodes),
        ("memory in all", lambda plan: f"{plan.nodes * machine.memory_bytes / 1e12:.2f} TB"),
        ("requests/s, mean of a day / peak", lambda _: f"{work.mean_per_s:,.0f} / {work.peak_per_s:,.0f}"),
        ("requests/s a node at the peak", lambda plan: f"{plan.requests_per_node_s:,.0f}"),
        ("use of a node's core, one request a turn", lambda plan: f"{plan.core_use:.0%}"),
        ("  of the busiest node", lambda plan: f"{plan.core_use_busiest:.0%}"),
        ("use of a node's core, 16 requests a turn", lambda plan: f"{plan.core_use_batched:.0%}"),
        ("client traffic a node", lambda plan: f"{plan.client_bits_per_node_s / 1e6:.0f} Mbit/s"),
        ("traffic between nodes, in and out, a node", lambda plan: f"{plan.peer_bits_per_node_s / 1e6:.0f} Mbit/s"),
        ("messages between nodes a node and second", lambda plan: f"{plan.messages_per_node_s:,.0f}"),
        (
            "memory of an entry, payload + overhead",
            lambda _: f"{costs.key_bytes + costs.value_bytes} + {overhead:.0f} B",
        ),
        ("distinct entries that fit", lambda plan: f"{plan.entries / 1e6:,.0f} million"),
        ("distinct keys and values that fit", lambda plan: f"{plan.payload_bytes / 1e9:,.0f} GB"),
        ("one node lost: core of the busiest", lambda plan: f"{plan.loss.core_use_busiest:.0%}"),
        ("one node lost: hints a second", lambda plan: f"{plan.loss.hints_per_s:,.0f}"),
        ("one node lost: bytes of hints a second", lambda plan: f"{plan.loss.hint_bytes_per_s / 1e6:.1f} MB"),
        ("one node lost: budget of hints full after", lambda plan: f"{plan.loss.hints_full_after_s:,.0f} s"),
        ("one node back: replay of a full budget", lambda plan: f"{plan.loss.replay_s:,.0f} s"),
        ("one node lost: data with two copies left", lambda plan: f"{plan.loss.copies_bytes / 1e9:,.0f} GB"),
    ]
    return [[name, *(cell(plan) for plan in plans)] for name, cell in lines]


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} µs"


def _share(share: float) -> str:
    return "0" if share == 0 else f"{share:.2%}" if share >= 0.0001 else f"{share:.1e}"


def _print_table(header: list[str], rows: list[list[object]]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number and len(header) > 3 else "left")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200, highlight=False, markup=False).print(table)


def _print_json(record: dict[str, Any]) -> int:
    _say(json.dumps(_finite(record), sort_keys=True))
    return 0


def _finite(value: Any) -> Any:
    """Replace what JSON cannot say by null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
