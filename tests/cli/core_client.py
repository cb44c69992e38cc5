"""The client's interface over real node cores in virtual time: what commands show is what nodes tell.

What: `CoreClient` asks the nodes of a `tests.fake_cluster.FakeCluster` by their addresses, ``n1:1`` for n1. A node that
was killed or has ended refuses the connection. `CoreClient.pause` lets virtual time pass, in place of sleeping.

Invariant: one question at a time, whatever threads ask, since the fake cluster has one clock.
"""

import threading
from collections.abc import Mapping
from typing import Any

import attrs

from dynacache.cli.session import DEFAULT_SERVER
from dynacache.errors import TimedOut, UnavailableError, error_from_code
from dynacache.wire.messages import COMMAND, ERROR, REPORT
from tests.cli.fakes import FakeClient, key_of
from tests.fake_cluster import FakeCluster

__all__ = ["CoreClient", "acquainted"]


def acquainted(size: int) -> FakeCluster:
    """A cluster whose members have heard of each other."""
    cluster = FakeCluster(size)
    cluster.run(3.0)
    return cluster


@attrs.define
class CoreClient(FakeClient):
    """Reports and commands of real node cores."""

    cluster: FakeCluster = attrs.field(factory=lambda: acquainted(3))
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    def report(
        self, topic: str, argument: Any = None, *, address: str | None = None, timeout: float | None = None
    ) -> Any:
        self._note("report", topic, address)
        return self._ask(address, [REPORT, topic, argument])

    def command(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        address: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        self._note("command", name, dict(arguments or {}), address)
        return self._ask(address, [COMMAND, name, dict(arguments or {})])

    def owners(self, key: bytes | str) -> Any:
        self._note("owners", key)
        return self._ask(None, [REPORT, "owners", key_of(key)])

    def pause(self, seconds: float) -> None:
        """Let virtual time pass; a process whose node has stopped ends."""
        with self._lock:
            self.cluster.run(seconds)
            for name in sorted(self.cluster.stopped & self.cluster.nodes.keys()):
                self.cluster.kill(name)

    def _ask(self, address: str | None, message: list[Any]) -> Any:
        with self._lock:
            whoever = address in (None, DEFAULT_SERVER)
            name = next(iter(self.cluster.nodes)) if whoever else str(address).partition(":")[0]
            if name not in self.cluster.nodes:
                raise UnavailableError(f"{address}: connection refused")
            reply = self.cluster.ask(name, message, 0.01)
        if reply is None:
            raise TimedOut(f"{address}: no answer")
        if reply[0] == ERROR:
            raise error_from_code(reply[2], reply[3])
        return reply[2]
