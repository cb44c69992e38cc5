"""Redis to compare with: one master and two replicas on loopback, in memory only.

What: `start_redis` starts three of the installed redis-server, makes two of them replicas of the first and waits until
both are in sync. `RedisLink` is the one blocking connection it needs for that.

Invariant: no persistence and no fork at work (``save ""``, ``appendonly no``, diskless sync without delay), so Redis is
measured at its fastest; the servers live in the group's temporary folder and end with it.

Why Debian's: everybody can install the same one. `redis_version` goes into the report.
"""

import shutil
import socket
import time

import attrs

from dynacache.cli.processes import Child, ProcessGroup, StartFailed, free_ports

__all__ = ["REPLICAS", "RedisLink", "RedisServers", "redis_version", "start_redis"]

REPLICAS = 2
_START_TIMEOUT_S = 20.0


@attrs.frozen
class RedisServers:
    """Three servers, the master first."""

    ports: tuple[int, ...]
    children: tuple[Child, ...]
    version: str


class RedisLink:
    """A blocking connection that sends one command and reads one answer of a single line or bulk string."""

    def __init__(self, port: int, timeout_s: float = 5.0) -> None:
        """Connect to loopback; raises OSError."""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self._lines = self._socket.makefile("rb")

    def ask(self, *words: str) -> str:
        """Send a command, return its answer as text; an error answer comes back with its minus sign."""
        self._socket.sendall(
            f"*{len(words)}\r\n".encode() + b"".join(f"${len(w.encode())}\r\n{w}\r\n".encode() for w in words)
        )
        line = self._lines.readline()
        if line.startswith(b"$") and line != b"$-1\r\n":
            line = self._lines.read(int(line[1:]) + 2)
        return line.decode("utf-8", "replace").strip()

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()
        self._socket.close()


def start_redis(group: ProcessGroup) -> RedisServers:
    """Start a master with two replicas in the group; raises StartFailed."""
    executable = shutil.which("redis-server")
    if executable is None:
        raise StartFailed("redis-server is not installed (Debian: apt-get install redis-server)")
    ports = free_ports(1 + REPLICAS)
    children = []
    for position, port in enumerate(ports):
        name = f"redis-{port}"
        folder = group.folder / name
        folder.mkdir()
        options = {
            "port": str(port),
            "bind": "127.0.0.1",
            "dir": str(folder),
            "save": "",
            "appendonly": "no",
            "repl-diskless-sync": "yes",
            "repl-diskless-sync-delay": "0",
            "daemonize": "no",
        }
        command = [executable, *(word for name, value in options.items() for word in (f"--{name}", value))]
        if position:
            command += ["--replicaof", "127.0.0.1", str(ports[0])]
        children.append(group.start(name, command))
    deadline = time.monotonic() + _START_TIMEOUT_S
    version = _wait_until_synchronised(ports[0], children, deadline)
    return RedisServers(tuple(ports), tuple(children), version)


def _wait_until_synchronised(port: int, children: list[Child], deadline: float) -> str:
    while time.monotonic() < deadline:
        for child in children:
            if not child.running:
                raise StartFailed(f"{child.name} ended: {child.said()}")
        try:
            link = RedisLink(port)
        except OSError:
            time.sleep(0.05)
            continue
        try:
            if _reaches_all_replicas(link):
                return redis_version(link.ask("INFO", "server"))
        finally:
            link.close()
        time.sleep(0.05)
    raise StartFailed(f"the replicas of redis-server on port {port} did not get in sync")


def _reaches_all_replicas(link: RedisLink) -> bool:
    """Whether a write gets to every replica. WAIT alone says yes to a connection that has written nothing."""
    if link.ask("INFO", "replication").count("state=online") != REPLICAS:
        return False
    link.ask("SET", "probe", "1")
    link.ask("DEL", "probe")
    return link.ask("WAIT", str(REPLICAS), "500") == f":{REPLICAS}"


def redis_version(report: str) -> str:
    """The version in an INFO report; empty where it names none."""
    for line in report.splitlines():
        if line.startswith("redis_version:"):
            return line.partition(":")[2].strip()
    return ""
