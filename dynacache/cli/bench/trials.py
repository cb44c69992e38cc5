"""The trials of the bench: a cluster grows and shrinks, loses a node's memory, is restarted node by node.

What: `scale`, `restart_empty` and `rolling` are scripts for a `Trial`, each with its promises. `run_trials` runs those
that the options ask for.

Invariant: each step waits for the cluster's own word that the step before is over, as an operator would: the place of a
node in everybody's table, the end of a process that has left, ``ready`` without a partition that warms up.
"""

import time
from collections.abc import Callable
from functools import partial

from dynacache.cli.bench.trial import Trial, shape_of_trial
from dynacache.cli.bench.trial_report import Promise, kept_promises, trial_answer
from dynacache.cli.bench_options import BenchOptions
from dynacache.cli.local_cluster import LocalCluster
from dynacache.cli.output import Answer
from dynacache.cli.processes import ProcessGroup, StartFailed

__all__ = ["restart_empty", "rolling", "run_trials", "scale"]

_COPIES = 3
_VALUE_BYTES = 512
_RATE = 300.0
_MEMORY = "1GiB"
_CHANGE_TIMEOUT_S = 120.0
_DOWN_S = 2.0
_SETTLE_S = 3.0
_MOVED_LIMIT = 1.5
_P99_LIMIT = 3.0


def run_trials(options: BenchOptions, tell: Callable[[str], None]) -> list[Answer]:
    """Run the trials that the options ask for, each on a cluster of its own; raises StartFailed."""
    scripts = ((options.scale, 3, scale), (options.restart_empty, 5, restart_empty), (options.rolling, 5, rolling))
    answers = []
    for wanted, nodes, script in scripts:
        if not wanted:
            continue
        value_bytes = _VALUE_BYTES if options.value_bytes is None else options.value_bytes
        rate = options.rate[0] if options.rate else _RATE
        shape = shape_of_trial(options.keys_wanted, value_bytes, rate, options.seed)
        with ProcessGroup() as group:
            trial = Trial(LocalCluster(group, nodes, _MEMORY), shape, tell)
            try:
                trial.start()
                answers.append(script(trial, options.seconds_wanted))
            finally:
                trial.close()
    return answers


def scale(trial: Trial, seconds: float) -> Answer:
    """Grow from three nodes to five and shrink to three again."""
    with trial.stretch("before"):
        trial.wait(seconds)
    before = trial.workload.counts()
    for nodes in (4, 5):
        with trial.stretch(f"{nodes - 1} to {nodes} nodes", _COPIES / nodes):
            joined = trial.cluster.add()
            trial.until(partial(_has_joined, trial, joined), _CHANGE_TIMEOUT_S, f"node {nodes} is a member")
    for nodes in (4, 3):
        with trial.stretch(f"{nodes + 1} to {nodes} nodes", _COPIES / (nodes + 1)):
            _leave(trial, nodes)
    p99_ms = trial.p99_ms_of(before)
    with trial.stretch("after"):
        trial.wait(_SETTLE_S)
    changes = [stretch for stretch in trial.stretches if stretch.ideal_bytes]
    moved, ideal = sum(each.moved_bytes for each in changes), sum(each.ideal_bytes for each in changes)
    return _judged(
        trial,
        "scaling 3 to 5 to 3 nodes under load",
        [
            Promise("moved bytes, times the ideal", round(moved / ideal, 3), _MOVED_LIMIT),
            Promise("p99 while data move, times before", round(p99_ms / trial.stretches[0].p99_ms, 2), _P99_LIMIT),
        ],
    )


def restart_empty(trial: Trial, seconds: float) -> Answer:
    """Kill a node without warning and start it again with nothing in memory."""
    lost = trial.cluster.count // 2
    with trial.stretch("before"):
        trial.wait(seconds)
    held = _entries(trial, lost)
    with trial.stretch("one node killed"):
        trial.cluster.kill(lost)
        trial.wait(_DOWN_S)
    with trial.stretch("started empty, until filled", _COPIES / trial.cluster.count):
        trial.cluster.restart(lost)
        trial.until(lambda: trial.is_complete(lost), _CHANGE_TIMEOUT_S, "the node is filled again")
    lacking = max(0, held - _entries(trial, lost))
    with trial.stretch("after"):
        trial.wait(_SETTLE_S)
    return _judged(
        trial,
        "one of five nodes killed and started empty under load",
        [Promise("entries that the filled node still lacks", lacking, 0)],
    )


def rolling(trial: Trial, seconds: float) -> Answer:
    """Stop each node politely and start it again empty, the next one only when it is complete."""
    with trial.stretch("before"):
        trial.wait(seconds)
    codes = []
    lacking = 0
    for position in range(trial.cluster.count):
        held = _entries(trial, position)
        with trial.stretch(f"node {position + 1} stopped and started", _COPIES / trial.cluster.count):
            codes.append(trial.cluster.terminate(position))
            trial.cluster.restart(position)
            trial.until(partial(trial.is_complete, position), _CHANGE_TIMEOUT_S, "the node is complete")
            lacking += max(0, held - _entries(trial, position))
    with trial.stretch("after"):
        trial.wait(_SETTLE_S)
    return _judged(
        trial,
        "rolling restart of five nodes under load",
        [
            Promise("nodes that did not stop with exit code 0", sum(code != 0 for code in codes), 0),
            Promise("entries that filled nodes still lack", lacking, 0),
        ],
    )


def _judged(trial: Trial, title: str, promises: list[Promise]) -> Answer:
    counts = trial.workload.counts()
    verdict = trial.finish()
    shape = trial.shape
    settings = {
        "keys": f"{len(shape.keys):,}",
        "value_bytes": shape.value_bytes,
        "requests_per_s": f"{shape.rate:g}",
        "users": shape.workers,
        "levels": "quorum",
    }
    return trial_answer(title, settings, trial.stretches, [*kept_promises(counts, verdict), *promises], verdict, counts)


def _entries(trial: Trial, position: int) -> int:
    """Entries that a node holds; all keys are written before the first change, so a whole node has as many again."""
    told = trial.cluster.report(position, "statistics")
    if "storage_entries" not in told:
        raise StartFailed(f"{trial.cluster.addresses[position]} does not tell what it holds")
    return int(told["storage_entries"])


def _has_joined(trial: Trial, position: int) -> bool:
    """Whether every node sees the new one as a member like any other, which means it is filled."""
    address = trial.cluster.addresses[position]
    reports = [trial.cluster.report(each, "status") for each in range(trial.cluster.count)]
    return all((address, "normal") in _places(report) for report in reports)


def _places(report: object) -> set[tuple[str, str]]:
    members = report.get("members", ()) if hasattr(report, "get") else ()
    return {(member["address"], member["place"]) for member in members}


def _leave(trial: Trial, position: int) -> None:
    """Order a node to leave and wait for its end and for the others to know."""
    cluster = trial.cluster
    address, child = cluster.addresses[position], cluster.children[position]
    cluster.order(position, "leave", node=str(cluster.report(position, "status")["node"]))
    trial.until(lambda: not child.running, _CHANGE_TIMEOUT_S, f"{address} has left")
    if child.process.returncode:
        raise StartFailed(f"{child.name} left with exit code {child.process.returncode}: {child.said()}")
    cluster.forget(position)
    ends = time.monotonic() + _CHANGE_TIMEOUT_S
    while any((address, "left") not in _places(cluster.report(each, "status")) for each in range(cluster.count)):
        if time.monotonic() > ends:
            raise StartFailed(f"{address}: not everybody knows that it has left")
        time.sleep(0.1)
