"""The exchange core: its limits, its schedule, copies away for too long, owners that change, what operators ask.

Real stores and real cores on a fake wire with virtual time (``exchange_world``).
"""

from typing import Any

import pytest
from pyroaring import BitMap

from dynacache.config.repair import RepairConfig
from dynacache.config.storage import StorageSettings
from dynacache.errors import OutOfMemory
from dynacache.placement.table import MemberState
from dynacache.repair.exchange import REFUSAL_DOUBLINGS, STALE_REFUSAL_DOUBLINGS, Exchange
from dynacache.repair.exchange_session import Session
from dynacache.wire.messages import COMPARE, DIFFERENCES, ENTRIES, RECORDS
from tests.repair.exchange_world import START_MS, Owner, World, table_of

ROOMY = StorageSettings(limit_bytes=8 << 20)
TIGHT = StorageSettings(limit_bytes=300_000)


def _exchange(world: World, name: str) -> Exchange:
    return world.owners[name].exchange


def _values(owner: Owner, keys: list[bytes]) -> list[bytes | None]:
    return [owner.held(key) for key in keys]


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


def test_a_stale_copy_that_refuses_records_asks_more_often_than_a_complete_one() -> None:
    world = World()
    exchange = _exchange(world, "a")
    view = exchange.ground.peers["b"]
    pauses = []
    for stale in (BitMap(), BitMap([3])):
        exchange.engine.stale |= stale
        session = Session(exchange.ground, view, world.owners["a"].now_ms)
        session.result.refused, view.refusals = 1, REFUSAL_DOUBLINGS
        exchange.ended(session, finished=True)
        pauses.append(view.due_s - world.now_s)
    assert pauses[0] > 0.8 * 2 * 10 * 2**REFUSAL_DOUBLINGS
    assert pauses[1] < 1.2 * 2 * 10 * 2**STALE_REFUSAL_DOUBLINGS


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
        (ENTRIES, 1, clock, digest, 2, []),
        (ENTRIES, 1, clock, digest, 3, [[0, 3, b"\0\x09", bytes(4), b""]]),
        (ENTRIES, 1, clock, digest, 3, [[99, 3, b"\0\1", bytes(4), b""]]),
        (ENTRIES, 1, clock, digest, 3, [[0, 3, b"\0\1", b"", b""]]),
        (ENTRIES, 1, clock, digest, 3, [[0, 3, b"\0\1", bytes(4), bytes(4)]]),
        (ENTRIES, 1, clock, digest, 3, [[0, 3, b"", b"", b""]] * 9),
        (RECORDS, 1, clock, digest, [b"key"], [], []),
        (RECORDS, 1, clock, digest, None, [], []),
        (RECORDS, 1, clock, digest, [], ["key"], []),
        (RECORDS, 1, clock, digest, [], [b"key"] * 600, []),
        (RECORDS, 1, clock, digest, [], [], [[0, b"x", b""]]),
        (RECORDS, 1, clock, digest, [], [], [[99, b"", b""]]),
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


def test_a_stale_copy_is_caught_up_though_its_peers_ask_it_again_and_again() -> None:
    """The peers cannot visit first what is stale here; did that postpone our own turn, it would stay so for ever."""
    world = World(names=("a", "b", "c"))
    world.write(b"key", b"value", "a")
    world.run(25)
    for name in ("a", "b"):
        world.owners[name].engine.dirty |= BitMap(range(16))
    stale = world.owners["c"].engine.stale
    stale |= BitMap(range(16))
    world.run(60)
    assert not stale


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


def test_a_clock_set_back_does_not_hide_how_long_ago_the_last_sync_was() -> None:
    world = World()
    world.run(30)
    now_s = world.now_s
    world.now_s += 10_000
    exchange = _exchange(world, "a")
    exchange.synced(3, world.owners["a"].now_ms)
    exchange.tick()
    world.now_s = now_s
    exchange.tick()
    assert exchange.last_sync_ms(3) <= world.owners["a"].now_ms


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


def test_a_lost_partition_that_waited_for_too_long_is_handed_over_without_what_may_have_been_deleted() -> None:
    world = World(("a", "b", "c", "d"), storage=StorageSettings(gc_grace_min_ms=20_000, gc_grace_max_ms=60_000))
    owned = world.owners["d"].placement.owned_by("d")
    key = next(b"key%d" % i for i in range(999) if world.owners["d"].partition(b"key%d" % i) in owned)
    owners = world.owners["a"].placement.write_owners(world.owners["a"].partition(key))
    world.write(key, b"value", "d", owners)
    world.run(30)
    world.cut |= {frozenset((name, "d")) for name in "abc"}
    world.set_table(table_of(dict.fromkeys("abc", MemberState.NORMAL) | {"d": MemberState.LEFT}))
    world.write(key, None, next(name for name in owners if name != "d"), tuple("abc"))
    world.run(100)
    assert not any(world.owners[name].held(key) for name in "abc"), "the delete is forgotten"
    world.cut.clear()
    world.run(60)
    assert not world.owners["d"].exchange.departing
    assert not any(world.owners[name].held(key) for name in "abc")


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
    rows: Any = exchange.progress()["peers"]
    row = rows[0]
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
