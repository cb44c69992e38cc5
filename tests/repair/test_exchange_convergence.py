"""Copies that differ become equal, and what is equal, evicted, expired or reaped costs nothing.

Real stores and real cores on a fake wire with virtual time (``exchange_world``).
"""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynacache.config.repair import RepairConfig
from dynacache.config.storage import StorageSettings
from dynacache.repair.exchange import Exchange
from dynacache.repair.exchange_nodes import Forest, unpack_numbers
from dynacache.repair.exchange_session import NOT_NOW
from dynacache.versioning import packed
from dynacache.wire.messages import COMPARE, COMPARED, ENTRIES, RECORDS
from tests.repair.exchange_world import Owner, World

ROOMY = StorageSettings(limit_bytes=8 << 20)
TIGHT = StorageSettings(limit_bytes=300_000, eviction="lru")


def _exchange(world: World, name: str) -> Exchange:
    return world.owners[name].exchange


def _values(owner: Owner, keys: list[bytes]) -> list[bytes | None]:
    return [owner.held(key) for key in keys]


# Convergence


def test_a_missed_write_is_repaired_without_a_client() -> None:
    world = World(("a", "b", "c"))
    world.write(b"key", b"old", "a")
    world.run(30)
    world.write(b"key", b"new", "a", reaches=("b",))
    assert not world.equal()
    world.run(45)
    assert world.equal()
    assert _values(world.owners["a"], [b"key"]) == _values(world.owners["c"], [b"key"])


def test_a_missed_delete_is_repaired_and_does_not_come_back() -> None:
    world = World()
    world.write(b"key", b"value", "a")
    world.write(b"key", None, "a", reaches=())
    world.run(30)
    assert world.equal()
    record = world.owners["b"].held(b"key")
    assert record is not None
    assert record[1] == packed.TOMBSTONE


def test_concurrent_writes_are_merged_in_one_exchange_and_counted() -> None:
    world = World()
    world.run(25)
    world.write(b"key", b"at a", "a", reaches=())
    world.write(b"key", b"at b", "b", reaches=())
    world.run(25)
    assert world.equal()
    assert world.owners["a"].held(b"key") == world.owners["b"].held(b"key")
    assert world.total("conflicts_merged") >= 1


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_any_divergence_converges_over_a_bad_wire(seed: int) -> None:
    """Writes and deletes reach some owners, messages are lost, repeated, reordered, links are cut; then all heals."""
    random = Random(seed)
    names = ("a", "b", "c")
    repair = RepairConfig(answer_timeout_ms=2_000, repair_bytes_per_s=random.choice([65_536, 4 << 20]))
    world = World(
        names, repair=repair, storage=ROOMY, seed=seed, loss=0.2, repeat=0.2, jitter_s=random.choice([0, 1.0])
    )
    for _ in range(60):
        key, at = b"key%d" % random.randrange(80), random.choice(names)
        reaches = tuple(name for name in names if random.random() < 0.6)
        world.write(key, None if random.random() < 0.2 else bytes(random.randrange(40)), at, reaches)
        if random.random() < 0.1:
            world.cut.add(frozenset(random.sample(names, 2)))
        world.run(random.choice([0, 0.1, 2.0]))
        assert _unmarked(world) is None
    world.loss = world.jitter_s = 0.0
    world.cut.clear()
    world.run(90)
    assert world.equal()
    stored = [[sorted(key for key, _ in owner.engine.items(p)) for p in range(16)] for owner in world.owners.values()]
    assert stored[0] == stored[1] == stored[2]
    world.forget_traffic()
    world.run(30)
    assert set(world.kinds) == {COMPARE, COMPARED}


def _unmarked(world: World) -> tuple[str, str, int] | None:
    """Return a leaf that differs between two owners and is marked (or settled) at neither; None if there is none."""
    forest = Forest(world.partitions)
    names = sorted(world.owners)
    for owner in world.owners.values():
        assert owner.engine.sweep(owner.now_ms)
        owner.exchange.ground.absorb()
    for first in names:
        for second in names:
            if first >= second:
                continue
            one, other = world.owners[first], world.owners[second]
            views = (one.exchange.ground.peers[second], other.exchange.ground.peers[first])
            for partition in range(world.partitions):
                level = min(one.engine.tree_level(partition), other.engine.tree_level(partition))
                leaves = range(1 << level)
                digests = zip(
                    *(owner.engine.leaf_digests(partition, level, leaves) for owner in (one, other)), strict=True
                )
                for leaf, (mine, theirs) in enumerate(digests):
                    node = forest.node(partition, level, leaf)
                    marked = any(view.dirty.range_cardinality(*forest.ids(node)) for view in views)
                    if mine != theirs and not marked and all(view.expected(node, mine) != theirs for view in views):
                        return first, second, node
    return None


# Cost


def test_no_difference_costs_one_small_message_pair_an_exchange() -> None:
    world = World(storage=ROOMY)
    for index in range(500):
        world.write(b"key%d" % index, b"value", "a")
    world.run(40)
    world.forget_traffic()
    before = world.total("exchanges")
    world.run(200)
    exchanges = world.total("exchanges") - before
    assert 17 <= exchanges <= 23
    assert world.kinds == [COMPARE, COMPARED] * exchanges
    assert sum(world.sizes) / exchanges < 100


def test_bytes_follow_the_differences_and_not_the_data() -> None:
    costs: dict[tuple[int, int], int] = {}
    for entries in (300, 3000):
        world = World(storage=ROOMY, partitions=64)
        for index in range(entries):
            world.write(b"key%d" % index, b"value", "a")
        world.run(40)
        for differences in (1, 30):
            for index in range(differences):
                world.write(b"key%d" % index, b"other", "a", reaches=())
            world.forget_traffic()
            world.run(40)
            assert world.equal()
            costs[entries, differences] = sum(world.sizes)
    assert costs[300, 1] < 1_500
    assert costs[3000, 1] < 2_000
    assert costs[3000, 30] < 30 * 1_000


def test_under_load_an_exchange_does_not_list_what_is_equal_again() -> None:
    world = World(storage=ROOMY, partitions=64)
    for index in range(2000):
        world.write(b"key%d" % index, b"value", "a")
    world.run(40)
    world.forget_traffic()
    for step in range(200):
        for index in range(50):
            world.write(b"key%d" % ((step * 50 + index) % 2000), b"value%d" % step, "a")
        world.run(0.1)
    exchanges = world.kinds.count(COMPARE)
    assert ENTRIES not in world.kinds
    assert sum(world.sizes) / exchanges < 100


def test_a_lost_mark_is_found_by_a_walk() -> None:
    world = World(storage=ROOMY)
    for index in range(800):
        world.write(b"key%d" % index, b"value", "a")
    world.run(40)
    world.write(b"key7", b"other", "a", reaches=())
    for owner in world.owners.values():
        owner.exchange.ground.absorb()
        for view in owner.exchange.ground.peers.values():
            view.dirty.clear()
    world.forget_traffic()
    world.run(50)
    assert world.equal()
    assert world.total("walks") >= 1
    assert sum(world.sizes) < 4_000


# Expiry, eviction, reaping


def test_expiry_transfers_nothing() -> None:
    world = World(storage=ROOMY)
    for index in range(400):
        record = world.owners["a"].make(b"key%d" % index, b"value", ttl_ms=30_000 + 40 * index)
        world.owners["b"].merge(b"key%d" % index, record)
    world.run(25)
    world.forget_traffic()
    world.run(60)
    assert ENTRIES not in world.kinds
    assert RECORDS not in world.kinds
    assert not any(world.owners["a"].engine.roots)


def test_many_entries_that_expire_in_one_second_are_no_difference() -> None:
    """No slice removes them all at once: meanwhile a side says "not now" and nothing is compared."""
    world = World(storage=StorageSettings(limit_bytes=256 << 20), seed=3)
    expire_ms = world.owners["a"].now_ms + 60_000
    for index in range(100_000):
        record = world.owners["a"].make(b"key%d" % index, b"value", ttl_ms=expire_ms - world.owners["a"].now_ms)
        world.owners["b"].merge(b"key%d" % index, record)
    world.run(57)
    world.owners["b"].engine.collect = lambda now_ms, budget_count=None: 0  # type: ignore[method-assign]
    for owner in world.owners.values():
        for view in owner.exchange.ground.peers.values():
            view.due_s = world.now_s + 3.02
    world.forget_traffic()
    world.run(30)
    outcomes = [message[4] for message in world.messages if message[0] == COMPARED]
    assert NOT_NOW in outcomes
    assert not any(unpack_numbers("H", message[5], 512) for message in world.messages if message[0] == COMPARED)
    assert set(world.kinds) == {COMPARE, COMPARED}
    assert not any(world.owners["a"].engine.roots)


def test_eviction_of_different_entries_transfers_nothing() -> None:
    world = World(storage=TIGHT)
    world.owners["b"].engine.set_limit(200_000)
    for index in range(900):
        world.write(b"key%d" % index, bytes(40), "a")
    evicted = [owner.engine.statistics().evicted for owner in world.owners.values()]
    assert evicted[0] != evicted[1]
    world.run(60)
    world.forget_traffic()
    world.run(60)
    assert set(world.kinds) == {COMPARE, COMPARED}
    assert sum(world.sizes) < 100 * len(world.kinds)


@pytest.mark.parametrize("missing", [40, 400])
def test_two_full_stores_never_play_ping_pong(missing: int) -> None:
    """What one lacks the other cannot give it: it is witnessed while there is room for ghosts, then settled."""
    world = World(storage=TIGHT)
    for index in range(1500):
        at = "ab"[index % 2]
        reaches = () if index % (1500 // missing) == 0 else ("a", "b")
        world.write(b"key%d" % index, bytes(60), at, reaches)
    assert not any(owner.engine.admits() for owner in world.owners.values())
    world.run(300)
    world.forget_traffic()
    sent = world.total("records_sent")
    world.run(300)
    assert set(world.kinds) == {COMPARE, COMPARED}
    assert world.total("records_sent") == sent
    assert world.total("witnessed") > 0 or world.total("settled_leaves") > 0


def test_who_has_no_room_for_ghosts_keeps_no_two_others_busy() -> None:
    """Simulator, 6019 and 6043 with small stores: one holds a value, one has its ghost, one has nothing of it."""
    world = World(("a", "b", "c"), storage=ROOMY)
    for name in "bc":
        full = world.owners[name].engine
        full.admits = lambda: False  # type: ignore[method-assign]
    world.owners["c"].engine._ghosts.shard_limit = 0
    for index in range(20):
        world.write(b"key%d" % index, b"value", "a", ())
    world.run(300)
    assert world.counters("b").witnessed >= 20
    assert world.counters("b").ghosts_dropped >= 1, "a ghost against nothing"
    world.forget_traffic()
    world.run(300)
    assert set(world.kinds) == {COMPARE, COMPARED}


def test_settled_differences_cost_nothing_under_writes_either() -> None:
    world = World(storage=TIGHT)
    for index in range(1500):
        world.write(b"key%d" % index, bytes(60), "ab"[index % 2], ("a", "b") if index % 3 else ())
    world.run(300)
    settled = sum(view.settled.count for name in "ab" for view in _exchange(world, name).ground.peers.values())
    assert settled > 10
    listed = world.total("entries_listed")
    keys = [key for p in range(16) for key, _ in world.owners["a"].engine.items(p)]
    samples = [keys[at : at + 3] for at in (0, 300, 600, 900)]
    for resident in samples:
        for step in range(30):
            for key in resident:
                world.write(key, b"%060d" % step, "a")
            world.run(2)
    mean = (world.total("entries_listed") - listed) / len(samples)
    assert mean < 1_000, "of single keys up to 1,600: a leaf may hold many that are settled"


def test_what_was_settled_for_lack_of_room_is_repaired_when_there_is_room() -> None:
    world = World(storage=TIGHT, repair=RepairConfig(walk_interval_s=60.0))
    for index in range(1500):
        world.write(b"key%d" % index, bytes(60), "ab"[index % 2], ("a", "b") if index % 3 else ())
    world.run(300)
    for owner in world.owners.values():
        owner.engine.set_limit(2 << 20)
    world.run(300)
    assert world.total("settled_leaves") > 0
    assert world.equal()


def test_tombstones_are_reaped_early_once_everyone_is_known_to_hold_them_and_stay_gone() -> None:
    storage = StorageSettings(limit_bytes=4 << 20, gc_grace_min_ms=60_000, gc_grace_max_ms=3_600_000)
    world = World(("a", "b", "c"), storage=storage)
    for index in range(50):
        world.write(b"key%d" % index, b"value", "a")
        world.write(b"key%d" % index, None, "a", reaches=("b",))
    world.run(50)
    assert all(owner.engine.statistics().tombstones == 50 for owner in world.owners.values())
    world.run(200)
    assert all(owner.engine.statistics().tombstones == 0 for owner in world.owners.values())
    assert world.equal()
    world.forget_traffic()
    world.run(60)
    assert set(world.kinds) == {COMPARE, COMPARED}


def test_a_tombstone_that_one_owner_may_lack_is_not_confirmed() -> None:
    world = World(("a", "b", "c"))
    world.run(40)
    world.cut.add(frozenset("ac"))
    world.cut.add(frozenset("bc"))
    world.write(b"key", None, "a", reaches=("b",))
    world.run(60)
    forest = Forest(16)
    id_ = forest.id_of(b"key")
    partition, prefix = id_ >> 14, id_ & 0x3FFF
    assert not _exchange(world, "a").is_clean(partition, prefix)
    world.cut.clear()
    world.run(40)
    assert _exchange(world, "a").is_clean(partition, prefix)
    _exchange(world, "a").engine.stale.add(partition)
    assert not _exchange(world, "a").is_clean(partition, prefix)
