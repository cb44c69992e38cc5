"""Child processes of the demo and the bench: free ports, start, kill, and nothing left behind.

What: a `ProcessGroup` starts children, each with its standard output and error in a file of a temporary folder, and
ends them all when its ``with`` block ends, in whatever way: first politely, then by SIGKILL. `release` lets them live
on (``demo --keep``).

Invariant: after the block no child of the group runs and the folder is gone, unless the group was released. Children
have their own session, so an interrupt typed at the terminal reaches this process alone, which then ends them in order.

Ports: `free_ports` hands out ports on which both TCP and UDP can be bound, below the range from which the system takes
ports for outgoing connections; else a killed node could find its port taken by somebody's connection when it starts
again.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import attrs

__all__ = ["Child", "ProcessGroup", "StartFailed", "child_environment", "free_ports", "terminate_as_exit"]

_PORT_FIRST = 20_000
_PORT_END = 32_000
_ATTEMPTS_LIMIT = 2_000
_LOG_TAIL_BYTES = 2_000


class StartFailed(Exception):
    """A child ended, or did not get ready, when it should have come up."""


@attrs.define(eq=False)
class Child:
    """One child process and the file that holds what it wrote."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def said(self) -> str:
        """The end of what it wrote."""
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
            return log.read().decode("utf-8", "replace").strip()
        return ""


class ProcessGroup:
    """Children that end with this ``with`` block; see the module's docstring."""

    def __init__(self, stop_timeout_s: float = 5.0) -> None:
        """Children that have not ended `stop_timeout_s` after a polite request are killed."""
        self.folder = Path(tempfile.mkdtemp(prefix="dynacache-"))
        self.children: list[Child] = []
        self._stop_timeout_s = stop_timeout_s
        self._released = False

    def start(self, name: str, command: Sequence[str]) -> Child:
        """Start a child; the same name may be started again after it has ended. Raises StartFailed."""
        log = self.folder / f"{name.replace(':', '_').replace('/', '_')}.log"
        try:
            with log.open("ab") as sink:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    cwd=self.folder,
                    env=child_environment(),
                )
        except OSError as error:
            raise StartFailed(f"cannot start {name}: {error}") from error
        child = Child(name, process, log)
        self.children = [other for other in self.children if other.running] + [child]
        return child

    def release(self) -> None:
        """Let the children and their folder live on after the block."""
        self._released = True

    def stop(self) -> None:
        """End every child: SIGTERM, then SIGKILL for those that are still there at the deadline."""
        alive = [child for child in self.children if child.running]
        for child in alive:
            child.process.terminate()
        deadline = time.monotonic() + self._stop_timeout_s
        for child in alive:
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
        self.children.clear()

    def __enter__(self) -> "ProcessGroup":
        """Return the group."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the children and remove their folder, unless released."""
        if self._released and error is None:
            return
        try:
            self.stop()
        finally:
            for child in self.children:
                child.process.kill()
            shutil.rmtree(self.folder, ignore_errors=True)


def child_environment() -> dict[str, str]:
    """Ours, with what this process can import importable there too, and without settings that would reach nodes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DYNACACHE_")}
    kept["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    return kept


def free_ports(count: int, source: random.Random | None = None) -> list[int]:
    """Return `count` different ports of the loopback address that were free a moment ago, for TCP and UDP.

    Raises StartFailed when none are to be found.
    """
    source = source or random.Random()
    found: list[int] = []
    for _ in range(_ATTEMPTS_LIMIT):
        if len(found) == count:
            return found
        port = source.randrange(_PORT_FIRST, _PORT_END)
        if port not in found and _bindable(port):
            found.append(port)
    raise StartFailed(f"found {len(found)} free ports between {_PORT_FIRST} and {_PORT_END}, needed {count}")


def _bindable(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


@contextlib.contextmanager
def terminate_as_exit() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP raise SystemExit, so that ``with`` blocks end children before we end."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = {each: signal.signal(each, leave) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
