"""What one operation costs: seconds of computing, messages, bytes; and what one entry costs in memory. Measured.

What: ``measure`` runs reads and writes through real nodes on the lean wire, all through a coordinator that is the first
owner of their keys, as a client of ours sends them. ``entry_overhead_bytes`` fills a real engine and asks its account.

Invariant: messages and bytes are the same in every run; seconds are those of the clock that is handed in, so of this
machine, now. Costs cover decoding, the node, and encoding; sockets and the scheduler of a process come on top.

Why the smallest of several rounds: whatever else the machine does only adds.
"""

from collections.abc import Callable
from random import Random
from typing import Any

import attrs

from dynacache.config.storage import StorageSettings
from dynacache.storage.engine import Engine
from dynacache.types import Level
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.wire.messages import GET, PAYLOAD_RAW, REPORT, SET, VALUE

from .lean_wire import LeanWire, Meter

__all__ = ["Cost", "OperationCosts", "entry_overhead_bytes", "measure"]

_COORDINATOR = "n1"
_ROUNDS = 3
_KEYS = 256
_START_MS = 1_700_000_000_000


@attrs.frozen
class Cost:
    """One operation, on average. Seconds of computing by part, turns of all nodes, bytes over the network."""

    coordinate_s: float
    replica_s: float
    """Of all replicas together."""
    complete_s: float
    turns: float
    messages: float
    """Between nodes."""
    client_bytes: float
    peer_bytes: float

    @property
    def computing_s(self) -> float:
        """Return what all nodes compute together."""
        return self.coordinate_s + self.replica_s + self.complete_s


@attrs.frozen
class OperationCosts:
    """Reads and writes of one size, ``batch`` of them in each of a client's frames."""

    batch: int
    nodes: int
    key_bytes: int
    value_bytes: int
    read_level: str
    write_level: str
    read: Cost
    write: Cost


def measure(
    clock: Callable[[], float],
    *,
    batch: int = 1,
    nodes: int = 16,
    key_bytes: int = 39,
    value_bytes: int = 1_000,
    read_level: Level = Level.QUORUM,
    write_level: Level = Level.QUORUM,
    operations: int = 1_024,
) -> OperationCosts:
    """Return the cost of one read and one write; raises ValueError for a batch or a key that is too small."""
    if batch < 1:
        raise ValueError(f"batch: got {batch}, expected at least 1")
    if key_bytes < 16:
        raise ValueError(f"key_bytes: got {key_bytes}, expected at least 16")
    wire = LeanWire(nodes, clock=clock)
    keys = _keys(wire, key_bytes)
    value = bytes(value_bytes)
    writes = [[SET, key, PAYLOAD_RAW, value, int(write_level)] for key in keys]
    reads = [[GET, key, int(read_level)] for key in keys]
    rounds = max(1, operations // batch)
    write = _cheapest(wire, writes, batch, rounds)
    read = _cheapest(wire, reads, batch, rounds)
    assert wire.replies[max(wire.replies)][0] == VALUE, "the reads that were measured found nothing"
    return OperationCosts(
        batch, nodes, key_bytes, value_bytes, read_level.name.lower(), write_level.name.lower(), read, write
    )


def entry_overhead_bytes(
    key_bytes: int = 39, value_bytes: int = 1_000, entries_per_partition: int = 1_000, *, expires: bool = True
) -> float:
    """Return the bytes that the account of a store takes for one entry above its key and value."""
    partitions = 16
    entries = partitions * entries_per_partition
    engine = Engine(StorageSettings(limit_bytes=4 * entries * (key_bytes + value_bytes + 400)), partitions, Random(7))
    issuer = ActorIssuer(1)
    empty = engine.usage().total_bytes
    expire_ms = _START_MS + 3_600_000 if expires else 0
    for number in range(entries):
        stamp = _START_MS << 16 | number & 0xFFFF
        record, _ = packed.write(None, issuer, stamp, expire_ms, 1, bytes(value_bytes), _START_MS)
        engine.put(number % partitions, b"%0*d" % (key_bytes, number), record)
    assert engine.evicted == 0
    return (engine.usage().total_bytes - empty) / entries - key_bytes - value_bytes


def _keys(wire: LeanWire, key_bytes: int) -> list[bytes]:
    """Return keys whose first owner is the coordinator."""
    keys: list[bytes] = []
    number = 0
    while len(keys) < _KEYS:
        candidates = [b"%0*d" % (key_bytes, number + offset) for offset in range(256)]
        number += len(candidates)
        questions: list[Any] = [[REPORT, "owners", key] for key in candidates]
        rids = wire.ask(_COORDINATOR, questions)
        wire.run_until_replied(rids)
        keys += [
            key for rid, key in zip(rids, candidates, strict=True) if wire.replies[rid][2]["owners"][0] == _COORDINATOR
        ]
    return keys[:_KEYS]


def _cheapest(wire: LeanWire, messages: list[Any], batch: int, rounds: int) -> Cost:
    """Return the cost in the cheapest of some runs, after one run to warm up."""
    costs = [_one_run(wire, messages, batch, rounds) for _ in range(_ROUNDS + 1)]
    return min(costs[1:], key=lambda cost: cost.computing_s)


def _one_run(wire: LeanWire, messages: list[Any], batch: int, rounds: int) -> Cost:
    wire.meter = meter = Meter()
    for number in range(rounds):
        chosen = [messages[(number * batch + offset) % len(messages)] for offset in range(batch)]
        wire.run_until_replied(wire.ask(_COORDINATOR, chosen))
        wire.run(0.0)
        wire.now_s += 0.000_01
    count = rounds * batch
    parts = ("coordinate", "replica", "complete")
    seconds = [meter.seconds[part] / count for part in parts]
    ways = meter.sent_bytes
    return Cost(
        coordinate_s=seconds[0],
        replica_s=seconds[1],
        complete_s=seconds[2],
        turns=sum(meter.turns[part] for part in parts) / count,
        messages=(meter.messages["coordinator to replica"] + meter.messages["replica to coordinator"]) / count,
        client_bytes=(ways["client to node"] + ways["node to client"]) / count,
        peer_bytes=(ways["coordinator to replica"] + ways["replica to coordinator"]) / count,
    )
