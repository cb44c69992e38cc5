"""The demo's script: start, agree, load, kill, restart, read back, judge.

What: `run` carries out the options and returns the exit code; `Demo` holds the run. At a third of the time one node is
killed with SIGKILL, at two thirds it is started again with an empty memory, and in the end every acknowledged write is
read back at quorum. With ``--scale`` a node joins and leaves instead (`scaling`).

Invariant: exit 0 only if no request failed, no acknowledged write was lost, every value read belonged to its key, and
no node ended but the one that was killed. Children are ended whatever happens, unless ``--keep`` asked otherwise.
"""

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

import attrs

from dynacache.cli.bench.cpu import resident_bytes
from dynacache.cli.demo.read_back import read_back
from dynacache.cli.demo.report import figures_of, passed, print_how_to_use, print_verdict
from dynacache.cli.demo.scaling import Scaling
from dynacache.cli.demo.screen import NodeRow, Screen, Snapshot
from dynacache.cli.demo.verdict import acknowledged_keys, judge
from dynacache.cli.demo.workload import Counts, Shape, Workload
from dynacache.cli.demo_options import DemoOptions
from dynacache.cli.local_cluster import LocalCluster
from dynacache.cli.processes import ProcessGroup, StartFailed, terminate_as_exit
from dynacache.cli.session import CacheClient, Connection, client_factory
from dynacache.cli.traces import read_trace
from dynacache.errors import InvalidOption

__all__ = ["run", "shape_of"]

_SNAPSHOT_INTERVAL_S = 0.5
_TRACE_LIMIT = 1_000_000
_CLIENT_TIMEOUT_S = 5.0
_RATE = 1500.0
_TRACE_RATE_LIMIT = 2000.0


def run(options: DemoOptions) -> int:
    """Run the demo; return the exit code. Raises an error of the tree for bad options."""
    shape = shape_of(options)
    if options.json is not None and not options.json.absolute().parent.is_dir():
        raise InvalidOption(f"--json: got {options.json}, expected a file in a folder that exists")
    with terminate_as_exit(), ProcessGroup() as group:
        cluster = LocalCluster(group, options.nodes, options.memory)
        try:
            with Screen() as screen:
                demo = _Demo(options, shape, cluster, screen)
                figures = demo.play()
        except StartFailed as error:
            print(f"dynacache demo: {error}", file=sys.stderr)
            return 1
        finally:
            cluster.close()
        print_verdict(figures)
        if options.json is not None:
            options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        if options.keep:
            group.release()
            print_how_to_use(cluster, group)
    return 0 if passed(figures) else 1


def shape_of(options: DemoOptions) -> Shape:
    """The workload that the options describe; raises InvalidOption for a trace that cannot be read."""
    keys: dict[bytes, int] = {}
    trace: list[int] = []
    if options.trace is None:
        keys = {b"demo:%08d" % number: number for number in range(options.keys)}
    else:
        try:
            trace = [keys.setdefault(key, len(keys)) for key in read_trace(options.trace, _TRACE_LIMIT)]
        except ValueError as error:
            raise InvalidOption(f"--trace: {error}") from error
        if not trace:
            raise InvalidOption(f"--trace: {options.trace} has no requests")
    return Shape(
        keys=tuple(keys),
        trace=tuple(trace),
        zipf_exponent=options.zipf,
        read_share=options.read_share,
        value_bytes=options.value_bytes,
        rate=options.rate if options.rate is not None else _rate_of(trace, options.seconds),
        workers=options.workers,
        seed=options.seed,
    )


def _rate_of(trace: list[int], seconds: float) -> float:
    return min(_TRACE_RATE_LIMIT, len(trace) / seconds) if trace else _RATE


@attrs.define(eq=False)
class _Demo:
    """One run."""

    options: DemoOptions
    shape: Shape
    cluster: LocalCluster
    screen: Screen
    killed: int = attrs.field(init=False)
    events: dict[str, float] = attrs.field(factory=dict)
    statistics: dict[int, Mapping[str, Any]] = attrs.field(factory=dict)
    earlier: tuple[float, Counts] = attrs.field(factory=lambda: (0.0, Counts()))
    evicted_by_killed: int = 0
    down: bool = False
    scaling: Scaling | None = None

    def __attrs_post_init__(self) -> None:
        self.killed = self.options.nodes // 2
        if self.options.scale:
            self.scaling = Scaling(self.cluster, self.screen.say, self.options.seconds, self.events)

    def play(self) -> dict[str, Any]:
        """Carry out the script; return the figures."""
        self.screen.say(f"starting {self.options.nodes} nodes on {', '.join(self.cluster.addresses)}")
        self.cluster.start()
        self.screen.say(f"all agree after {self.cluster.wait_until_agreed():.1f} s")
        connection = Connection(server=self.cluster.addresses, timeout=_CLIENT_TIMEOUT_S)
        client = client_factory.get()(connection)
        try:
            return self._load_and_judge(client)
        finally:
            client.close()

    def _load_and_judge(self, client: CacheClient) -> dict[str, Any]:
        workload = Workload(self.shape, client)
        began = time.monotonic()
        workload.start()
        try:
            elapsed = self._watch(workload, began)
        finally:
            ended = workload.stop()
        counts = workload.counts()
        crashes = [worker.crash for worker in workload.workers if worker.crash]
        if not ended:
            crashes.append("a worker did not end its last request in time")
        self._note_statistics()
        positions = acknowledged_keys(workload.journals)
        self.screen.say(f"reading back {len(positions):,} keys with acknowledged writes at quorum")
        readings = read_back(client, self.shape.keys, positions)
        verdict = judge(workload.journals, self.shape.keys, readings)
        self._note_statistics()
        evictions = self.evicted_by_killed
        evictions += sum(int(each.get("storage_evicted", 0)) for each in self.statistics.values())
        return figures_of(self.options, counts, verdict, elapsed, evictions, self.events, crashes)

    def _watch(self, workload: Workload, began: float) -> float:
        seconds = self.options.seconds
        scaling = self.scaling
        while (elapsed := time.monotonic() - began) < seconds or (scaling is not None and not scaling.is_over):
            if scaling is not None:
                scaling.step(elapsed)
            elif "killed_at_s" not in self.events and elapsed >= seconds / 3:
                self._kill(elapsed)
            elif "killed_at_s" in self.events and "restarted_at_s" not in self.events and elapsed >= seconds * 2 / 3:
                self._restart(elapsed)
            self._check_nodes()
            self._note_statistics()
            self.screen.update(self._snapshot(workload, time.monotonic() - began))
            now = time.monotonic() - began
            changes = [seconds / 3, seconds * 2 / 3, seconds, now + _SNAPSHOT_INTERVAL_S]
            time.sleep(max(0.0, min(change for change in changes if change > elapsed) - now))
        return elapsed

    def _kill(self, elapsed: float) -> None:
        self.screen.say(f"SIGKILL to node {self.cluster.addresses[self.killed]}")
        self._note_statistics()
        self.cluster.kill(self.killed)
        self.evicted_by_killed = int(self.statistics.pop(self.killed, {}).get("storage_evicted", 0))
        self.down = True
        self.events["killed_at_s"] = round(elapsed, 3)

    def _restart(self, elapsed: float) -> None:
        self.screen.say(f"starting {self.cluster.addresses[self.killed]} again, with an empty memory")
        self.cluster.restart(self.killed)
        self.down = False
        self.events["restarted_at_s"] = round(elapsed, 3)

    def _check_nodes(self) -> None:
        for position, child in enumerate(self.cluster.children):
            leaves = self.scaling is not None and self.scaling.is_leaving and position == self.scaling.position
            if not child.running and not leaves and not (self.down and position == self.killed):
                raise StartFailed(f"{child.name} ended with exit code {child.process.returncode}: {child.said()}")

    def _note_statistics(self) -> None:
        for position in range(self.cluster.count):
            if not (self.down and position == self.killed) and (told := self.cluster.report(position, "statistics")):
                self.statistics[position] = {**told, **self.cluster.report(position, "ready")}

    def _snapshot(self, workload: Workload, elapsed: float) -> Snapshot:
        counts = workload.counts()
        earlier_s, earlier = self.earlier
        self.earlier = elapsed, counts
        recent = counts.latencies.since(earlier.latencies)
        phase = "one node killed" if self.down else "restarted" if "restarted_at_s" in self.events else "all nodes up"
        phase = phase if self.scaling is None else self.scaling.phase
        return Snapshot(
            elapsed_s=elapsed,
            seconds=self.options.seconds,
            phase=phase,
            requests=counts.requests,
            requests_per_s=(counts.requests - earlier.requests) / max(1e-9, elapsed - earlier_s),
            p50_ms=recent.percentile_ms(0.5),
            p99_ms=recent.percentile_ms(0.99),
            hit_ratio=counts.hit_ratio,
            failed=counts.failed,
            unknown=counts.unknown,
            nodes=tuple(self._node_rows()),
        )

    def _node_rows(self) -> list[NodeRow]:
        observer = self.cluster.report(0 if self.killed else 1, "status")
        liveness = {member["address"]: member["state"] for member in observer.get("members", ())}
        rows = []
        for position, address in enumerate(self.cluster.addresses):
            killed = self.down and position == self.killed
            told = {} if killed else self.statistics.get(position, {})
            state = liveness.get(address, "unknown")
            rows.append(
                NodeRow(
                    name=address,
                    liveness="killed" if killed and state == "alive" else state,
                    entries=int(told.get("storage_entries", 0)),
                    memory_bytes=0 if killed else resident_bytes(self.cluster.children[position].pid) or 0,
                    hints=sum(told.get("hints", {}).values()),
                    warming=int(told.get("warming_partitions", 0)),
                )
            )
        return rows
