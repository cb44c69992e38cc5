"""Gauges and snapshots: what is read agrees with the node, and reading changes nothing."""

from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
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


def test_what_is_remembered_is_told_of_keys_that_were_evicted() -> None:
    world = World(Options(seed=4, nodes=3, clients=1))
    world.begin()
    world.advance_until(world.founders_serve, 20.0)
    world.advance(2.0)
    for number, key in enumerate((b"k", b"l")):
        world.clients[0].start(Operation(number, 0.0, 0, OperationKind.SET, key, {"value": b"x" * 100, "level": 4}))
    world.advance(1.0)
    node = world.machines["n1"].node
    assert node is not None
    assert world.snapshots()["n1"].remembered == {}
    record = world.snapshots()["n1"].records[b"k"]
    node.engine.set_limit(1)
    node.engine.collect(node.shared.now_ms, 1_000)
    told = world.snapshots()
    assert set(told["n1"].remembered) == {b"k", b"l"}
    assert told["n1"].remembered[b"k"] == packed.HEADER.unpack_from(record)[5]
    assert told["n2"].remembered == {}


def test_only_what_deletes_leave_is_held_against_the_share_of_tombstones() -> None:
    world = World(Options(seed=4, nodes=3, clients=1, storage_limit_bytes=200_000))
    world.begin()
    world.advance_until(world.founders_serve, 20.0)
    machine = world.machines["n1"]
    assert machine.node is not None
    engine, now_ms, issuer = machine.node.engine, machine.node.shared.now_ms, ActorIssuer(5)
    for number in range(300):
        held, _ = packed.write(None, issuer, now_ms << 16, 0, packed.RAW, b"", now_ms)
        held, _ = packed.write(held, issuer, now_ms << 16, now_ms + 1, packed.RAW, b"", now_ms)
        engine.put(number % 64, b"%d" % number, held)
    engine.collect(now_ms + 2_000, 1_000)
    seen = gauge(machine, machine.node, 0.0, recount=False)
    assert engine.statistics().usage.tombstones_bytes > seen.tombstone_limit_bytes
    assert (seen.tombstone_bytes, seen.largest_entry_bytes) == (0, 0)
    engine._tombstone_limit_bytes = 1 << 30
    engine.put(1, b"deleted", packed.delete(None, issuer, now_ms << 16, now_ms)[0])
    engine._tombstone_limit_bytes = 1
    engine.set_limit(1)
    seen = gauge(machine, machine.node, 0.0, recount=False)
    assert 0 < seen.tombstone_bytes < 300
    assert 0 < seen.largest_entry_bytes < 300
