"""Rest: the first thing that is still to come is named, and nothing when nothing is."""

import pytest

from dynacache.node import Node
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.wire.epoch_names import FLUSH, epoch_name
from sim.options import Options
from sim.world.rest import differing, settled_partitions
from sim.world.world import World


@pytest.fixture
def world() -> World:
    world = World(Options(seed=1, nodes=3, clients=1, exchange_interval_s=1.0, confirm_s=0.2, young_ms=100))
    world.begin()
    assert world.advance_until(lambda: not world.unfinished(), 20.0)
    return world


def nodes_of(world: World) -> list[Node]:
    return [machine.node for machine in world.machines.values() if machine.node is not None]


def test_a_cluster_at_rest_has_nothing_left_to_do(world: World) -> None:
    assert world.unfinished() == ""
    assert differing(nodes_of(world)) == ""


def test_what_is_left_is_named(world: World) -> None:
    node = nodes_of(world)[1]
    node.engine.warming.add(3)
    assert world.unfinished() == "n2: 1 partitions to be filled"
    node.engine.warming.clear()
    node.engine.stale.add(3)
    assert world.unfinished() == "n2: 1 stale partitions"
    node.engine.stale.clear()
    node.shared.clock_safe = False
    assert world.unfinished() == "n2: its clock is in doubt"
    node.shared.clock_safe = True
    world.machines["n3"].crash()
    assert world.unfinished() == "not every node serves"


def test_a_hint_for_a_store_without_room_is_no_work_left_until_there_is_room(world: World) -> None:
    holder, target, _ = nodes_of(world)
    process = world.machines["n2"].process
    assert process is not None
    assert process.observer is not None
    refused = process.observer.refused
    now_ms = target.shared.now_ms
    value, _ = packed.write(None, ActorIssuer(9), now_ms << 16, 0, 0, b"\xc0", now_ms)
    tombstone, _ = packed.delete(None, ActorIssuer(9), now_ms << 16, now_ms)
    limit_bytes = world.options.storage_limit_bytes
    for record, with_room in ((value, "n1: 1 hints"), (tombstone, "")):
        assert holder.hints.add("n2", 5, b"k", packed.strip_local(record), now_ms, counted=False)
        assert world.unfinished() == "n1: 1 hints"  # it was never refused
        refused.add(b"k")
        assert world.unfinished() == with_room
        target.engine.set_limit(1)
        assert world.unfinished() == ""
        target.engine.set_limit(limit_bytes)
        refused.clear()
        holder.hints.remove("n2", b"k")


def test_owners_that_differ_are_named_until_they_have_compared(world: World) -> None:
    node = nodes_of(world)[0]
    local, _ = packed.write(None, ActorIssuer(9), node.shared.now_ms << 16, 0, 0, b"\xc0", node.shared.now_ms)
    node.engine.merge(5, b"made up", packed.strip_local(local), node.shared.now_ms)
    assert "differ in partition 5" in world.unfinished()
    assert not world.unfinished(trees=False)
    assert settled_partitions(node) == set()


def test_catalogues_must_be_equal_but_for_what_is_over_and_stores_swept(world: World) -> None:
    node = nodes_of(world)[1]
    now = node.shared.clock.last
    node.shared.catalogue.merge(b"Nx", now, b"v")
    assert world.unfinished() == "the nodes' catalogues differ"
    node.shared.catalogue.drop(b"Nx")
    node.engine.epochs.raise_to(FLUSH, b"", b"", now)
    node.engine.epochs_risen()
    assert world.unfinished() == "n2: it has not been swept since the last invalidation"
    node.engine.collect(node.shared.now_ms)
    over = (now >> 16) - node.invalidator.retention_ms - 1
    node.shared.catalogue.entries[epoch_name(FLUSH, b"")] = (over << 16, b"")
    assert world.unfinished() == ""
