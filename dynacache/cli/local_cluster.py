"""A cluster of real node processes on loopback, for the demo and the bench.

What: `LocalCluster` starts N founders, waits until every one of them tells the same member table with everybody alive,
kills one and starts it again as an operator would: same address, no memory, no mention of founders, any living node as
its seed. `add` starts a node that joins; `forget` is for one that has left.

Invariant: a node runs ``python -m dynacache serve`` with this interpreter, so what is shown is what is shipped. Waiting
has a deadline, and a node that ends too early is quoted in the error.
"""

import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from dynacache.cli.processes import Child, ProcessGroup, StartFailed, free_ports
from dynacache.cli.session import CacheClient, Connection, client_factory
from dynacache.errors import DynacacheError

__all__ = ["LocalCluster", "agreed"]

_HOST = "127.0.0.1"
_START_TIMEOUT_S = 30.0
_PAUSE_S = 0.1
_REPORT_TIMEOUT_S = 1.0


@attrs.define(eq=False)
class LocalCluster:
    """The nodes of one cluster, by position."""

    group: ProcessGroup
    count: int
    memory: str = "256MiB"
    settings: Sequence[str] = ()
    """``section.option=value``, for every node."""
    ports: list[int] = attrs.field(init=False)
    children: list[Child] = attrs.field(factory=list, init=False)
    _client: CacheClient | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Choose the ports."""
        self.ports = free_ports(self.count)

    @property
    def addresses(self) -> tuple[str, ...]:
        """host:port of each node."""
        return tuple(f"{_HOST}:{port}" for port in self.ports)

    def start(self) -> None:
        """Start all nodes as founders; raises StartFailed."""
        for position in range(self.count):
            others = [address for at, address in enumerate(self.addresses) if at != position]
            self.children.append(self._start(position, ["--founders", str(self.count)], others))

    def _start(self, position: int, options: Sequence[str], seeds: Sequence[str]) -> Child:
        command = [sys.executable, "-m", "dynacache", "serve", "--host", _HOST, "--port", str(self.ports[position])]
        command += [*options, "--memory", self.memory]
        command += [word for setting in self.settings for word in ("--set", setting)]
        command += [word for seed in seeds for word in ("--seed", seed)]
        return self.group.start(f"node-{self.ports[position]}", command)

    def kill(self, position: int) -> None:
        """SIGKILL one node."""
        self.children[position].kill()

    def restart(self, position: int) -> None:
        """Start a node that has ended; its memory is empty and it learns everything from one living node."""
        seed = self.addresses[(position + 1) % self.count]
        self.children[position] = self._start(position, [], [seed])

    def terminate(self, position: int, timeout_s: float = _START_TIMEOUT_S) -> int:
        """SIGTERM one node and wait for its end; return its exit code. Raises subprocess.TimeoutExpired."""
        process = self.children[position].process
        process.terminate()
        return process.wait(timeout_s)

    def add(self) -> int:
        """Start one more node, which joins by itself; return its position. Raises StartFailed."""
        seeds = self.addresses
        self.ports.append(self._unused_port())
        self.count += 1
        position = self.count - 1
        self.children.append(self._start(position, ["--set", "cluster.join=true"], seeds))
        return position

    def _unused_port(self) -> int:
        return next(port for port in free_ports(self.count + 1) if port not in self.ports)

    def forget(self, position: int) -> None:
        """A node that has left and ended is no part of the cluster any more."""
        del self.children[position], self.ports[position]
        self.count -= 1

    def order(self, position: int, command: str, **arguments: Any) -> Mapping[str, Any]:
        """Order one node to do something; raises an error of the tree."""
        result: Mapping[str, Any] = self._opened().command(command, arguments, address=self.addresses[position])
        return result

    def _opened(self) -> CacheClient:
        if self._client is None:
            self._client = client_factory.get()(Connection(server=self.addresses, timeout=_REPORT_TIMEOUT_S))
        return self._client

    def report(self, position: int, topic: str) -> Mapping[str, Any]:
        """What one node reports (``status`` or ``statistics``); empty where it does not answer."""
        try:
            report: Mapping[str, Any] = self._opened().report(topic, address=self.addresses[position])
        except (DynacacheError, OSError):
            return {}
        return report

    def wait_until_agreed(self, timeout_s: float = _START_TIMEOUT_S) -> float:
        """Wait until all nodes agree; return the seconds that took. Raises StartFailed."""
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < timeout_s:
            self.check_running()
            reports = [self.report(position, "status") for position in range(self.count)]
            if agreed(reports, self.count):
                return elapsed
            time.sleep(_PAUSE_S)
        raise StartFailed(f"the {self.count} nodes did not agree on their members within {timeout_s:g} s")

    def check_running(self) -> None:
        """Raise StartFailed for a node that has ended by itself, with its last words."""
        for child in self.children:
            if not child.running:
                raise StartFailed(f"{child.name} ended with exit code {child.process.returncode}: {child.said()}")

    def close(self) -> None:
        """Close the connections that reports came over; the nodes belong to the group."""
        if self._client is not None:
            with contextlib.suppress(DynacacheError, OSError):
                self._client.close()
            self._client = None


def agreed(reports: Sequence[Mapping[str, Any]], count: int) -> bool:
    """Whether all reports tell of the same cluster, with the same `count` members, all of them alive and linked."""
    seen = set()
    for report in reports:
        members = report.get("members", ())
        if not report.get("ready") or len(members) != count:
            return False
        if not all(member["state"] == "alive" and member["linked"] for member in members):
            return False
        seen.add((report["cluster"], tuple(sorted((member["node"], member["place"]) for member in members))))
    return len(seen) == 1
