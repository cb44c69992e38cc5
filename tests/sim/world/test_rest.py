"""Whether a cluster rests: it does once it is born, and each thing that is still to come is named."""

import pytest

from dynacache.coordination.hint_replay import HintReplay
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from sim.options import Options
from sim.world.rest import differing, unfinished
from sim.world.world import World


@pytest.fixture
def world() -> World:
    """Three nodes that know each other."""
    world = World(Options(seed=2))
    world.begin()
    assert world.advance_until(lambda: not world.unfinished(), 30.0)
    return world


def record() -> bytes:
    return packed.write(None, ActorIssuer(5), 1 << 16, 0, packed.RAW, b"v", 1)[1]


def test_what_is_filled_stale_or_departing_is_named(world: World) -> None:
    node = world.machines["n2"].node
    assert node is not None
    node.engine.warming.add(3)
    assert world.unfinished() == "n2: 1 partitions to be filled"
    node.engine.warming.clear()
    node.engine.stale.update([3, 4])
    assert world.unfinished() == "n2: 2 stale partitions"
    assert unfinished([node], {"n2": ()}, trees=False) == "n2: 2 stale partitions"


def test_a_difference_between_owners_is_named_and_is_none_where_a_store_had_no_room(world: World) -> None:
    nodes = [machine.node for machine in world.machines.values() if machine.node is not None]
    placement = nodes[0].members.placement
    partition = 0
    nodes[1].engine.merge(partition, b"key", record(), nodes[1].shared.now_ms)
    assert differing(nodes).endswith(f"differ in partition {partition}")
    assert differing(nodes, {partition}) == ""
    assert placement.partition_count == 64


def test_a_hint_is_work_left_unless_its_target_had_no_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HintReplay, "_deliver", lambda self, target: None)
    node = world.machines["n1"].node
    assert node is not None
    assert node.hints.add("n3", 1, b"key", record(), node.shared.now_ms, counted=False)
    assert unfinished([node], {}) == "n1: 1 hints"
    assert unfinished([node], {"n3": {b"another"}}) == "n1: 1 hints"
    assert unfinished([node], {"n3": {b"key"}}) == ""
    world.machines["n2"].crash()
    assert world.unfinished() == "not every node serves"
