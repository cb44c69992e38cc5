"""Exchange cores between two or three owners: what differs becomes equal, what is equal costs nothing, nothing is lost.

Real stores and real cores on a fake wire with virtual time (``exchange_world``).
"""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from dynacache.config.repair import RepairConfig
from dynacache.config.storage import StorageSettings
from dynacache.errors import OutOfMemory
from dynacache.placement.partitions import key_hash
from dynacache.placement.table import MemberState
from dynacache.repair.exchange import REFUSAL_DOUBLINGS, Exchange
from dynacache.repair.exchange_nodes import Forest
from dynacache.versioning import packed
from dynacache.wire.messages import COMPARE, COMPARED, DIFFERENCES, ENTRIES, RECORDS
from tests.repair.exchange_world import START_MS, Owner, World, table_of

ROOMY = StorageSettings(limit_bytes=8 << 20)
TIGHT = StorageSettings(limit_bytes=300_000)


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


def test_settled_differences_cost_nothing_under_writes_either() -> None:
    world = World(storage=TIGHT)
    for index in range(1500):
        world.write(b"key%d" % index, bytes(60), "ab"[index % 2], ("a", "b") if index % 3 else ())
    world.run(300)
    settled = sum(view.settled.count for name in "ab" for view in _exchange(world, name).ground.peers.values())
    assert settled > 10
    listed = world.total("entries_listed")
    resident = [key for p in range(16) for key, _ in world.owners["a"].engine.items(p)][:3]
    for step in range(30):
        for key in resident:
            world.write(key, b"%060d" % step, "a")
        world.run(2)
    assert world.total("entries_listed") - listed < 600


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
    id_ = forest.id_of(key_hash(b"key"))
    partition, prefix = id_ >> 14, id_ & 0x3FFF
    assert not _exchange(world, "a").is_clean(partition, prefix)
    world.cut.clear()
    world.run(40)
    assert _exchange(world, "a").is_clean(partition, prefix)
    _exchange(world, "a").engine.stale.add(partition)
    assert not _exchange(world, "a").is_clean(partition, prefix)


# Limits


def test_what_is_young_is_left_alone() -> None:
    world = World(delay_s=0.3)
    world.run(30)
    for step in range(100):
        record = world.owners["a"].make(b"key", b"%d" % step)
        world.run(0.2)
        world.owners["b"].merge(b"key", record)
    assert world.total("records_sent") == 0


def test_the_rate_holds_and_large_values_travel_alone() -> None:
    world = World(storage=StorageSettings(limit_bytes=64 << 20), repair=RepairConfig(repair_bytes_per_s=300_000))
    world.run(25)
    for index in range(12):
        world.write(b"large%d" % index, bytes(400_000), "a", reaches=())
    for index in range(200):
        world.write(b"small%d" % index, bytes(5_000), "a", reaches=())
    world.forget_traffic()
    start_s, moved = world.now_s, [_exchange(world, name).ground.pace.moved_bytes for name in "ab"]
    while not world.equal():
        world.run(2.0)
        for name, before in zip("ab", moved, strict=True):
            pace = _exchange(world, name).ground.pace
            assert pace.moved_bytes - before <= 300_000 * (world.now_s - start_s) + 300_000 + 800_000
        assert world.now_s - start_s < 120
    assert max(world.sizes) < 410_000
    assert world.now_s - start_s > 5_800_000 / 300_000 / 2


def test_busy_clients_slow_repair_down_and_never_stop_it() -> None:
    world = World(repair=RepairConfig(busy_pause_s=5.0))
    world.run(25)
    for owner in world.owners.values():
        owner.load = 0.9
    for index in range(20):
        world.write(b"key%d" % index, b"value", "a", reaches=())
    world.forget_traffic()
    world.run(10)
    assert len([kind for kind in world.kinds if kind in (COMPARE, ENTRIES, RECORDS)]) <= 6
    world.run(120)
    assert world.equal()


def test_refused_records_are_offered_ever_more_rarely() -> None:
    storage = StorageSettings(limit_bytes=300_000, tombstone_share=0.05)
    world = World(storage=storage)
    made = 0
    for index in range(400):
        try:
            world.write(b"key%d" % index, None, "ab"[index % 2], reaches=())
            made += 1
        except OutOfMemory:
            pass
    assert made > 100
    world.run(400)
    world.forget_traffic()
    world.run(300)
    assert world.total("refused") > 0
    assert all(
        view.refusals <= REFUSAL_DOUBLINGS for name in "ab" for view in _exchange(world, name).ground.peers.values()
    )
    assert world.kinds.count(RECORDS) + world.kinds.count(DIFFERENCES) < 30


def test_at_most_so_many_exchanges_at_once() -> None:
    world = World(("a", "b", "c", "d", "e"), delay_s=0.5, repair=RepairConfig(session_limit=2))
    for _ in range(60):
        world.run(0.5)
        assert all(len(owner.exchange.runner.running) <= 2 for owner in world.owners.values())
    assert world.total("exchanges_equal") > 5


def test_malformed_questions_raise_and_change_nothing() -> None:
    world = World()
    owner = world.owners["a"]
    handlers = owner.exchange.handlers
    clock, digest = owner.hybrid, owner.digest
    state = [b"", b""]
    bad: list[tuple[object, ...]] = [
        (COMPARE, 1, clock, digest),
        (COMPARE, 1, clock, digest, None, b"", b"", b""),
        (COMPARE, 1, clock, digest, state, b"", bytes(4), bytes(8)),
        (COMPARE, 1, clock, digest, state, b"", bytes(3), bytes(8)),
        (COMPARE, 1, clock, digest, state, b"", b"\0\0\0\1", b""),
        (COMPARE, 1, clock, digest, state, b"xxx", b"\0\0\0\1", bytes(8)),
        (ENTRIES, 1, clock, digest, 1, []),
        (ENTRIES, 1, clock, digest, True, [[0, 3, b"\0\x09", b""]]),
        (ENTRIES, 1, clock, digest, True, [[99, 3, b"\0\1", b""]]),
        (ENTRIES, 1, clock, digest, True, [[0, 3, b"\0\1", bytes(29)]]),
        (ENTRIES, 1, clock, digest, True, [[0, 3, b"", b""]] * 9),
        (RECORDS, 1, clock, digest, [b"key"]),
        (RECORDS, 1, clock, digest, None),
    ]
    for message in bad:
        with pytest.raises((ValueError, TypeError, LookupError)):
            handlers[int(str(message[0]))](1, "b", message)
    assert not any(owner.engine.roots)


# Time


def test_a_copy_without_a_sync_becomes_stale_and_is_caught_up_by_a_complete_one() -> None:
    storage = StorageSettings(limit_bytes=4 << 20, gc_grace_min_ms=50_000, gc_grace_max_ms=200_000)
    world = World(("a", "b", "c"), storage=storage)
    world.write(b"gone", b"value", "a")
    world.write(b"kept", b"value", "a")
    world.run(30)
    world.cut |= {frozenset("ac"), frozenset("bc")}
    world.write(b"gone", None, "a", reaches=("b",))
    world.run(165)
    assert len(world.owners["c"].engine.stale) == 16
    assert not world.owners["a"].engine.stale
    assert ("copy.stale", {"partitions": 16}) in world.owners["c"].notes
    world.write(b"young", b"at c", "c", reaches=())
    world.run(60)
    assert world.owners["a"].held(b"gone") is None
    assert world.owners["c"].held(b"gone") is not None
    world.cut.clear()
    world.run(60)
    assert not world.owners["c"].engine.stale
    assert world.owners["c"].held(b"gone") is None
    assert world.owners["a"].held(b"gone") is None
    assert all(owner.held(b"kept") and owner.held(b"young") for owner in world.owners.values())
    assert world.equal()


def test_two_stale_copies_merge_and_lose_nothing() -> None:
    storage = StorageSettings(limit_bytes=4 << 20, gc_grace_min_ms=50_000, gc_grace_max_ms=200_000)
    world = World(storage=storage)
    world.write(b"both", b"value", "a")
    world.write(b"only a", b"value", "a", reaches=())
    world.write(b"only b", b"value", "b", reaches=())
    world.cut.add(frozenset("ab"))
    world.run(400)
    assert all(len(owner.engine.stale) == 16 for owner in world.owners.values())
    world.cut.clear()
    world.run(60)
    assert not any(owner.engine.stale for owner in world.owners.values())
    assert all(owner.held(key) for owner in world.owners.values() for key in (b"both", b"only a", b"only b"))


def test_a_machine_that_was_suspended_is_stale_before_it_does_anything() -> None:
    world = World()
    exchange = _exchange(world, "a")
    assert exchange.stale_due_ms == START_MS + 100_000 + int(0.8 * world.storage.gc_grace_max_ms)
    world.now_s += world.storage.gc_grace_max_ms / 1000
    assert world.owners["a"].now_ms >= exchange.stale_due_ms
    exchange.mark_stale()
    assert len(exchange.engine.stale) == 16
    assert exchange.statistics()["stale_partitions"] == 16


def test_warming_copies_are_left_out_on_both_sides_and_compared_anew_afterwards() -> None:
    world = World()
    for index in range(100):
        world.write(b"key%d" % index, b"value", "a", reaches=())
    world.owners["b"].engine.warming = BitMap(range(8))
    world.run(60)
    a, b = world.owners["a"].engine, world.owners["b"].engine
    assert all(a.roots[p] == b.roots[p] for p in range(8, 16))
    assert not any(b.roots[p] for p in range(8))
    sync_ms = _exchange(world, "a").last_sync_ms
    assert sync_ms(3) < sync_ms(12)
    b.warming = BitMap()
    _exchange(world, "b").synced(3, world.owners["b"].now_ms)
    assert _exchange(world, "b").last_sync_ms(3) == world.owners["b"].now_ms
    world.run(60)
    assert world.equal()


# Owners that change


def test_a_lost_partition_is_handed_over_and_cleared() -> None:
    world = World(("a", "b", "c", "d"))
    for index in range(200):
        key = b"key%d" % index
        owners = world.owners["a"].placement.write_owners(world.owners["a"].partition(key))
        world.write(key, b"value", owners[0], owners)
    world.run(60)
    before = world.owners["a"].placement.owned_by("d")
    late = next(b"late%d" % i for i in range(999) if world.owners["d"].partition(b"late%d" % i) in before)
    world.write(late, b"only d has it", "d", reaches=())
    states = dict.fromkeys("abc", MemberState.NORMAL) | {"d": MemberState.LEFT}
    world.set_table(table_of(states))
    assert world.owners["d"].exchange.departing == before
    world.run(60)
    assert not world.owners["d"].exchange.departing
    assert not any(world.owners["d"].engine.roots)
    holders = [name for name in "abc" if world.owners[name].held(late)]
    assert len(holders) >= 2
    world.run(60)
    assert all(world.owners[name].held(late) for name in "abc")
    assert world.owners["d"].exchange.statistics()["pushed_partitions"]


def test_a_partition_that_comes_back_is_not_cleared() -> None:
    world = World(("a", "b", "c", "d"))
    table = world.table
    world.cut |= {frozenset(("d", name)) for name in "abc"}
    states = dict.fromkeys("abc", MemberState.NORMAL) | {"d": MemberState.LEFT}
    world.set_table(table_of(states))
    world.run(20)
    assert world.owners["d"].exchange.departing
    world.set_table(table)
    assert not world.owners["d"].exchange.departing


def test_exchanges_under_way_end_when_owners_change() -> None:
    world = World(("a", "b", "c", "d"), delay_s=2.0)
    world.write(b"key", b"value", "a", reaches=())
    while not any(owner.exchange.runner.running for owner in world.owners.values()):
        world.run(0.5)
    world.set_table(table_of({**dict.fromkeys("abcd", MemberState.NORMAL), "e": MemberState.JOINING}))
    assert not any(owner.exchange.runner.running for owner in world.owners.values())


# Operators


def test_repair_now_walks_at_once_and_says_how_it_stands() -> None:
    world = World()
    world.run(30)
    world.write(b"key", b"value", "a", reaches=())
    world.run(2.5)
    for owner in world.owners.values():
        owner.exchange.ground.absorb()
        for view in owner.exchange.ground.peers.values():
            view.dirty.clear()
    exchange = _exchange(world, "a")
    exchange.repair_now()
    progress = exchange.progress()
    assert progress["requests"] == 1
    assert progress["requested_partitions"] == 16
    world.run(3)
    assert world.equal()
    assert exchange.progress()["requested_partitions"] == 0
    [row] = exchange.progress()["peers"]  # type: ignore[misc]
    assert row["node"] == "b"
    assert row["shared_partitions"] == 16
    assert row["last_ms_ago"] < 3_000


def test_repair_now_of_one_partition_looks_at_that_one() -> None:
    world = World()
    world.run(30)
    partition = world.owners["a"].partition(b"key")
    world.write(b"key", b"value", "a", reaches=())
    world.run(2.5)
    for owner in world.owners.values():
        owner.exchange.ground.absorb()
        for view in owner.exchange.ground.peers.values():
            view.dirty.clear()
    _exchange(world, "a").repair_now(BitMap([partition]))
    world.run(3)
    assert world.equal()


def test_partitions_marked_dirty_are_visited_first() -> None:
    world = World()
    world.run(25)
    world.write(b"key", b"value", "a", reaches=())
    partition = world.owners["a"].partition(b"key")
    world.owners["a"].engine.dirty.add(partition)
    world.run(6)
    assert world.equal()
    world.run(25)
    assert not world.owners["a"].engine.dirty


def test_a_node_alone_exchanges_with_nobody() -> None:
    world = World(("a",), copies=1)
    world.write(b"key", b"value", "a")
    world.run(60)
    assert not world.kinds
    assert _exchange(world, "a").next_due_s() == float("inf")
    world.now_s += 2 * world.storage.gc_grace_max_ms / 1000
    _exchange(world, "a").mark_stale()
    assert not world.owners["a"].engine.stale
