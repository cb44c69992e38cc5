"""Processes: hellos with fresh nonces that match, and a birth as the settings say."""

import attrs
import pytest

from dynacache.types import Role
from sim.draws import Draws
from sim.options import Options
from sim.world.process import Hellos, Settings, birth_of
from sim.world.world import World

SETTINGS = Settings("n1", 0, ("n1", 7400), "z0", 2, (("n2", 7400),), 64, 2, "secret", 1000)


def _hellos(name: str) -> Hellos:
    settings = attrs.evolve(SETTINGS, name=name, address=(name, 7400))
    return Hellos(settings, Draws(1), birth_of(settings, 17))


def test_two_processes_can_greet_each_other() -> None:
    initiator, acceptor = _hellos("n1").initiator(Role.PEER), _hellos("n2").acceptor()
    (welcome,) = acceptor.receive(initiator.first())
    (proof,) = initiator.receive(welcome)
    assert acceptor.receive(proof) == []
    assert (initiator.peer_node_id, acceptor.peer_node_id) == ("n2", "n1")


def test_no_nonce_is_used_twice() -> None:
    hellos = _hellos("n1")
    assert len({hellos.acceptor().nonce for _ in range(10)}) == 10
    assert hellos.acceptor().nonce != _hellos("n2").acceptor().nonce


def test_a_birth_knows_its_place() -> None:
    birth = birth_of(SETTINGS, 17)
    assert (birth.node_id, birth.incarnation, birth.zone, birth.founders) == ("n1", 17, "z0", 2)
    assert (birth.seeds, birth.partition_count, birth.replication_factor) == ((("n2", 7400),), 64, 2)


@pytest.mark.parametrize("healing", [True, False])
def test_a_node_without_healing_stays_incomplete_after_a_crash(healing: bool) -> None:
    world = World(Options(healing=healing))
    world.begin()
    assert world.advance_until(world.founders_serve, 60.0)
    machine = world.machines["n2"]
    machine.crash()
    machine.start()
    assert world.advance_until(world.founders_serve, 60.0)
    node = machine.node
    assert node is not None
    assert node.engine.warming
    assert world.advance_until(lambda: not node.engine.warming, 30.0) is healing
