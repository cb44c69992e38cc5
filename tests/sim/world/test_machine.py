"""Machines: lives, pauses, slow turns, silent deaths; what a process does, seen from its world."""

from itertools import pairwise

import pytest

from dynacache.events import LoopLag
from dynacache.node import Node
from sim.history import OperationKind, StoreCause
from sim.options import Options
from sim.workload import Operation
from sim.world.machine import Machine
from sim.world.world import World


@pytest.fixture
def world() -> World:
    world = World(Options(seed=2, nodes=3, clients=1, replication_factor=3))
    world.begin()
    assert world.advance_until(world.founders_serve, 20.0)
    assert world.advance_until(world.is_linked, 10.0)
    return world


def _machine(world: World, name: str) -> tuple[Machine, Node]:
    machine = world.machines[name]
    assert machine.node is not None
    return machine, machine.node


def test_a_crash_loses_the_memory_and_a_start_is_another_life(world: World) -> None:
    world.clients[0].start(Operation(1, 0.0, 0, OperationKind.SET, b"k", {"value": b"1:", "level": 4}))
    world.advance(0.5)
    machine, before = _machine(world, "n1")
    machine.crash()
    assert machine.node is None
    lost = [event for event in world.recorder.store_events if event.cause is StoreCause.LOST]
    assert [(event.node_id, event.key) for event in lost] == [("n1", b"k")]
    machine.start()
    world.advance(3.0)
    _, after = _machine(world, "n1")
    assert after.shared.issuer.incarnation > before.shared.issuer.incarnation
    assert len(after.engine.warming) == world.options.partition_count
    assert world.is_linked()


def test_a_process_that_died_in_silence_is_found_out_by_membership(world: World) -> None:
    machine, _ = _machine(world, "n1")
    _, other = _machine(world, "n2")
    machine.crash(silent=True)
    world.advance(0.5)
    assert other.links.by_node["n1"].connection, "nobody was told"
    world.advance(15.0)
    assert other.members.states()["n1"] == 2
    machine.start()
    world.advance(5.0)
    assert other.members.states()["n1"] == 0
    assert world.is_linked()


def test_a_paused_process_hears_everything_late_and_knows_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, node = _machine(world, "n1")
    seen: list[tuple[float, list[object]]] = []
    original = Node.handle

    def handle(self: Node, now: object, received: object, inputs: list[object] = ()) -> object:  # type: ignore[assignment]
        if self is node:
            seen.append((world.heap.now_s, list(inputs)))
        return original(self, now, received, inputs)  # type: ignore[arg-type]

    monkeypatch.setattr(Node, "handle", handle)
    began_s = world.heap.now_s
    machine.pause()
    world.advance(2.0)
    assert seen == []
    machine.resume()
    world.advance(0.01)
    at_s, inputs = seen[0]
    assert at_s == began_s + 2.0
    assert isinstance(inputs[0], LoopLag)
    assert len(inputs) > 1, "what came meanwhile is handed over together"


def test_a_slow_process_takes_its_turns_apart(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, node = _machine(world, "n1")
    turns: list[float] = []
    original = Node.handle

    def handle(self: Node, *arguments: object) -> object:
        if self is node:
            turns.append(world.heap.now_s)
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Node, "handle", handle)
    machine.turn_s = 0.2
    world.advance(5.0)
    gaps = [after - before for before, after in pairwise(turns)]
    assert min(gaps) >= 0.2 - 1e-9
    assert len(turns) > 10


def test_a_graceful_stop_announces_itself_and_ends(world: World) -> None:
    machine, _ = _machine(world, "n1")
    _, other = _machine(world, "n2")
    machine.stop(3.0)
    world.advance(4.0)
    assert machine.process is None
    assert [event.kind for event in world.recorder.machines if event.node_id == "n1"][-2:] == ["stopping", "stopped"]
    assert other.members.states()["n1"] == 3


def test_a_stop_during_the_birth_ends_at_once() -> None:
    world = World(Options(seed=2, nodes=3))
    machine = world.machines["n1"]
    machine.start()
    assert machine.node is None
    machine.stop(5.0)
    assert machine.process is None


def test_an_exception_of_a_core_halts_the_world(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Node, *arguments: object) -> object:
        raise ZeroDivisionError("made up")

    monkeypatch.setattr(Node, "handle", broken)
    world.advance(1.0)
    assert world.heap.halted
    assert "ZeroDivisionError left the core of n" in world.failure
