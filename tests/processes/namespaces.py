"""Machines in small: network namespaces on one switch, with an address each, that can be cut apart and joined again.

What: a ``Lab`` makes a namespace for each machine and one for the switch, whose bridges are the only way between them.
``cut`` moves some machines to a bridge of their own: packets between the two sides go nowhere, as with a switch that
has failed, and nobody is told. ``heal`` plugs them in again. ``opened_in`` opens a connection from within a namespace.

Invariant: nothing is changed outside of namespaces that this made, and all of them are deleted at the end, whatever
happened. Names carry the process id, so that two runs do not meet.

Where namespaces are refused (no iproute2, no privilege) making a lab raises ``NamespacesRefused`` with the reason.
"""

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

__all__ = ["Lab", "NamespacesRefused", "lab_of", "opened_in"]

_CLONE_NEWNET = 0x40000000
_NETWORK = "10.77.0"


class NamespacesRefused(Exception):
    """This machine lets us make no network namespaces; the text says why."""


@attrs.define(eq=False)
class Lab:
    """Some machines by name, and the switch between them."""

    prefix: str
    machines: tuple[str, ...]

    def namespace(self, machine: str) -> str:
        """The namespace of a machine (or of the ``switch``)."""
        return f"{self.prefix}-{machine}"

    def address(self, machine: str) -> str:
        """The address of a machine."""
        return f"{_NETWORK}.{self.machines.index(machine) + 1}"

    def inside(self, machine: str, command: Sequence[str]) -> list[str]:
        """The command line that runs something on a machine."""
        return ["ip", "netns", "exec", self.namespace(machine), *command]

    def build(self) -> None:
        """Make everything; raises NamespacesRefused."""
        if shutil.which("ip") is None:
            raise NamespacesRefused("there is no `ip` (Debian: apt-get install iproute2)")
        try:
            self._make()
        except subprocess.CalledProcessError as error:
            raise NamespacesRefused(f"`{' '.join(error.cmd)}`: {error.stderr.strip()}") from error

    def _make(self) -> None:
        switch = self.namespace("switch")
        _ip("netns", "add", switch)
        for bridge in ("one", "two"):
            _ip("-n", switch, "link", "add", bridge, "type", "bridge")
            _ip("-n", switch, "link", "set", bridge, "up")
        for machine in self.machines:
            own = self.namespace(machine)
            _ip("netns", "add", own)
            _ip("-n", switch, "link", "add", machine, "type", "veth", "peer", "name", "eth0", "netns", own)
            _ip("-n", switch, "link", "set", machine, "master", "one", "up")
            _ip("-n", own, "address", "add", f"{self.address(machine)}/24", "dev", "eth0")
            _ip("-n", own, "link", "set", "eth0", "up")
            _ip("-n", own, "link", "set", "lo", "up")

    def cut(self, machines: Sequence[str]) -> None:
        """Part these machines from all others."""
        self._plug(machines, "two")

    def heal(self) -> None:
        """All machines reach each other again."""
        self._plug(self.machines, "one")

    def _plug(self, machines: Sequence[str], bridge: str) -> None:
        for machine in machines:
            _ip("-n", self.namespace("switch"), "link", "set", machine, "master", bridge)

    def destroy(self) -> None:
        """Delete every namespace that exists; cables go with them."""
        if shutil.which("ip") is None:
            return
        for name in (*self.machines, "switch"):
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", self.namespace(name))


@contextlib.contextmanager
def lab_of(machines: Sequence[str]) -> Iterator[Lab]:
    """A lab for the length of a block; raises NamespacesRefused."""
    lab = Lab(f"dynacache-{os.getpid()}", tuple(machines))
    try:
        lab.build()
        yield lab
    finally:
        lab.destroy()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=30)


def opened_in(namespace: str, address: tuple[str, int], timeout_s: float = 5.0) -> socket.socket:
    """Connect from within a namespace; raises OSError. A socket belongs to the namespace that it was made in."""
    made: list[socket.socket] = []
    failed: list[OSError] = []

    def connect() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        handle = os.open(Path("/run/netns") / namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if libc.setns(handle, _CLONE_NEWNET):
                number = ctypes.get_errno()
                raise OSError(number, f"setns: {os.strerror(number)}")
        finally:
            os.close(handle)
        made.append(socket.create_connection(address, timeout_s))

    def run() -> None:
        try:
            connect()
        except OSError as error:
            failed.append(error)

    # The namespace is one of the thread's, which ends with it.
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]
