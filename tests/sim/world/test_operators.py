"""Operators: a running node does what it is asked; what is refused, or asked of one that stands still, is nothing."""

from dynacache.node import Node
from sim.options import Options
from sim.world.operators import command, wants_place
from sim.world.world import World


def leave(node: Node) -> None:
    node.ring.request_leave()


def refuse(node: Node) -> None:
    node.ring.request_remove(node.node_id)


def test_a_command_is_carried_out_by_a_node_that_runs_and_agrees() -> None:
    world = World(Options(seed=3, nodes=4, joiners=1))
    world.begin()
    assert world.advance_until(lambda: not world.unfinished(), 30.0)
    first, second, joiner = (world.machines[name] for name in ("n1", "n2", "j1"))
    assert not command(joiner, leave)
    assert not command(first, refuse)
    first.pause()
    assert not command(first, leave)
    first.resume()
    assert command(second, leave)
    assert world.advance_until(lambda: second.node is None, 120.0)


def test_who_wants_a_place_asks_for_it_from_its_next_start_on() -> None:
    world = World(Options(seed=3, joiners=1))
    joiner = world.machines["j1"]
    assert not joiner.config.cluster.join
    wants_place(joiner)
    assert joiner.config.cluster.join
