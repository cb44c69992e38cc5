"""What an entry costs in memory, and the longest pause at a full store: measured in a process of its own.

What: ``python -m dynacache.cli.bench.memory`` fills one storage engine, as a node would, and prints the figures as
JSON; `measure` runs it as a child. Payload is the bytes of keys and values; everything else is what an entry costs.

Invariant: resident memory is what the system counts for the process, so nothing that the engine's own account leaves
out stays hidden; both are reported. Times are wall time, with the processor time of the same worst case beside it, so
that a moment in which another process had the processor is not taken for a pause of ours. The collector is set as a
node sets it after its start, and then made to collect everything, several times, with the store full.

Why a child: memory that something else has freed before would be used again and make entries look free.
"""

import gc
import json
import random
import subprocess
import sys
import time
from typing import Any

import attrs

from dynacache.cli.bench.cpu import resident_bytes
from dynacache.cli.processes import StartFailed
from dynacache.config import StorageSettings
from dynacache.placement.partitions import key_hash, partition_of
from dynacache.runtime.collector import calm
from dynacache.storage.engine import Engine
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer

__all__ = ["DEFAULT_EVICTION", "MemoryFigures", "fill", "main", "measure"]

DEFAULT_EVICTION = StorageSettings().eviction

_PARTITIONS = 1024
_START_MS = 1_700_000_000_000
_RAW = 1
_COLLECTIONS = 5
_BUDGET_BYTES = 400
"""Memory limit granted for each entry, so that nothing is evicted."""


@attrs.frozen
class MemoryFigures:
    """The cost of one fill. Bytes are for each entry, above key and value."""

    entries: int
    key_bytes: int
    value_bytes: int
    ttl_s: float
    resident_overhead_bytes: float
    accounted_overhead_bytes: float
    longest_insert_ms: float
    longest_insert_cpu_ms: float
    longest_collection_ms: float
    longest_collection_cpu_ms: float
    evicted: int
    eviction: str = DEFAULT_EVICTION


def measure(
    entries: int, key_bytes: int, value_bytes: int, ttl_s: float, eviction: str = DEFAULT_EVICTION
) -> MemoryFigures:
    """Fill an engine in a child process; raises StartFailed."""
    arguments = [str(entries), str(key_bytes), str(value_bytes), str(ttl_s), eviction]
    ended = subprocess.run(
        [sys.executable, "-m", "dynacache.cli.bench.memory", *arguments], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise StartFailed(f"the fill ended with exit code {ended.returncode}: {ended.stderr.strip()[-500:]}")
    fields: dict[str, Any] = json.loads(ended.stdout)
    return MemoryFigures(**fields)


def fill(
    entries: int, key_bytes: int, value_bytes: int, ttl_s: float, eviction: str = DEFAULT_EVICTION
) -> MemoryFigures:
    """Fill an engine in this process and look at what that cost."""
    draws = random.Random(7)
    gc.collect()
    limit_bytes = 64 * 2**20 + entries * (_BUDGET_BYTES + key_bytes + value_bytes)
    engine = Engine(StorageSettings(limit_bytes=limit_bytes, eviction=eviction), _PARTITIONS, draws)
    calm()
    resident, accounted = resident_bytes() or 0, engine.usage().total_bytes
    insert_ms, insert_cpu_ms = _insert_all(engine, entries, key_bytes, value_bytes, ttl_s, draws)
    resident, accounted = (resident_bytes() or 0) - resident, engine.usage().total_bytes - accounted
    collections = [_timed(gc.collect) for _ in range(_COLLECTIONS)]
    payload = entries * (key_bytes + value_bytes)
    return MemoryFigures(
        entries=entries,
        key_bytes=key_bytes,
        value_bytes=value_bytes,
        ttl_s=ttl_s,
        resident_overhead_bytes=round((resident - payload) / entries, 1),
        accounted_overhead_bytes=round((accounted - payload) / entries, 1),
        longest_insert_ms=round(insert_ms, 3),
        longest_insert_cpu_ms=round(insert_cpu_ms, 3),
        longest_collection_ms=round(max(wall for wall, _ in collections), 3),
        longest_collection_cpu_ms=round(max(cpu for _, cpu in collections), 3),
        evicted=engine.evicted,
        eviction=eviction,
    )


def _insert_all(
    engine: Engine, entries: int, key_bytes: int, value_bytes: int, ttl_s: float, draws: random.Random
) -> tuple[float, float]:
    """Insert everything; return the longest insert in wall and in processor milliseconds."""
    issuer = ActorIssuer(1)
    ttl_ms = int(ttl_s * 1000)
    wall, cpu = time.perf_counter_ns, time.thread_time_ns
    longest_wall = longest_cpu = 0
    for number in range(entries):
        key = b"%0*d" % (key_bytes, number)
        value = b"%0*d" % (value_bytes, number)
        expire_ms = _START_MS + 1 + int(ttl_ms * draws.random()) if ttl_ms else 0
        hybrid_time = (_START_MS << 16) + number
        record, _ = packed.write(None, issuer, hybrid_time, expire_ms, _RAW, value, _START_MS)
        partition = partition_of(key_hash(key), _PARTITIONS)
        before, before_cpu = wall(), cpu()
        engine.put(partition, key, record)
        taken_cpu, taken = cpu() - before_cpu, wall() - before
        longest_wall = max(taken, longest_wall)
        longest_cpu = max(taken_cpu, longest_cpu)
    return longest_wall / 1e6, longest_cpu / 1e6


def _timed(work: Any) -> tuple[float, float]:
    before, before_cpu = time.perf_counter(), time.thread_time()
    work()
    return (time.perf_counter() - before) * 1000, (time.thread_time() - before_cpu) * 1000


def main(arguments: list[str]) -> int:
    """Fill as the arguments say and print the figures."""
    entries, key_bytes, value_bytes = (int(word) for word in arguments[:3])
    print(json.dumps(attrs.asdict(fill(entries, key_bytes, value_bytes, float(arguments[3]), *arguments[4:]))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
