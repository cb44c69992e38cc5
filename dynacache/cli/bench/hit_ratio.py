"""Hit ratios on recorded request streams: our policies, exact LRU, the optimum and the libraries of others.

What: ``measure`` plays each trace through a cache of 1, 5, 10 and 25 % of its distinct keys (or of their bytes, where
the trace has sizes) under each policy: read, and on a miss fill. Ours run in a real storage engine of one node, every
read a ``get`` and every fill a ``put`` of a packed record. The exact LRU, the optimum and the libraries are beside it.

Invariant: every system gets the same requests and may hold the same number of entries, or of value bytes, at any time;
nothing is told which keys come next but the optimum. Belady's rule is the optimum for entries; in bytes it is greedy,
furthest next use first, and only close to it.

Why the engine is told how many entries to hold instead of being given a memory limit: entries of other systems have
other overheads, and a hit ratio per byte of overhead would compare those. Its ghosts are what the default share of the
limit has room for with entries of some 270 bytes: 28 for a hundred entries.
"""

import heapq
import math
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import attrs

from dynacache.cli.bench.cache_libraries import LIBRARIES, Library
from dynacache.cli.traces import read_sized_trace
from dynacache.config.storage import StorageSettings
from dynacache.placement.partitions import key_hash, partition_of
from dynacache.storage.engine import Engine
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer

__all__ = ["POLICIES", "SHARES", "HitRatio", "Request", "exact_lru", "measure", "optimum", "play_engine"]

POLICIES = ("s3fifo", "lru", "lfu", "ttl", "random")
"""Ours. ``noeviction`` keeps what came first."""

SHARES = (0.01, 0.05, 0.1, 0.25)

Request = tuple[bytes, int]
"""(key, size in the unit of the capacity: 1, or bytes)."""

_PARTITIONS = 16
_LIMIT_BYTES = 256 << 20
_GHOSTS_AN_ENTRY = 0.28
_GHOST_BYTES = 29
_GHOST_SHARD_BYTES = 600
_VALUES_BYTES = 32 << 20
_NOW_MS = 1_700_000_000_000
_RAW = 1


@attrs.frozen
class HitRatio:
    """What one system reached with one trace at one size."""

    trace: str
    unit: str
    """``entries`` or ``bytes``."""

    share: float
    capacity: int
    system: str
    hit_ratio: float
    ns_per_access: float


def measure(
    paths: Sequence[Path], tell: Callable[[str], None], limit: int | None = None, shares: Sequence[float] = SHARES
) -> list[HitRatio]:
    """Measure every trace at every size. Raises ValueError for a file that is no trace."""
    found: list[HitRatio] = []
    for path in paths:
        sized = list(read_sized_trace(path, limit))
        name = path.name.split(".")[0]
        cases: list[tuple[str, list[Request]]] = [("entries", [(key, 1) for key, _ in sized])]
        if any(size is not None for _, size in sized):
            cases.append(("bytes", [(key, max(1, size or 0)) for key, size in sized]))
        for unit, requests in cases:
            tell(f"{name}, {len(requests):,} requests, by {unit}")
            whole = sum(dict(requests).values())
            for share in shares:
                found += _measure_one(name, unit, share, max(1, int(whole * share)), requests)
    return found


def _measure_one(trace: str, unit: str, share: float, capacity: int, requests: Sequence[Request]) -> Iterable[HitRatio]:
    systems: dict[str, Callable[[], int]] = {
        "optimum": partial(optimum, requests, capacity),
        "exact lru": partial(exact_lru, requests, capacity),
        **{policy: partial(play_engine, requests, capacity, policy) for policy in POLICIES},
        **{
            name: partial(_play_library, library, requests, capacity)
            for name, library in LIBRARIES.items()
            if unit in library.units and library.is_there()
        },
    }
    for system, play in systems.items():
        before = time.perf_counter_ns()
        hits = play()
        taken = time.perf_counter_ns() - before
        yield HitRatio(trace, unit, share, capacity, system, hits / len(requests), round(taken / len(requests), 1))


def exact_lru(requests: Iterable[Request], capacity: int) -> int:
    """Return the hits of the least recently used rule, kept exactly."""
    held: OrderedDict[bytes, int] = OrderedDict()
    hits = used = 0
    for key, size in requests:
        if key in held:
            held.move_to_end(key)
            hits += 1
        elif size <= capacity:
            while used + size > capacity:
                used -= held.popitem(last=False)[1]
            held[key] = size
            used += size
    return hits


def optimum(requests: Sequence[Request], capacity: int) -> int:
    """Return the hits of Belady's rule: what is used furthest in the future goes, or is not taken at all."""
    uses = _next_uses(requests)
    held: dict[bytes, tuple[int, int]] = {}
    order: list[tuple[int, bytes]] = []
    hits = used = 0
    for place, (key, size) in enumerate(requests):
        known = held.pop(key, None)
        if known is not None:
            hits += 1
            used -= known[1]
        if uses[place] >= len(requests) or size > capacity:
            continue
        taken = True
        while used + size > capacity and taken:
            while order and held.get(order[0][1], (0, 0))[0] != -order[0][0]:
                heapq.heappop(order)
            if -order[0][0] <= uses[place]:
                taken = False
            else:
                used -= held.pop(heapq.heappop(order)[1])[1]
        if taken:
            held[key] = uses[place], size
            used += size
            heapq.heappush(order, (-uses[place], key))
    return hits


def _next_uses(requests: Sequence[Request]) -> list[int]:
    """Return for every request the place of the next one of its key; beyond the end if there is none."""
    uses, latest = [0] * len(requests), dict[bytes, int]()
    for place in range(len(requests) - 1, -1, -1):
        key = requests[place][0]
        uses[place] = latest.get(key, len(requests) + place)
        latest[key] = place
    return uses


def play_engine(requests: Sequence[Request], capacity: int, policy: str, seed: int = 1) -> int:
    """Return the hits of one of our policies in a storage engine."""
    distinct = dict(requests)
    scale = max(1.0, sum(distinct.values()) / _VALUES_BYTES)
    held_count = capacity * len(distinct) / sum(distinct.values())
    ghosts = math.ceil(_GHOSTS_AN_ENTRY * held_count / _PARTITIONS)
    ghost_share = _PARTITIONS * (_GHOST_SHARD_BYTES + _GHOST_BYTES * ghosts) / _LIMIT_BYTES
    settings = StorageSettings(limit_bytes=_LIMIT_BYTES, eviction=policy, ghost_share=ghost_share)
    engine = Engine(settings, _PARTITIONS, random.Random(seed))
    issuer, sizes = ActorIssuer(1), dict[bytes, int]()
    hits = used = 0

    def went(_: int, key: bytes, __: int) -> None:
        nonlocal used
        used -= sizes.pop(key)

    engine.gone = went
    for place, (key, size) in enumerate(requests):
        partition = partition_of(key_hash(key), _PARTITIONS)
        if engine.get(partition, key, _NOW_MS) is not None:
            hits += 1
            continue
        if size > capacity:
            continue
        while used + size > capacity and engine.evict_one():
            pass
        time_ = (_NOW_MS << 16) + place
        value = bytes(64 if size == 1 else int(size / scale))
        engine.put(partition, key, packed.write(None, issuer, time_, 0, _RAW, value, _NOW_MS)[0])
        sizes[key] = size
        used += size
    return hits


def _play_library(library: Library, requests: Iterable[Request], capacity: int) -> int:
    with library.make(capacity) as (get, fill):
        hits = 0
        for key, size in requests:
            if get(key):
                hits += 1
            elif size <= capacity:
                fill(key, size)
        return hits
