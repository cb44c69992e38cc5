"""Cleaning: what is due together is freed within a second in small slices, and the limit follows what is measured."""

import itertools

import attrs
import pytest

from dynacache.config.memory import MemoryConfig
from dynacache.events import MemoryMeasured, Note, TrimMemory
from dynacache.node.cleaning import DRAIN_S, EXPIRY_COUNT, EXPIRY_SLICE_S, PATIENCE_S, SLICE_S, STEP_BYTES, Cleaning
from dynacache.node.core import Node
from dynacache.storage.engine import Engine
from dynacache.storage.governor import Governor
from tests.fake_cluster import FakeCluster
from tests.storage.builders import key_of, value

COUNT = 20_000


@attrs.define
class Bench:
    """One node's cleaning, and its virtual time."""

    cleaning: Cleaning
    engine: Engine
    start_s: float
    start_ms: int
    slices: list[int] = attrs.field(factory=list)

    def run(self, seconds: float) -> None:
        """Act whenever it is due."""
        shared = self.cleaning.shared
        end_s = shared.now_s + seconds
        while self.cleaning.due_s <= end_s:
            self.set(max(shared.now_s, self.cleaning.due_s))
            before = self.engine.expired + self.engine.evicted
            self.cleaning.act()
            self.slices.append(self.engine.expired + self.engine.evicted - before)
        self.set(end_s)

    def set(self, now_s: float) -> None:
        """Let it be that second."""
        shared = self.cleaning.shared
        shared.now_s = now_s
        shared.now_ms = self.start_ms + int((now_s - self.start_s) * 1000)


NO_LIMIT = MemoryConfig()


def bench_of(memory: MemoryConfig = NO_LIMIT, limit_bytes: int = 64 * 2**20) -> Bench:
    cluster = FakeCluster(1)
    node: Node = cluster.nodes["n1"]
    node.engine.set_limit(limit_bytes)
    shared = node.shared
    return Bench(Cleaning(shared, node.engine, memory, shared.now_s), node.engine, shared.now_s, shared.now_ms)


def fill(bench: Bench, count: int, ttl_ms: int = 0, size: int = 20) -> None:
    now_ms = bench.cleaning.shared.now_ms
    for number in range(count):
        bench.engine.put(number % 1024, key_of(number), value(size, ttl_ms=ttl_ms, now_ms=now_ms))


def test_what_becomes_due_together_is_freed_within_a_second_and_never_at_once() -> None:
    bench = bench_of()
    fill(bench, COUNT, ttl_ms=5_000)
    due_s = -(-(bench.start_ms + 5_000) // 1000) - bench.start_ms / 1000
    bench.run(due_s - 0.001)
    assert bench.engine.expired == 0
    bench.slices.clear()
    bench.run(DRAIN_S + 0.6)  # half a second: the longest rest of an idle node
    assert bench.engine.expired == COUNT
    assert max(bench.slices) <= max(64, COUNT / DRAIN_S * EXPIRY_SLICE_S)
    assert sum(count > 0 for count in bench.slices) >= COUNT / 64 / 2


def test_a_turn_with_messages_leaves_the_slice_to_the_next_but_not_for_long() -> None:
    bench = bench_of()
    fill(bench, 3 * COUNT, ttl_ms=1_000, size=1)
    cleaning, shared = bench.cleaning, bench.cleaning.shared
    while not bench.engine.expired:
        bench.run(0.01)
    expired = bench.engine.expired
    bench.set(cleaning.due_s)
    cleaning.act(busy=True)
    cleaning.act(ticking=True, busy=True)
    assert bench.engine.expired == expired
    assert cleaning.due_s <= shared.now_s, "so the next turn comes at once"
    bench.set(cleaning.due_s + PATIENCE_S)
    cleaning.act(busy=True)
    late = bench.engine.expired - expired
    assert late >= 3 * COUNT / DRAIN_S * (EXPIRY_SLICE_S + PATIENCE_S) * 0.9, "a late slice is the larger"
    assert cleaning.due_s > shared.now_s


def test_who_is_far_behind_takes_more_slices_and_no_larger_ones() -> None:
    bench = bench_of()
    fill(bench, 3 * COUNT, ttl_ms=1_000, size=1)
    cleaning, shared = bench.cleaning, bench.cleaning.shared
    while not bench.engine.expired:
        bench.run(0.01)
    expired = bench.engine.expired
    bench.set(shared.now_s + 0.05)
    cleaning.act()
    assert bench.engine.expired - expired == EXPIRY_COUNT
    assert cleaning.due_s == shared.now_s, "the next one at once"
    cleaning.act()
    assert cleaning.due_s > shared.now_s, "without end in one instant only where there is no time at all"
    bench.run(1.0)
    assert bench.engine.expired == 3 * COUNT
    assert max(bench.slices) <= EXPIRY_COUNT


def test_a_backlog_beyond_all_pace_is_freed_in_full_slices() -> None:
    bench = bench_of()
    bench.engine.settings = attrs.evolve(bench.engine.settings, collect_count=50)
    fill(bench, 3 * COUNT, ttl_ms=2_000, size=1)
    bench.run(5)
    assert bench.engine.expired == 3 * COUNT
    assert max(bench.slices) == 50


def test_nothing_is_expired_while_the_clock_is_in_doubt() -> None:
    bench = bench_of()
    fill(bench, 100, ttl_ms=1_000)
    bench.cleaning.shared.clock_safe = False
    bench.run(5)
    assert bench.engine.expired == 0
    assert len(bench.slices) < 5 * 25
    bench.cleaning.shared.clock_safe = True
    bench.run(1)
    assert bench.engine.expired == 100


def test_an_idle_store_costs_two_looks_a_second() -> None:
    bench = bench_of()
    bench.run(10)
    assert len(bench.slices) <= 21


MEMORY = MemoryConfig(limit_bytes=100 * 2**20)


def test_without_a_limit_on_the_process_a_measurement_changes_nothing() -> None:
    bench = bench_of()
    before = bench.engine.limit_bytes
    bench.cleaning.measured(MemoryMeasured(10**12))
    bench.run(2)
    assert bench.engine.limit_bytes == before
    assert bench.cleaning.statistics() == {}


def test_a_lowered_limit_is_reached_in_steps() -> None:
    bench = bench_of(MEMORY, limit_bytes=16 * 2**20)
    fill(bench, COUNT, size=400)
    used = bench.engine.used_bytes
    aim = bench.cleaning.governor.aim_bytes if bench.cleaning.governor else 0
    bench.cleaning.measured(MemoryMeasured(aim + 8 * 2**20, 7))
    assert bench.engine.limit_bytes == 16 * 2**20
    limits = []
    while bench.engine.limit_bytes > 8 * 2**20:
        bench.run(SLICE_S)
        limits.append(bench.engine.limit_bytes)
    an_entry = 1_000
    assert limits[0] >= used - 2 * STEP_BYTES - an_entry, "a slice ends with the entry that goes below its limit"
    assert all(before - after <= 2 * STEP_BYTES for before, after in itertools.pairwise(limits[1:]))
    assert bench.engine.used_bytes <= 8 * 2**20
    assert bench.engine.usage() == bench.engine.recount()
    bench.run(1.5)
    bench.cleaning.measured(MemoryMeasured(MEMORY.limit_bytes + 2**20))
    bench.run(2.5)
    bench.cleaning.measured(MemoryMeasured(MEMORY.limit_bytes + 2**20, 7))
    assert any(isinstance(each, TrimMemory) for each in bench.cleaning.shared.effects.others)
    assert bench.cleaning.statistics()["memory_buffer_bytes"] == 7


def test_the_floor_is_told_once_and_its_end_too() -> None:
    bench = bench_of(MEMORY, limit_bytes=16 * 2**20)
    for resident_bytes in (2**30, 2**30, 2**20, 2**20):
        bench.cleaning.measured(MemoryMeasured(resident_bytes))
    noted = [each.event for each in bench.cleaning.shared.effects.others if isinstance(each, Note)]
    assert noted == ["memory.floor", "memory.followed"]


@pytest.mark.parametrize("limit_bytes", [0, 200 * 2**20])
def test_a_node_takes_measurements_and_reports_them(limit_bytes: int) -> None:
    cluster = FakeCluster(1)
    node = cluster.nodes["n1"]
    if limit_bytes:
        node.cleaning.governor = Governor(MemoryConfig(limit_bytes=limit_bytes), node.engine.limit_bytes)
    cluster.tell("n1", MemoryMeasured(150 * 2**20))
    assert node.statistics().get("memory_resident_bytes") == (150 * 2**20 if limit_bytes else None)
