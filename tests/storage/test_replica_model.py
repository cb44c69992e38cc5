"""Two replicas that take the same versions have the same trees, whatever each evicts, expires, reaps or reads."""

from typing import Any

from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dynacache.errors import OutOfMemory
from dynacache.storage.engine import REFUSED, TAKEN, Engine
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from tests.storage.builders import START_MS, engine_of, key_of

PARTITIONS = 4
GRACE_MS = 100_000


def compare(first: Engine, second: Engine, now_ms: int) -> None:
    """Assert that digests and entries agree, once both have let go of what is due."""
    for engine in (first, second):
        assert engine.sweep(now_ms)
    assert first.roots == second.roots
    for partition in range(PARTITIONS):
        level = min(first.tree_level(partition), second.tree_level(partition))
        leaves = range(1 << level)
        assert first.leaf_digests(partition, level, leaves) == second.leaf_digests(partition, level, leaves)
        assert first.root(partition) == second.root(partition)


class Replicas(RuleBasedStateMachine):
    """``small`` evicts and reads, ``large`` holds everything; both hear of every version."""

    @initialize(lives=st.lists(st.sampled_from([0, 5_000, 60_000, -1]), min_size=12, max_size=12))
    def start(self, lives: list[int]) -> None:
        common: dict[str, Any] = {
            "ghost_share": 0.4,
            "tombstone_share": 0.3,
            "gc_grace_min_ms": 20_000,
            "gc_grace_max_ms": GRACE_MS,
        }
        self.small = engine_of(PARTITIONS, limit_bytes=40_000, **common)
        self.large = engine_of(PARTITIONS, seed=2, limit_bytes=4_000_000, **common)
        self.issuer = ActorIssuer(7)
        self.latest: dict[bytes, bytes] = {}
        self.now_ms = START_MS
        self.count = 0
        for number, ttl_ms in enumerate(lives):
            self.write(key_of(number), 500, 0)
            if ttl_ms < 0:
                self.delete(key_of(number))
            elif ttl_ms:
                self.write(key_of(number), 500, ttl_ms)

    keys = st.integers(0, 23).map(key_of)
    lives = st.sampled_from([0, 0, 700, 5_000, 60_000, 7_200_000])
    lengths = st.sampled_from([0, 64, 500, 1_500, 3_000])

    def partition(self, key: bytes) -> int:
        return int(key[4:]) % PARTITIONS

    def tell(self, key: bytes, record: bytes) -> None:
        """Let both replicas take a version."""
        record = packed.strip_local(record)
        self.latest[key] = record
        for engine in (self.small, self.large):
            try:
                engine.merge(self.partition(key), key, record, self.now_ms)
            except OutOfMemory:
                assume(False)

    @rule(key=keys, length=lengths, ttl_ms=lives)
    def write(self, key: bytes, length: int, ttl_ms: int) -> None:
        self.count += 1
        time = (self.now_ms << 16) + self.count
        expire_ms = self.now_ms + ttl_ms if ttl_ms else 0
        old = self.latest.get(key)
        self.tell(key, packed.write(old, self.issuer, time, expire_ms, packed.RAW, b"v" * length, self.now_ms)[1])

    @rule(key=keys)
    def write_concurrently(self, key: bytes) -> None:
        self.count += 1
        old, time = self.latest.get(key), (self.now_ms << 16) + self.count
        assume(old is not None and old[13:21] == bytes(8))
        other = packed.write(None, ActorIssuer(1_000 + self.count), time, 0, packed.RAW, b"w", self.now_ms)[1]
        self.tell(key, packed.merge(old, other) if old else other)

    @rule(key=keys)
    def delete(self, key: bytes) -> None:
        self.count += 1
        time = (self.now_ms << 16) + self.count
        self.tell(key, packed.delete(self.latest.get(key), self.issuer, time, self.now_ms)[1])

    @rule(key=keys, ttl_ms=st.sampled_from([0, 5_000, 8_000_000]))
    def touch(self, key: bytes, ttl_ms: int) -> None:
        held = self.large.peek(self.partition(key), key)
        assume(held is not None and key in self.latest and held[1:] == self.latest[key][1:])
        assert held is not None
        assume(packed.clean(held, self.now_ms) is held and self.small.peek(self.partition(key), key) == held)
        self.tell(key, packed.touch(held, self.now_ms + ttl_ms if ttl_ms else 0))

    @rule(key=keys, engine=st.booleans())
    def read(self, key: bytes, engine: bool) -> None:
        (self.small if engine else self.large).get(self.partition(key), key, self.now_ms)

    @rule(key=keys, length=lengths, ttl_ms=lives, full=st.booleans())
    def repair(self, key: bytes, length: int, ttl_ms: int, full: bool) -> None:
        """A version that one replica has missed comes by repair while that one has no room for it."""
        partition, time = self.partition(key), (self.now_ms << 16) + self.count
        self.count += 1
        expire_ms = self.now_ms + ttl_ms if ttl_ms else 0
        record = packed.write(
            self.latest.get(key), self.issuer, time, expire_ms, packed.RAW, b"v" * length, self.now_ms
        )[1]
        self.latest[key] = record
        self.large.merge(partition, key, record, self.now_ms)
        if full:
            self.small.set_limit(self.small.usage().total_bytes * 10 // 9)
        held, evicted = self.small.peek(partition, key), self.small.evicted
        admits = self.small.admits()
        try:
            outcome = self.small.merge_cold(partition, key, record, self.now_ms)
        except OutOfMemory:
            assume(False)
        self.small.set_limit(40_000)
        assert admits or held is not None or (outcome != TAKEN and self.small.evicted == evicted)
        assert (outcome == TAKEN) == (self.small.peek(partition, key) is not None)
        if outcome == REFUSED:
            self.small.merge(partition, key, record, self.now_ms)

    @rule(step_ms=st.sampled_from([1, 400, 999, 1_000, 20_000, 60_000, 3_700_000]))
    def pass_time(self, step_ms: int) -> None:
        self.now_ms += step_ms

    @rule(budget=st.sampled_from([1, 7, 1_000]), confirms=st.booleans(), engine=st.booleans())
    def collect(self, budget: int, confirms: bool, engine: bool) -> None:
        chosen = self.small if engine else self.large
        chosen.confirmed = lambda partition, prefix: confirms
        chosen.collect(self.now_ms, budget)

    @rule(engine=st.booleans(), step_ms=st.sampled_from([20_000, 60_000]))
    def reap(self, engine: bool, step_ms: int) -> None:
        self.pass_time(step_ms)
        self.collect(1_000, True, engine)

    @rule(count=st.integers(1, 12))
    def evict(self, count: int) -> None:
        for _ in range(count):
            self.small.evict_one()

    @rule(partition=st.integers(0, PARTITIONS - 1), level=st.integers(3, 8), budget=st.integers(1, 9))
    def change_level(self, partition: int, level: int, budget: int) -> None:
        trees = self.small._trees
        if trees.is_growing:
            self.small._used_bytes += trees.grow(budget)[0]
        elif trees.leaves[partition] and level > trees.level(partition):
            self.small._used_bytes += trees.start_growth(partition, level, self.small._all_contributions(partition))
        elif level < trees.level(partition):
            self.small._used_bytes += trees.shrink(partition, level)

    @rule()
    def compare_both(self) -> None:
        compare(self.small, self.large, self.now_ms)
        for partition in range(PARTITIONS):
            level = min(self.small.tree_level(partition), self.large.tree_level(partition))
            every = self.small.take_changed()
            every.clear()
            every.add_range(0, 1 << level)
            listed = [
                {entry[1:3]: entry for entry in engine.leaf_entries(partition, level, every, self.now_ms)}
                for engine in (self.small, self.large)
            ]
            assert listed[0].keys() == listed[1].keys()
            for name in listed[0]:
                first, second = listed[0][name], listed[1][name]
                assert first[5] == second[5] or {first[3], second[3]} <= {0, 2}, "both end at the same instant"
                for entry in (first, second):
                    if entry[6] is not None:
                        assert self.small.fingerprint(partition, entry[6]) == entry[1]

    @rule(from_small=st.booleans(), limit_bytes=st.sampled_from([200, 1_000, 100_000]))
    def transfer(self, from_small: bool, limit_bytes: int) -> None:
        source = self.small if from_small else self.large
        assert source.sweep(self.now_ms)
        records = [record for partition in range(PARTITIONS) for _, record in source.items(partition)]
        assume(all(packed.clean(record, self.now_ms) is record for record in records))
        filled = engine_of(
            PARTITIONS, seed=3, limit_bytes=4_000_000, ghost_share=0.4, gc_grace_max_ms=GRACE_MS, gc_grace_min_ms=20_000
        )
        for partition in range(PARTITIONS):
            snapshot = source.snapshot(partition)
            cursor: int | None = 0
            while cursor is not None:
                records, ghosts, cursor = snapshot.page(cursor, limit_bytes)
                for index in range(0, len(records), 2):
                    assert filled.merge_cold(partition, records[index], records[index + 1], self.now_ms) == 0
                filled.take_ghosts(partition, ghosts)
        compare(filled, source, self.now_ms)

    @invariant()
    def trees_are_what_a_rebuild_finds(self) -> None:
        for engine in (self.small, self.large):
            assert all(map(engine.check_trees, range(PARTITIONS)))
            assert engine.usage() == engine.recount()
            assert engine._used_bytes == engine.usage().total_bytes

    @invariant()
    def nothing_stored_has_a_ghost(self) -> None:
        for partition in range(PARTITIONS):
            ghosts = {ghost[0] for ghost in self.small._ghosts.of(partition)}
            assert not ghosts & {self.small.fingerprint(partition, key) for key, _ in self.small.items(partition)}


TestReplicas = Replicas.TestCase
TestReplicas.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
