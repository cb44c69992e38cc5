"""Measure what an exchange costs: run by hand, prints one line a case.

    python -m tests.repair.measure_exchange [entries [differences ...]]

Two owners of all partitions with the same entries exchange over a fake wire in virtual time; then one of them takes so
many writes that the other misses, and they exchange until they are equal. Bytes are those of packed messages, both
directions, without the records that travel (written apart); seconds are processor time of both sides together. With
``walk`` the marks of what changed are lost first, so that the differences are found by a walk.
"""

import sys
import time
from typing import Any

import attrs

from dynacache.config.repair import RepairConfig
from dynacache.config.storage import StorageSettings
from dynacache.wire.messages import COMPARE, RECORDS, WRITE_ACK
from tests.repair.exchange_world import World

__all__ = ["ExchangeFigures", "filled_world", "measure_differences", "measure_rest"]

PARTITIONS = 1024
VALUE_BYTES = 64
REPAIR = RepairConfig(repair_bytes_per_s=1 << 30)


@attrs.frozen
class ExchangeFigures:
    """What it took to become equal, or to find that all is."""

    differences: int
    pairs: int
    """Questions, each with one answer."""

    message_bytes: int
    record_bytes: int
    cpu_s: float
    longest_step_s: float
    """Processor time of the longest turn of either side."""

    virtual_s: float


def filled_world(entries: int) -> World:
    """Return two owners that hold the same, compared once."""
    storage = StorageSettings(limit_bytes=1 << 31)
    world = World(("a", "b"), repair=REPAIR, storage=storage, partitions=PARTITIONS)
    a, b = world.owners["a"], world.owners["b"]
    for index in range(entries):
        key = b"key-%d" % index
        record = a.make(key, bytes(VALUE_BYTES))
        b.engine.put(b.partition(key), key, record)
    for owner in (a, b):
        for _ in range(2 * PARTITIONS + entries // 1000):
            owner.engine.collect(owner.now_ms, 2_000)
    while not (world.total("exchanges_equal") and world.equal()):
        world.run(5)
    return world


def measure_rest(world: World, virtual_s: float = 300.0) -> ExchangeFigures:
    """Return what exchanges without any difference cost, per exchange; the time is that of the whole stretch."""
    world.forget_traffic()
    before_s = time.process_time()
    longest_s = _run(world, virtual_s)
    cpu_s = time.process_time() - before_s
    pairs = world.kinds.count(COMPARE)
    return ExchangeFigures(0, pairs, sum(world.sizes) // max(1, pairs), 0, cpu_s, longest_s, virtual_s)


def measure_differences(world: World, differences: int, *, walk: bool = False) -> ExchangeFigures:
    """Return what it costs to repair so many missed writes, from the next exchange until all is equal."""
    a, start_s = world.owners["a"], world.now_s
    for index in range(differences):
        a.make(b"key-%d" % (index * 997 % 1_000_003), b"%064d" % int(world.now_s))
    for owner in world.owners.values():
        owner.exchange.ground.absorb()
        if walk:
            for view in owner.exchange.ground.peers.values():
                view.dirty.clear()
                view.walk = True
    world.forget_traffic()
    before_s = time.process_time()
    longest_s = 0.0
    while not world.equal():
        longest_s = max(longest_s, _run(world, 1.0))
    cpu_s = time.process_time() - before_s
    records = sum(_record_bytes(message) for message in world.messages)
    pairs = len(world.kinds) // 2
    return ExchangeFigures(
        differences, pairs, sum(world.sizes) - records, records, cpu_s, longest_s, world.now_s - start_s
    )


def _run(world: World, seconds: float) -> float:
    """Run in small steps; return the processor time of the longest."""
    longest_s, end_s = 0.0, world.now_s + seconds
    while world.now_s < end_s:
        before_s = time.process_time()
        world.run(0.001 if seconds <= 1 else 0.05)
        longest_s = max(longest_s, time.process_time() - before_s)
    return longest_s


def _record_bytes(message: tuple[Any, ...]) -> int:
    return sum(map(len, message[4])) if message[0] in (RECORDS, WRITE_ACK) else 0


def _main() -> None:
    entries = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    counts = [int(each) for each in sys.argv[2:]] or [1, 10, 100, 1_000]
    world = filled_world(entries)
    rest = measure_rest(world)
    share = rest.cpu_s / 2 / rest.virtual_s
    sys.stdout.write(
        f"entries {entries}  d 0  pairs {rest.pairs} in {rest.virtual_s:.0f} s, {rest.message_bytes} bytes a pair,"
        f" {share:.4%} of a core a node\n"
    )
    for walk in (False, True):
        for count in counts:
            figures = measure_differences(world, count, walk=walk)
            sys.stdout.write(
                f"entries {entries}  d {count}{'  walk' if walk else ''}  pairs {figures.pairs}"
                f"  bytes {figures.message_bytes} ({figures.message_bytes / count:.0f} a difference)"
                f" + records {figures.record_bytes}  cpu {figures.cpu_s * 1000:.1f} ms"
                f"  longest step {figures.longest_step_s * 1000:.1f} ms\n"
            )


if __name__ == "__main__":
    _main()
