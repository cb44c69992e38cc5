"""An owner without others: it exchanges with nobody, and is never behind."""

from pyroaring import BitMap

from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberState
from dynacache.repair.exchange import Exchange
from tests.repair.exchange_world import World, table_of


def _exchange(world: World, name: str) -> Exchange:
    return world.owners[name].exchange


def test_a_node_alone_exchanges_with_nobody() -> None:
    world = World(("a",), copies=1)
    world.write(b"key", b"value", "a")
    world.run(60)
    assert not world.kinds
    assert _exchange(world, "a").next_due_s() == float("inf")
    world.now_s += 2 * world.storage.gc_grace_max_ms / 1000
    _exchange(world, "a").mark_stale()
    assert not world.owners["a"].engine.stale


def test_a_copy_that_has_become_the_only_one_is_not_stale_any_more() -> None:
    """Seed 2667: taken over from a stale one, and no other owner to be compared with."""
    world = World(("a",), copies=1)
    alone = world.owners["a"].engine
    alone.stale |= BitMap(range(16))
    alone.warming.add(3)
    _exchange(world, "a").tick()
    assert list(alone.stale) == [3], "what is being filled has not been merged yet"
    shared = World()
    shared.owners["a"].engine.stale.add(5)
    _exchange(shared, "a").tick()
    assert list(shared.owners["a"].engine.stale) == [5]


def test_who_was_alone_for_long_has_missed_nothing_when_another_owner_comes() -> None:
    world = World(("a",), copies=2)
    world.write(b"key", b"value", "a")
    exchange, owner = _exchange(world, "a"), world.owners["a"]
    world.now_s += 2 * world.storage.gc_grace_max_ms / 1000
    before, after = owner.placement, Placement.from_table(table_of(dict.fromkeys("ab", MemberState.NORMAL), 2, 16))
    owner.placement = after
    exchange.table_changed(before, after)
    exchange.mark_stale()
    assert not owner.engine.stale
    world.now_s += world.storage.gc_grace_max_ms / 1000
    exchange.mark_stale()
    assert len(owner.engine.stale) == 16
