"""What an entry costs in Redis, to print beside ours.

What: ``measure`` starts one redis-server in memory only, with a limit that is not reached and ``maxmemory-policy
allkeys-lru``, fills it with the keys and values of `memory`, and reads what it accounts for and what the system counts.

Invariant: the same number of entries of the same lengths as our fill, one command each, and the same payload: bytes of
keys and values. Both figures are growth since the empty server.

Why the policy: it makes Redis keep its clock for each object in earnest; the bytes are the same without. Why the
system's own count: what Redis reports of its resident memory it has read up to a tenth of a second ago, which is before
a small fill has begun.
"""

import shutil
import socket
import time

import attrs

from dynacache.cli.bench.cpu import resident_bytes
from dynacache.cli.bench.redis_servers import RedisLink, redis_version
from dynacache.cli.processes import Child, ProcessGroup, StartFailed, free_ports

__all__ = ["POLICY", "RedisMemory", "is_there", "measure"]

POLICY = "allkeys-lru"

_BATCH = 500
_START_TIMEOUT_S = 20.0


@attrs.frozen
class RedisMemory:
    """The cost of one fill. Bytes are for each entry, above key and value."""

    version: str
    eviction: str
    entries: int
    ttl_s: float
    resident_overhead_bytes: float
    accounted_overhead_bytes: float


def is_there() -> bool:
    """Whether redis-server is installed."""
    return shutil.which("redis-server") is not None


def measure(entries: int, key_bytes: int, value_bytes: int, ttl_s: float) -> RedisMemory:
    """Fill a server of one's own; raises StartFailed."""
    with ProcessGroup() as group:
        port = free_ports(1)[0]
        limit = f"{entries * (400 + key_bytes + value_bytes) + (64 << 20)}"
        options = {"port": f"{port}", "bind": "127.0.0.1", "dir": str(group.folder), "save": "", "appendonly": "no"}
        options |= {"daemonize": "no", "maxmemory": limit, "maxmemory-policy": POLICY}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        child = group.start("redis", ["redis-server", *words])
        link = _linked(port, child)
        try:
            before = _memory(link, child)
            _fill(port, entries, key_bytes, value_bytes, ttl_s)
            after = _memory(link, child)
            if link.ask("DBSIZE") != f":{entries}":
                raise StartFailed(f"redis-server holds {link.ask('DBSIZE')} of {entries} entries")
            version = redis_version(link.ask("INFO", "server"))
        finally:
            link.close()
    payload = key_bytes + value_bytes
    accounted, resident = (round((new - old) / entries - payload, 1) for old, new in zip(before, after, strict=True))
    return RedisMemory(version, POLICY, entries, ttl_s, resident, accounted)


def _linked(port: int, child: Child) -> RedisLink:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and child.running:
        try:
            return RedisLink(port)
        except OSError:
            time.sleep(0.05)
    raise StartFailed(f"redis-server did not start: {child.said()}")


def _memory(link: RedisLink, child: Child) -> tuple[int, int]:
    """Return the bytes that the server accounts for and those that the system counts for it; raises StartFailed."""
    report = dict(line.partition(":")[::2] for line in link.ask("INFO", "memory").splitlines())
    resident = resident_bytes(child.pid)
    if resident is None:
        raise StartFailed("this system does not tell the resident memory of redis-server")
    return int(report["used_memory"]), resident


def _fill(port: int, entries: int, key_bytes: int, value_bytes: int, ttl_s: float) -> None:
    life = b"" if not ttl_s else b"$2\r\nPX\r\n$%d\r\n%d\r\n" % (len(str(int(ttl_s * 1000))), int(ttl_s * 1000))
    head = b"*%d\r\n$3\r\nSET\r\n" % (5 if life else 3)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection, connection.makefile("rb") as answers:
        for first in range(0, entries, _BATCH):
            numbers = range(first, min(first + _BATCH, entries))
            connection.sendall(
                b"".join(
                    head
                    + b"$%d\r\n%0*d\r\n$%d\r\n%0*d\r\n"
                    % (key_bytes, key_bytes, number, value_bytes, value_bytes, number)
                    + life
                    for number in numbers
                )
            )
            for _ in numbers:
                if (answer := answers.readline()) != b"+OK\r\n":
                    raise StartFailed(f"redis-server refused a write: {answer!r}")
