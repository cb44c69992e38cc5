"""Measure what an entry costs: run by hand, prints one line a case.

    python tests/storage/measure_memory.py [entries [ttl_ms]]

It fills an engine in this fresh process and reads resident memory, so that nothing the account leaves out stays
hidden; the empty engine and the data of the eviction policy count as overhead too. Payload is the bytes of keys and
values alone; all else is overhead. The longest insertion is taken over all of them, the longest collection over five
full ones, both in processor time, so that a busy machine does not lengthen them.
"""

import gc
import os
import random
import sys
import time
from pathlib import Path

import attrs

from dynacache.config.storage import StorageSettings
from dynacache.storage.engine import Engine
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer

__all__ = ["MemoryFigures", "measure_memory"]

PARTITIONS = 1024
START_MS = 1_700_000_000_000
_COLLECT_EVERY = 500
"""Insertions between two slices of clean-up, about as many as a busy node makes between two ticks."""


@attrs.frozen
class MemoryFigures:
    """What a fill cost. Overheads are bytes an entry above key and value."""

    entries: int
    accounted_overhead: float
    resident_overhead: float
    accounted_of_resident: float
    """Accounted growth divided by resident growth."""

    longest_insert_ms: float
    longest_collection_ms: float
    recount_equals: bool


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def measure_memory(
    entries: int, key_bytes: int = 39, value_bytes: int = 64, ttl_ms: int = 0, limit_bytes: int = 400 << 20
) -> MemoryFigures:
    """Fill an engine; with ``ttl_ms`` every entry expires, at instants spread evenly over that time."""
    draws = random.Random(7)
    gc.collect()
    resident = resident_bytes()
    engine = Engine(StorageSettings(limit_bytes=limit_bytes), PARTITIONS, draws)
    issuer = ActorIssuer(1)
    longest_ns, clock = 0, time.thread_time_ns
    for number in range(entries):
        key = b"%0*d" % (key_bytes, number)
        value = b"%0*d" % (value_bytes, number)
        expire_ms = START_MS + 1 + int(ttl_ms * draws.random()) if ttl_ms else 0
        record, _ = packed.write(None, issuer, START_MS << 16 | number & 0xFFFF, expire_ms, 1, value, START_MS)
        partition = draws.randrange(PARTITIONS)
        before = clock()
        engine.put(partition, key, record)
        taken = clock() - before
        if taken > longest_ns:
            longest_ns = taken
        if number % _COLLECT_EVERY == 0:
            engine.collect(START_MS)
    resident, accounted = resident_bytes() - resident, engine.usage().total_bytes
    collections = []
    for _ in range(5):
        before = clock()
        gc.collect()
        collections.append(clock() - before)
    assert engine.evicted == 0, "the limit was too low for the fill"
    payload = entries * (key_bytes + value_bytes)
    return MemoryFigures(
        entries=entries,
        accounted_overhead=(accounted - payload) / entries,
        resident_overhead=(resident - payload) / entries,
        accounted_of_resident=accounted / resident,
        longest_insert_ms=longest_ns / 1e6,
        longest_collection_ms=max(collections) / 1e6,
        recount_equals=engine.recount() == engine.usage(),
    )


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    life_ms = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    sys.stdout.write(f"{measure_memory(count, ttl_ms=life_ms)}\n")
