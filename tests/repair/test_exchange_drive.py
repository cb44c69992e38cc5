"""The kinds of exchange, told with whole cores: complete copies, stale ones, partitions handed over."""

import attrs
from pyroaring import BitMap

from dynacache.config.storage import StorageSettings
from dynacache.placement.table import MemberState
from dynacache.repair.exchange_drive import HAND_OVER_LEAVES, hand_over_batch
from dynacache.repair.exchange_peer import PeerView
from dynacache.repair.exchange_session import Session
from tests.repair.exchange_world import World, table_of

SHORT = StorageSettings(limit_bytes=4 << 20, gc_grace_min_ms=50_000, gc_grace_max_ms=200_000)


def test_a_sync_is_from_the_start_of_the_exchange() -> None:
    world = World(delay_s=0.5)
    world.write(b"key", b"value", "a", reaches=())
    world.run(60)
    exchange = world.owners["a"].exchange
    now_ms = world.owners["a"].now_ms
    assert all(now_ms - 40_000 < exchange.last_sync_ms(partition) < now_ms for partition in range(16))


def test_a_partition_that_cannot_be_repaired_does_not_count_as_synced() -> None:
    world = World()
    world.run(30)
    world.write(b"key", None, "a", reaches=())
    partition = world.owners["a"].partition(b"key")
    world.owners["b"].engine.set_limit(1)
    since_ms = world.owners["a"].now_ms
    world.run(60)
    for owner in world.owners.values():
        assert owner.exchange.last_sync_ms(partition) < since_ms
        assert owner.exchange.last_sync_ms(partition ^ 1) > since_ms


def test_a_stale_copy_discards_only_what_differs_from_a_complete_one_and_is_old() -> None:
    world = World(("a", "b"), storage=SHORT)
    equal = [b"equal%d" % index for index in range(50)]
    for key in equal:
        world.write(key, b"value", "a")
    world.write(b"old", b"value", "b", reaches=())
    world.write(b"changed", b"before", "b")
    world.cut.add(frozenset("ab"))
    world.write(b"changed", b"after", "a", reaches=())
    world.run(180)
    world.write(b"young", b"value", "b", reaches=())
    engine = world.owners["b"].engine
    engine.stale |= BitMap(range(16))
    world.owners["a"].engine.stale.clear()
    discarded: list[bytes] = []
    discard = engine.discard_entries
    engine.discard_entries = lambda partition, keys, *rest: (discarded.extend(keys), discard(partition, keys, *rest))[1]  # type: ignore[method-assign,func-returns-value]
    world.cut.clear()
    world.run(60)
    assert not engine.stale
    assert not set(discarded) & set(equal)
    assert world.equal()
    for name in "ab":
        owner = world.owners[name]
        assert all(owner.held(key) for key in [*equal, b"young"])
        assert owner.held(b"old") is None
        assert owner.held(b"changed") == world.owners["a"].held(b"changed")


def test_a_full_store_that_was_stale_keeps_what_the_others_hold_too() -> None:
    full = attrs.evolve(SHORT, limit_bytes=300_000, eviction="noeviction")
    world = World(("a", "b"), storage=full)
    keys = [b"key%d" % index for index in range(65)]
    for key in keys:
        world.write(key, b"v" * 4_000, "a")
    world.run(20)
    engine = world.owners["b"].engine
    assert not engine.admits()
    world.cut.add(frozenset("ab"))
    world.run(180)
    engine.stale |= BitMap(range(16))
    world.owners["a"].engine.stale.clear()
    world.cut.clear()
    world.run(60)
    assert not engine.stale
    assert all(world.owners["b"].held(key) for key in keys)


def test_what_a_full_store_refused_stays_where_it_is_when_both_copies_are_stale() -> None:
    full = attrs.evolve(SHORT, limit_bytes=300_000, ghost_share=1e-6)
    world = World(("a", "b"), storage=full)
    world.cut.add(frozenset("ab"))
    world.write(b"only here", b"value", "b", reaches=())
    owner = world.owners["a"]
    for index in range(65):
        owner.make(b"key%d" % index, b"v" * 4_000)
    assert not owner.engine.admits()
    world.run(180)
    partition = owner.partition(b"only here")
    for each in world.owners.values():
        each.engine.stale.add(partition)
    world.cut.clear()
    world.run(120)
    for each in world.owners.values():
        assert not each.engine.stale
    assert owner.held(b"only here") is None, "there is no room"
    assert world.owners["b"].held(b"only here")


def test_a_stale_and_a_warming_copy_do_not_meet() -> None:
    world = World(storage=SHORT)
    world.write(b"key", b"value", "a", reaches=())
    world.owners["a"].engine.stale |= BitMap(range(16))
    world.owners["b"].engine.warming |= BitMap(range(16))
    world.run(60)
    assert world.owners["a"].held(b"key")
    assert world.owners["b"].held(b"key") is None
    assert len(world.owners["a"].engine.stale) == 16


def test_a_removed_node_that_was_away_too_long_hands_over_only_what_is_young() -> None:
    world = World(("a", "b", "c", "d"), storage=SHORT)
    owned = world.owners["d"].placement.owned_by("d")
    keys = [b"key%d" % index for index in range(200)]
    mine = [key for key in keys if world.owners["d"].partition(key) in owned]
    world.write(mine[0], b"deleted by the others long ago", "d", reaches=())
    world.cut |= {frozenset(("d", name)) for name in "abc"}
    world.run(190)
    world.write(mine[1], b"taken while cut off", "d", reaches=())
    world.cut.clear()
    states = dict.fromkeys("abc", MemberState.NORMAL) | {"d": MemberState.REMOVED}
    world.set_table(table_of(states))
    world.run(60)
    assert not world.owners["d"].exchange.departing
    assert not any(world.owners[name].held(mine[0]) for name in "abc")
    assert all(world.owners[name].held(mine[1]) for name in "abc")


def test_a_batch_to_hand_over_is_bounded_in_leaves() -> None:
    world = World()
    ground = world.owners["a"].exchange.ground
    session = Session(ground, PeerView("b", ground.forest), 0)
    assert hand_over_batch(session, BitMap(range(16))) == BitMap(range(16))
    ground.engine.tree_level = lambda partition: 13  # type: ignore[method-assign]
    assert hand_over_batch(session, BitMap(range(16))) == BitMap([0, 1])
    ground.engine.tree_level = lambda partition: 15  # type: ignore[method-assign]
    assert hand_over_batch(session, BitMap(range(16))) == BitMap([0])
    assert HAND_OVER_LEAVES == 1 << 14
