"""The world as a whole: built from options, born, at rest, and able to tell what it sees."""

import pytest

from sim.history import OperationKind, Outcome
from sim.options import Options
from sim.workload import Operation
from sim.world.world import GAUGE_INTERVAL_S, World


def _born(**options: object) -> World:
    world = World(Options(**{"seed": 3, "nodes": 3, "clients": 2, **options}))  # type: ignore[arg-type]
    world.begin()
    assert world.advance_until(world.founders_serve, 30.0)
    assert world.advance_until(world.is_linked, 10.0)
    return world


@pytest.mark.parametrize("nodes", [1, 3, 9])
def test_clusters_of_every_size_are_born_and_agree(nodes: int) -> None:
    world = _born(nodes=nodes, replication_factor=min(3, nodes), zones=3)
    tables = {machine.node.members.table.digest for machine in world.machines.values() if machine.node is not None}
    assert len(tables) == 1
    assert len({event.digest for event in world.recorder.tables}) == 1


def test_an_operation_goes_through_and_is_recorded() -> None:
    world = _born()
    world.begin_safety([Operation(1, 0.5, 1, OperationKind.SET, b"k", {"value": b"1:x", "level": 2})], [])
    world.advance(0.4)
    assert world.history == []
    world.advance(0.5)
    assert world.clients_rest()
    (record,) = world.history
    assert (record.outcome, record.result, record.client) == (Outcome.OK, True, 1)
    assert record.call_s == pytest.approx(world.safety_began_s + 0.5)
    evidence = world.evidence()
    assert evidence.owners[b"k"] == tuple(evidence.owners[b"k"])
    assert sorted(evidence.snapshots) == ["n1", "n2", "n3"]
    assert all(b"k" in each.records for each in evidence.snapshots.values())
    assert all(each.used_bytes == each.recounted_bytes for each in evidence.snapshots.values())


def test_an_operation_that_never_ends_is_of_unknown_fate() -> None:
    world = _born()
    for node in ("n1", "n2", "n3"):
        world.network.cut(node, "client0")
    world.begin_safety([Operation(1, 0.0, 0, OperationKind.SET, b"k", {"value": b"1:x", "level": 2})], [])
    world.advance(0.2)
    assert not world.clients_rest()
    (record,) = world.evidence().history
    assert (record.outcome, record.return_sequence) == (Outcome.UNKNOWN, None)


def test_hints_are_seen_until_they_are_gone() -> None:
    world = _born()
    world.machines["n3"].pause()
    world.begin_safety([Operation(1, 0.0, 0, OperationKind.SET, b"k", {"value": b"1:x", "level": 2})], [])
    world.advance(10.0)
    assert not world.is_drained()
    assert not world.is_linked()
    world.machines["n3"].resume()
    assert world.advance_until(world.is_drained, 60.0)
    places = {event.place for event in world.recorder.store_events}
    assert {"", "hint:n3"} <= places


def test_gauges_are_taken_all_along() -> None:
    world = _born()
    world.advance(10 * GAUGE_INTERVAL_S)
    gauges = [each for each in world.gauges if each.node_id == "n1"]
    assert len(gauges) >= 10
    assert any(each.recounted_bytes == each.used_bytes for each in gauges)
    assert all(each.recounted_bytes in (None, each.used_bytes) for each in gauges)


def test_waiting_ends_at_its_limit() -> None:
    world = World(Options(seed=1, nodes=3))
    assert not world.advance_until(lambda: False, 2.0)
    assert world.heap.now_s == 102.0


def test_the_end_of_faults_starts_founders_and_corrects_clocks() -> None:
    world = _born(clock_offset_ms=100)
    world.machines["n1"].crash()
    world.end_faults()
    world.advance(5.0)
    assert world.founders_serve()
    assert {machine.clock.offset_ms for machine in world.machines.values()} == {0.0}
