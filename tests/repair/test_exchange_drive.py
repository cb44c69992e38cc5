"""The kinds of exchange, told with whole cores: complete copies, stale ones, partitions handed over."""

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


def test_a_stale_copy_discards_once_even_if_its_catching_up_is_cut_off() -> None:
    world = World(("a", "b"), storage=SHORT)
    world.write(b"old", b"value", "a")
    world.run(20)
    world.cut.add(frozenset("ab"))
    world.run(100)
    engine = world.owners["b"].engine
    engine.stale |= BitMap(range(16))
    discards: list[int] = []
    discard = engine.discard_older
    engine.discard_older = lambda partition, before_ms: (discards.append(partition), discard(partition, before_ms))[1]  # type: ignore[method-assign,func-returns-value]
    world.run(80)
    world.delay_s = 0.4
    world.cut.clear()
    for _ in range(6):
        world.run(2.0)
        world.cut.add(frozenset("ab"))
        world.run(0.5)
        world.cut.clear()
    world.run(60)
    assert not engine.stale
    assert sorted(discards) == list(range(16))
    assert world.equal()


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
