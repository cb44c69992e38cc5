"""What an operator asks of a node is done, refused, or not heard, and what comes of it is sent."""

import pytest

from dynacache.errors import InvalidRequest
from dynacache.node import Node
from sim.options import Options
from sim.world.operators import command, wants_place
from sim.world.world import World


@pytest.fixture
def world() -> World:
    world = World(Options(seed=1, nodes=3, joiners=1, clients=1))
    world.begin()
    assert world.advance_until(world.founders_serve, 20.0)
    world.advance(3.0)
    return world


def _refuse(node: Node) -> None:
    raise InvalidRequest("made up")


def test_a_command_reaches_a_node_that_runs_and_stands_not_still(world: World) -> None:
    machine = world.machines["n1"]
    asked: list[str] = []
    assert command(machine, lambda node: asked.append(node.node_id))
    machine.pause()
    assert not command(machine, lambda node: asked.append(node.node_id))
    machine.resume()
    assert not command(world.machines["j1"], lambda node: asked.append(node.node_id))
    assert not command(machine, _refuse)
    machine.stop(5.0)
    world.advance(0.01)
    assert not command(machine, lambda node: asked.append(node.node_id)), "it is stopping (seed 4940)"
    assert asked == ["n1"]


def test_what_comes_of_a_command_is_sent(world: World) -> None:
    machine = world.machines["n2"]
    assert command(machine, lambda node: node.repair_port.note("made.up"))
    assert world.recorder.coverage["note made.up"] == 1


def test_a_machine_is_told_to_take_a_place(world: World) -> None:
    machine = world.machines["j1"]
    wants_place(machine)
    machine.start()
    assert world.advance_until(lambda: not world.unfinished(), 30.0)
    assert machine.node is not None
    assert machine.node.members.placement.owned_by("j1")
    assert not world.machines["n1"].config.cluster.join
