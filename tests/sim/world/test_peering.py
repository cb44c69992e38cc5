"""Outbound links and questions: kept up, dialled again, dropped when told, one answer or none."""

import pytest

from dynacache.types import Role
from sim.options import Options
from sim.world.machine import Machine
from sim.world.process import Process
from sim.world.world import World


@pytest.fixture
def world() -> World:
    world = World(Options(seed=5, nodes=3, clients=1))
    world.begin()
    assert world.advance_until(world.founders_serve, 20.0)
    assert world.advance_until(world.is_linked, 10.0)
    return world


def _process(world: World, name: str) -> tuple[Machine, Process]:
    machine = world.machines[name]
    assert machine.process is not None
    return machine, machine.process


def _links(process: Process, peer: str) -> list[Role]:
    by_number = process.connections.by_number.values()
    return sorted(each.role for each in by_number if each.outbound and each.node_id == peer)


def test_each_peer_has_two_links_that_come_back(world: World) -> None:
    _, process = _process(world, "n1")
    assert _links(process, "n2") == [Role.PEER, Role.BULK]
    world.network.reset("n1", "n2")
    world.advance(0.01)
    assert _links(process, "n2") == []
    world.advance(3.0)
    assert _links(process, "n2") == [Role.PEER, Role.BULK]


def test_a_node_that_is_away_is_dialled_until_it_is_back(world: World) -> None:
    _, process = _process(world, "n1")
    other = world.machines["n2"]
    other.crash()
    world.advance(20.0)
    assert _links(process, "n2") == []
    other.start()
    world.advance(4.0)
    assert _links(process, "n2") == [Role.PEER, Role.BULK]


def test_a_link_that_is_dropped_stays_down(world: World) -> None:
    _, process = _process(world, "n1")
    process.peering.disconnect("n2")
    world.advance(5.0)
    assert _links(process, "n2") == []
    process.peering.connect("n2", ("n2", 7400))
    process.peering.connect("n2", ("n2", 7400))
    world.advance(2.0)
    assert _links(process, "n2") == [Role.PEER, Role.BULK]


def test_a_question_has_one_answer_or_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, process = _process(world, "n1")
    answers: list[tuple[object, bool]] = []
    process.peering.answered = lambda address, reply: answers.append((address, reply is not None))
    message = process.birth._state()
    process.peering.ask(("n2", 7400), dict(message))
    world.advance(3.0)
    world.machines["n3"].crash(silent=True)
    process.peering.ask(("n3", 7400), dict(message))
    world.advance(4.0)
    assert answers == [(("n2", 7400), True), (("n3", 7400), False)]
