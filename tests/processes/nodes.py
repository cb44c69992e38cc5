"""Real node processes on loopback, and a plain client of the wire protocol.

Waiting always has a deadline and looks at something that happened; nothing sleeps for a guessed time. What a node saw
is read from its log, whose lines carry the wall clock in milliseconds.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from dynacache.types import Role
from dynacache.wire.codec import frame_of_messages
from dynacache.wire.framing import FrameReader
from dynacache.wire.handshake import Initiator
from dynacache.wire.messages import REPORT, REPORTED, TOPOLOGY

__all__ = ["HOST", "Caller", "Nodes", "Process", "filled", "free_ports", "nodes_in", "until"]

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[2]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, below the range that the kernel gives to outgoing connections if possible."""
    held = []
    ports = []
    for _ in range(count):
        probe = socket.socket()
        probe.bind((HOST, 0))
        held.append(probe)
        ports.append(int(probe.getsockname()[1]))
    for probe in held:
        probe.close()
    return ports


def until(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Wait until something holds and return it; fail with what was waited for."""
    ends_s = time.monotonic() + timeout_s
    while time.monotonic() < ends_s:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {timeout_s:g} s")


@attrs.define(eq=False)
class Process:
    """One ``dynacache serve``."""

    port: int
    popen: "subprocess.Popen[bytes]"
    log_path: Path

    def kill(self) -> int:
        """SIGKILL; return the wall clock in milliseconds."""
        self.popen.kill()
        killed_ms = time.time_ns() // 1_000_000
        self.popen.wait(10)
        return killed_ms

    def terminate(self) -> None:
        """SIGTERM."""
        self.popen.send_signal(signal.SIGTERM)

    def exit_code(self, timeout_s: float = 15.0) -> int:
        """Wait for the end."""
        return self.popen.wait(timeout_s)

    def said(self) -> str:
        """Standard error without the log lines."""
        text = self.log_path.read_text(errors="replace")
        return "\n".join(line for line in text.splitlines() if not line.startswith("{"))

    def log(self, event: str) -> list[dict[str, Any]]:
        """The complete log lines of one event."""
        text = self.log_path.read_text(errors="replace")
        lines = [json.loads(line) for line in text.split("\n")[:-1] if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def call(self, **arguments: Any) -> "Caller":
        """A greeted client connection."""
        return Caller(self.port, **arguments)

    def report(self, topic: str = "status") -> dict[str, Any] | None:
        """One report, or None while the node does not give one."""
        try:
            with self.call() as caller:
                return caller.report(topic)
        except (OSError, EOFError, AssertionError):
            return None


class Caller:
    """A client connection made of one blocking socket."""

    def __init__(
        self,
        port: int,
        secret: str | None = None,
        role: Role = Role.CLIENT,
        timeout_s: float = 5.0,
        opened: socket.socket | None = None,
    ) -> None:
        self.socket = opened or socket.create_connection((HOST, port), timeout_s)
        self.reader = FrameReader()
        self.backlog: list[Any] = []
        hello = Initiator(role, b"", "" if role is Role.CLIENT else "caller", secret, os.urandom(32))
        self.send(hello.first())
        self.send(*hello.receive(self.receive()))

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *messages: Any) -> None:
        """Send one frame."""
        self.socket.sendall(frame_of_messages(messages))

    def receive(self) -> Any:
        """The next message; raises EOFError when the node closes."""
        while not self.backlog:
            data = self.socket.recv(65_536)
            if not data:
                raise EOFError
            self.backlog += self.reader.feed(data)
        return self.backlog.pop(0)

    def reply(self) -> Any:
        """The next message that answers a request."""
        while (message := self.receive())[0] == TOPOLOGY:
            pass
        return message

    def ask(self, *request: Any) -> Any:
        """Send one request and return its reply."""
        self.send(request)
        return self.reply()

    def report(self, topic: str = "status", *arguments: bytes) -> dict[str, Any]:
        """One report."""
        message = self.ask(REPORT, 1, topic, *arguments)
        assert message[0] == REPORTED, message
        found: dict[str, Any] = message[2]
        return found


@attrs.define(eq=False)
class Nodes:
    """The processes of one test; all are killed at its end."""

    folder: Path
    started: list[Process] = attrs.field(factory=list)

    def start(self, port: int, *options: str) -> Process:
        """Start a node; it may end by itself."""
        log_path = self.folder / f"node-{port}-{len(self.started)}.log"
        command = [sys.executable, "-m", "dynacache", "serve", "--port", str(port), *options]
        with log_path.open("wb") as log:
            popen = subprocess.Popen(command, stderr=log, stdout=log, cwd=ROOT)
        process = Process(port, popen, log_path)
        self.started.append(process)
        return process

    def found(self, ports: Sequence[int], *options: str) -> list[Process]:
        """Start founders that are each other's seeds, and wait until all agree."""
        processes = [self.start(port, *founding(ports, port), *options) for port in ports]
        self.agree(processes)
        return processes

    def agree(self, processes: Sequence[Process], timeout_s: float = 20.0) -> None:
        """Wait until each of them sees all of them alive and linked."""
        until(lambda: all(sees_all(process, processes) for process in processes), timeout_s, "all nodes agree")


def filled(process: Process, timeout_s: float = 40.0) -> None:
    """Wait until a node that came without memory has been filled by the others, so that another one may go."""
    until(lambda: (process.report("ready") or {}).get("warming_partitions") == 0, timeout_s, "the node is filled")


def founding(ports: Sequence[int], port: int) -> list[str]:
    """The options of one founder among these ports."""
    seeds = [word for other in ports if other != port for word in ("--seed", f"{HOST}:{other}")]
    return ["--founders", str(len(ports)), *seeds]


def sees_all(process: Process, others: Sequence[Process]) -> bool:
    """Whether one node sees all of these alive and linked."""
    report = process.report()
    if report is None or not report["ready"]:
        return False
    alive = {member["address"] for member in report["members"] if member["state"] == "alive" and member["linked"]}
    return alive >= {f"{HOST}:{other.port}" for other in others}


@contextmanager
def nodes_in(folder: Path) -> Iterator[Nodes]:
    """A place to start nodes from."""
    nodes = Nodes(folder)
    try:
        yield nodes
    finally:
        for process in nodes.started:
            process.popen.kill()
        for process in nodes.started:
            process.popen.wait(10)
