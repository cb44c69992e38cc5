"""The operator's commands on real processes: nodes join and leave, a dead one is removed, draining fails no request."""

import json
import threading
import time
from collections.abc import Callable

import attrs
import pytest

import dynacache
from dynacache.cli import main
from dynacache.errors import DynacacheError
from tests.processes.nodes import HOST, Nodes, Process, free_ports, until

pytestmark = pytest.mark.processes
_QUICK = ("--set", "cluster.change_interval_s=0.5")


@attrs.frozen
class Said:
    """What one command line answered."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command through a node."""

    def command(through: Process, *arguments: str) -> Said:
        code = main((*arguments, "--server", f"{HOST}:{through.port}"))
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return command


def name_of(process: Process) -> str:
    return f"{HOST}:{process.port}"


def test_a_node_joins_leaves_and_a_dead_one_is_removed(nodes: Nodes, run: Command) -> None:
    ports = free_ports(4)
    founders = nodes.found(ports[:3], *_QUICK)
    first = founders[0]
    with dynacache.Client(name_of(first)) as cache:
        cache.set_many({f"key {number}": b"v" * 500 for number in range(2_000)}, level="all")

    fourth = nodes.start(ports[3], "--seed", name_of(first), *_QUICK)
    nodes.agree([*founders, fourth])
    planned = json.loads(run(first, "cluster", "plan", "--join", name_of(fourth), "--output", "json").out)
    assert planned["moved_over_ideal"] < 1.5
    wrong = run(first, "cluster", "join", "nobody")
    assert (wrong.code, wrong.out) == (2, "")
    joined = run(first, "cluster", "join", name_of(fourth), "--wait")
    assert (joined.code, joined.out) == (0, f"{name_of(fourth)} has joined\n"), joined
    assert "joining" in joined.err
    status = json.loads(run(first, "cluster", "status", "--output", "json").out)
    (row,) = [member for member in status["members"] if member["node"] == name_of(fourth)]
    assert (row["place"], row["partitions"]) == ("normal", planned["moved_copies"])
    assert status["nodes"][name_of(fourth)]["warming_partitions"] == 0
    assert run(fourth, "ready", "--complete").code == 0

    explained = run(fourth, "explain", "key 7")
    assert explained.code == 0
    assert "now: a value, the same on every owner that answered" in explained.out
    repaired = run(first, "repair", "start", "--wait")
    assert (repaired.code, repaired.out.count("compared all partitions")) == (0, 4), repaired

    with Load([name_of(each) for each in founders], keys=20) as load:
        left = run(first, "cluster", "leave", name_of(fourth), "--wait")
    assert (left.code, left.out) == (0, f"{name_of(fourth)} has left and ended\n"), left
    assert fourth.exit_code() == 0, "also while clients overwrite what it hands over all the time"
    assert load.failures == []
    assert name_of(fourth) not in run(first, "cluster", "status").out

    victim = founders[2]
    assert run(first, "cluster", "remove", name_of(victim), "--yes").code == 2, "it lives"
    victim.kill()
    until(lambda: state(first, victim) == "dead", 40, "the killed node is held dead")
    removed = run(first, "cluster", "remove", name_of(victim), "--yes", "--wait")
    assert removed.code == 0, removed
    assert "was removed" in removed.out
    assert state(first, victim, "place") == "removed"
    with dynacache.Client([name_of(each) for each in founders[:2]]) as cache:
        assert len(cache.get_many([f"key {number}" for number in range(2_000)], level="quorum")) == 2_000


def state(asked: Process, member: Process, field: str = "state") -> str:
    """What one node says of another."""
    report = asked.report() or {"members": []}
    return next((str(row[field]) for row in report["members"] if row["node"] == name_of(member)), "")


def test_a_drained_node_is_restarted_under_load_and_nothing_fails(nodes: Nodes, run: Command) -> None:
    ports = free_ports(3)
    processes = nodes.found(ports)
    load = Load([name_of(process) for process in processes])
    with load:
        until(lambda: load.done > 200, 20, "requests are served")
        drained = run(processes[0], "cluster", "drain", name_of(processes[1]), "--wait")
        assert drained.code == 0, drained
        assert "not ready: the node is drained" in run(processes[1], "ready").err
        assert "drained" in run(processes[0], "cluster", "status").out
        processes[1].terminate()
        assert processes[1].exit_code() == 0
        back = nodes.start(ports[1], "--seed", name_of(processes[0]))
        nodes.agree([processes[0], back, processes[2]])
        until(lambda: run(back, "ready", "--complete").code == 0, 30, "the node that came back is whole")
        done = load.done
        until(lambda: load.done > done + 100, 20, "requests are served")
    assert load.failures == []


@attrs.define(eq=False)
class Load:
    """A few threads that read and write, until the block ends."""

    addresses: list[str]
    keys: int = 500
    done: int = 0
    failures: list[str] = attrs.field(factory=list)
    _stop: threading.Event = attrs.field(factory=threading.Event)
    _threads: list[threading.Thread] = attrs.field(factory=list)

    def __enter__(self) -> "Load":
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(3)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, worker: int) -> None:
        number = 0
        with dynacache.Client(self.addresses) as cache:
            while not self._stop.is_set():
                number += 1
                key = f"{worker} {number % self.keys}"
                try:
                    cache.set(key, number, level="quorum")
                    if cache.get(key, level="quorum") is None:
                        self.failures.append(f"{key}: nothing")
                except DynacacheError as error:
                    self.failures.append(f"{key}: {type(error).__name__}: {error}")
                self.done += 1
                time.sleep(0.002)
