"""Gauges and snapshots: what is read agrees with the node, and reading changes nothing."""

from sim.history import OperationKind
from sim.options import Options
from sim.workload import Operation
from sim.world.gauges import gauge, snapshot
from sim.world.world import World


def test_looking_is_right_and_changes_nothing() -> None:
    world = World(Options(seed=4, nodes=3, clients=1))
    world.begin()
    world.advance_until(world.founders_serve, 20.0)
    world.advance(2.0)
    world.clients[0].start(Operation(1, 0.0, 0, OperationKind.SET, b"k", {"value": b"x" * 100, "level": 4}))
    world.advance(1.0)
    machine = world.machines["n1"]
    assert machine.node is not None
    before = (world.recorder.digest(), machine.node.engine.statistics())
    seen = gauge(machine, machine.node, world.heap.now_s, recount=True)
    told = snapshot(machine, machine.node)
    assert (world.recorder.digest(), machine.node.engine.statistics()) == before
    assert seen.used_bytes == seen.recounted_bytes == told.used_bytes == told.recounted_bytes
    assert seen.limit_bytes == world.options.storage_limit_bytes
    assert list(told.records) == [b"k"]
    assert told.complete
    assert told.hints == ()
    assert gauge(machine, machine.node, 0.0, recount=False).recounted_bytes is None
