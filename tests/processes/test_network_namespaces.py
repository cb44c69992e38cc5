"""Five nodes with an address each, cut two from three under load on both sides, and joined again: nothing is lost.

Each node is a real process in a network namespace of its own; the cut is in the switch, so nobody is told of it, and
both sides go on writing the same keys. `DYNACACHE_TEST_CUT_SECONDS` lengthens the cut (60 for the minute that the
promise speaks of). Where namespaces are refused, the summary of the run says so.
"""

import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from dynacache.cli.demo.journal import Journal
from dynacache.cli.demo.verdict import Verdict, acknowledged_keys, judge
from dynacache.cli.demo.workload import Counts
from tests.processes.namespace_load import key_of
from tests.processes.namespaces import Lab, NamespacesRefused, lab_of, opened_in
from tests.processes.nodes import ROOT, Caller, until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

CUT_SECONDS = float(os.environ.get("DYNACACHE_TEST_CUT_SECONDS", "15"))
PORT = 7400
SECRET = "correct horse"
MACHINES = ("n1", "n2", "n3", "n4", "n5", "east", "west")
NODES = MACHINES[:5]
WEST = ("n4", "n5", "west")
KEYS = 800
USERS = 4
RATE = 120.0
CHECKED_KEYS = 200
FIGURES = (
    "siblings_created",
    "siblings_resolved",
    "late_versions_discarded",
    "hints_delivered",
    "exchange_conflicts_merged",
)


@pytest.fixture
def lab(say_aloud: Callable[[str], None]) -> Iterator[Lab]:
    """Seven machines on a switch."""
    made = lab_of(MACHINES)
    try:
        built = made.__enter__()
    except NamespacesRefused as refused:
        reason = f"network namespaces are refused here, no cluster was cut apart: {refused}"
        if "namespaces" in os.environ.get("DYNACACHE_TEST_REQUIRE", "").split(","):
            pytest.fail(reason)
        say_aloud(reason)
        pytest.skip(reason)
    try:
        yield built
    finally:
        made.__exit__(None, None, None)


@attrs.define(eq=False)
class Cluster:
    """The nodes and loads in a lab."""

    lab: Lab
    folder: Path
    children: "list[subprocess.Popen[bytes]]" = attrs.field(factory=list)

    @property
    def secret_file(self) -> Path:
        """The cluster's secret."""
        return self.folder / "secret"

    @property
    def addresses(self) -> list[str]:
        """host:port of every node."""
        return [f"{self.lab.address(node)}:{PORT}" for node in NODES]

    def spawn(self, machine: str, module: str, *arguments: str) -> "subprocess.Popen[bytes]":
        """Run a module on a machine."""
        command = self.lab.inside(machine, [sys.executable, "-m", module, *arguments])
        with (self.folder / f"{machine}-{len(self.children)}.log").open("wb") as log:
            child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=ROOT)
        self.children.append(child)
        return child

    def start(self) -> None:
        """Found the cluster."""
        self.secret_file.write_text(SECRET)
        for node, own in zip(NODES, self.addresses, strict=True):
            seeds = [word for other in self.addresses if other != own for word in ("--seed", other)]
            options = ["--host", self.lab.address(node), "--port", str(PORT), "--secret-file", str(self.secret_file)]
            self.spawn(node, "dynacache", "serve", "--founders", "5", *options, *seeds)

    def report(self, node: str, topic: str, *arguments: bytes) -> dict[str, Any]:
        """One report, asked for on the node's own machine."""
        opened = opened_in(self.lab.namespace(node), (self.lab.address(node), PORT))
        with Caller(PORT, SECRET, opened=opened) as caller:
            return caller.report(topic, *arguments)

    def seen(self, node: str) -> dict[str, str]:
        """The state of every member in the eyes of one node; empty while it does not tell."""
        try:
            report = self.report(node, "status")
        except (OSError, EOFError, AssertionError):
            return {}
        names = {self.lab.address(each): each for each in NODES}
        return {
            names[member["address"].rpartition(":")[0]]: member["state"] if member["linked"] else "unlinked"
            for member in report["members"]
        }

    def agree(self) -> bool:
        """Whether every node sees every node alive and linked."""
        return all(self.seen(node) == dict.fromkeys(NODES, "alive") for node in NODES)

    def load(self, machine: str, output: Path, first_writer: int, rate: float = RATE) -> "subprocess.Popen[bytes]":
        """Use the cluster from one machine, until `finish`."""
        arguments = (str(self.secret_file), str(output), str(first_writer), str(USERS), str(KEYS), str(rate))
        return self.spawn(machine, "tests.processes.namespace_load", *arguments, *self.addresses)

    def versions(self, key: bytes) -> set[str]:
        """What the owners of a key hold of it, each different copy once."""
        report = self.report(NODES[0], "owners", key)
        names = {f"{self.lab.address(node)}:{PORT}": node for node in NODES}
        held = set()
        for owner in report["owners"]:
            copy = self.report(names[owner], "explain", key)["copy"]
            record = copy.get("record") or {}
            held.add(json.dumps([copy["held"], record.get("context"), record.get("versions")]))
        return held

    def is_settled(self, key: bytes) -> bool:
        """Whether all owners of a key hold the same."""
        return len(self.versions(key)) == 1

    def hints(self) -> int:
        """Hints that wait anywhere."""
        return sum(sum(self.report(node, "statistics")["hints"].values()) for node in NODES)

    def figures(self, *names: str) -> dict[str, int]:
        """Counters of all nodes together."""
        reports = [self.report(node, "statistics") for node in NODES]
        return {name: sum(report[name] for report in reports) for name in names}


@pytest.fixture
def cluster(lab: Lab, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster to be started; nothing of it outlives the test."""
    made = Cluster(lab, tmp_path)
    try:
        yield made
    finally:
        for child in made.children:
            child.kill()
        for child in made.children:
            child.wait(10)
            if child.stdin is not None:
                child.stdin.close()


def finish(child: "subprocess.Popen[bytes]", output: Path, said: bytes = b"") -> Any:
    """Close a load's input, wait for its end, and return what it found."""
    child.communicate(said, timeout=60)
    assert child.returncode == 0
    return pickle.loads(output.read_bytes())


def verdict_of(cluster: Cluster, journals: Sequence[Journal], folder: Path) -> Verdict:
    """Read every key that has an acknowledged write from the machine in the east, and judge."""
    positions = acknowledged_keys(journals)
    reader = cluster.load("east", folder / "readings", 0, rate=0)
    readings = finish(reader, folder / "readings", pickle.dumps(positions))
    return judge(journals, [key_of(number) for number in range(KEYS)], readings)


def served_during(journals: Sequence[Journal], since_s: float, until_s: float) -> int:
    """Writes acknowledged within a stretch of time."""
    return sum(since_s <= ended_s < until_s for journal in journals for ended_s in journal.ended)


def told(counts: Sequence[Counts]) -> str:
    """What became of one side's requests."""
    total = Counts()
    for each in counts:
        total = total.plus(each)
    errors = ", ".join(f"{count} x {error}" for error, count in total.errors.most_common(3))
    return f"{total.requests} requests, {total.failed} failed, {total.unknown} of unknown fate {errors}"


def test_two_nodes_cut_from_three_and_joined_again(
    cluster: Cluster, tmp_path: Path, say_aloud: Callable[[str], None]
) -> None:
    cluster.start()
    until(cluster.agree, 40, "five nodes agree")
    outputs = {side: tmp_path / side for side in ("east", "west")}
    loads = {"east": cluster.load("east", outputs["east"], 0), "west": cluster.load("west", outputs["west"], USERS)}
    until(lambda: cluster.figures("writes")["writes"] > 300, 30, "load flows")

    cluster.lab.cut(WEST)
    cut_s = time.monotonic()
    until(lambda: _apart(cluster), 12, "both sides know that the other cannot be reached")
    time.sleep(max(0.0, cut_s + CUT_SECONDS - time.monotonic()))
    assert _apart(cluster)
    healed_s = time.monotonic()
    cluster.lab.heal()

    until(cluster.agree, 60, "five nodes agree again")
    agreed_s = time.monotonic()
    time.sleep(2)
    found = {side: finish(load, outputs[side]) for side, load in loads.items()}
    until(lambda: cluster.hints() == 0, 60, "hints delivered")
    sample = [key_of(number) for number in range(0, KEYS, KEYS // CHECKED_KEYS)]
    for key in sample:
        until(partial(cluster.is_settled, key), 60, f"owners of {key!r} hold the same")
    converged_s = time.monotonic()

    journals = [journal for side in ("east", "west") for journal in found[side][0]]
    verdict = verdict_of(cluster, journals, tmp_path)
    figures = cluster.figures(*FIGURES)
    late_s = cut_s + CUT_SECONDS / 2
    served = {side: served_during(found[side][0], late_s, healed_s) for side in found}
    say_aloud(
        _summary(found, served, verdict, figures, (healed_s - cut_s, agreed_s - healed_s, converged_s - healed_s))
    )
    assert [crash for side in found.values() for crash in side[2]] == []
    assert verdict.acknowledged_writes > 500
    assert (verdict.lost_acknowledged_writes, verdict.foreign_values, verdict.refused_but_applied) == (0, 0, 0), verdict
    # Both halves went on, and what they wrote apart met as conflicts that somebody counted.
    assert min(served.values()) > 50
    assert figures["siblings_created"] > 0


def _apart(cluster: Cluster) -> bool:
    """Whether each side holds no node of the other for alive."""
    west = set(WEST)
    for node in NODES:
        seen = cluster.seen(node)
        others = [state for other, state in seen.items() if (other in west) != (node in west)]
        if not others or "alive" in others:
            return False
    return True


def _summary(
    found: Mapping[str, Any], served: Mapping[str, int], verdict: Verdict, figures: Mapping[str, int], spans_s: Any
) -> str:
    cut_s, agreed_s, converged_s = spans_s
    sides = "; ".join(f"{side}: {told(found[side][1])}, {served[side]} writes late in the cut" for side in found)
    return (
        f"network cut for {cut_s:.0f} s, agreed {agreed_s:.1f} s after it, converged after {converged_s:.1f} s;"
        f" {sides}; {verdict.acknowledged_writes} acknowledged writes, {verdict.lost_acknowledged_writes} lost;"
        f" {dict(figures)}"
    )
