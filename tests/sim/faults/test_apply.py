"""Faults at work: what each does to a world, and that its end takes exactly that back."""

import pytest

from sim.draws import Draws
from sim.faults.draw import draw
from sim.faults.schedule import FAULT_KINDS, Fault
from sim.options import Options
from sim.world.world import World


@pytest.fixture
def world() -> World:
    world = World(Options(seed=1, nodes=3, joiners=1, clients=1))
    world.begin()
    assert world.advance_until(world.founders_serve, 20.0)
    world.advance(3.0)
    return world


def _apply(world: World, kind: str, **arguments: object) -> None:
    world.trouble.apply(Fault(0.0, kind, arguments))


def test_cuts_add_up_and_are_taken_back_one_by_one(world: World) -> None:
    _apply(world, "cut", sources=["n1"], targets=["n2"], duration_s=1.0)
    _apply(world, "isolate", node="n2", duration_s=2.0)
    assert world.network.cuts["n1", "n2"] == 2
    assert ("n2", "n1") in world.network.cuts
    assert ("client0", "n2") in world.network.cuts
    assert not world.network.calm
    world.advance(1.5)
    assert world.network.cuts["n1", "n2"] == 1
    world.advance(1.0)
    assert not world.network.cuts
    assert world.network.calm


def test_a_split_leaves_clients_alone(world: World) -> None:
    _apply(world, "split", side=["n1"], duration_s=1.0)
    assert {pair for pair in world.network.cuts if "client0" in pair} == set()
    assert ("n1", "n2") in world.network.cuts
    assert ("n3", "n1") in world.network.cuts


@pytest.mark.parametrize("name", ["loss", "duplicate", "reorder", "corrupt"])
def test_rates_add_up(world: World, name: str) -> None:
    _apply(world, name, rate=0.1, duration_s=1.0)
    _apply(world, name, rate=0.2, duration_s=2.0)
    assert world.network.rates[name] == pytest.approx(0.3)
    world.advance(1.5)
    assert world.network.rates[name] == pytest.approx(0.2)
    world.advance(1.0)
    assert world.network.rates[name] == 0.0


def test_delay_slowness_and_clocks_end(world: World) -> None:
    machine = world.machines["n1"]
    drift = machine.clock.drift_ppm
    _apply(world, "delay", node="n1", extra_s=0.1, duration_s=1.0)
    _apply(world, "slow", node="n1", factor_s=0.01, duration_s=1.0)
    _apply(world, "clock_offset", node="n1", offset_ms=100, duration_s=1.0)
    _apply(world, "clock_drift", node="n1", parts_per_million=300, duration_s=1.0)
    assert (world.network.extra_s, machine.turn_s) == ({"n1": 0.1}, 0.01)
    assert (machine.clock.offset_ms, machine.clock.drift_ppm) == (100, 300)
    world.advance(1.5)
    assert (world.network.extra_s, machine.turn_s) == ({}, 0.0)
    assert (machine.clock.offset_ms, machine.clock.drift_ppm) == (0, drift)


def test_memory_is_lowered_and_given_back(world: World) -> None:
    node = world.machines["n1"].node
    assert node is not None
    before = node.engine.statistics().limit_bytes
    _apply(world, "memory", node="n1", limit_bytes=1, duration_s=1.0)
    lowered = node.engine.statistics().limit_bytes
    assert node.engine.usage().total_bytes < lowered < before
    world.advance(1.5)
    assert node.engine.statistics().limit_bytes == before


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [("crash", {"down_s": 1.0}), ("stop", {"within_s": 1.0, "down_s": 1.0}), ("pause", {"duration_s": 1.0})],
)
def test_machines_come_back(world: World, kind: str, arguments: dict[str, float]) -> None:
    _apply(world, kind, node="n2", **arguments)
    _apply(world, kind, node="n2", **arguments)  # not in the state for it: nothing
    world.advance(10.0)
    machine = world.machines["n2"]
    assert machine.node is not None
    assert not machine.paused
    assert machine.lives == (1 if kind == "pause" else 2)
    assert world.is_linked()


def test_an_outside_node_joins_and_connections_break(world: World) -> None:
    _apply(world, "join", node="j1")
    _apply(world, "reset", first="n1", second="n2")
    world.advance(5.0)
    node = world.machines["j1"].node
    assert node is not None
    assert len(node.members.table.entries) == 4
    assert world.is_linked()


def _states(world: World) -> dict[str, str]:
    node = world.machines["n1"].node or world.machines["n2"].node
    assert node is not None
    return {name: entry.state.name for name, entry in node.members.table.entries.items()}


def test_who_joins_becomes_an_owner_and_who_leaves_is_gone_until_it_is_back(world: World) -> None:
    _apply(world, "join", node="j1")
    assert world.advance_until(lambda: _states(world).get("j1") == "NORMAL", 30.0)
    _apply(world, "leave", node="j1", down_s=20.0)
    assert world.trouble.gone == {"j1"}
    assert world.advance_until(lambda: world.machines["j1"].process is None, 60.0)
    assert _states(world)["j1"] == "LEFT"
    assert world.advance_until(lambda: _states(world)["j1"] == "NORMAL", 90.0)
    assert not world.trouble.gone


def test_a_dead_member_is_removed_and_joins_again(world: World) -> None:
    _apply(world, "remove", node="n3", after_s=1.0, down_s=60.0)
    assert world.machines["n3"].process is None
    assert world.advance_until(lambda: _states(world)["n3"] == "REMOVED", 50.0)
    assert world.advance_until(lambda: _states(world)["n3"] == "NORMAL", 90.0)


def test_many_are_away_at_once_and_come_back(world: World) -> None:
    _apply(world, "standstill", nodes=["n1", "n2"], duration_s=1.0)
    _apply(world, "blackout", duration_s=1.0)
    assert world.machines["n1"].paused
    assert ("n2", "n3") in world.network.cuts
    assert ("client0", "n2") not in world.network.cuts
    world.advance(1.5)
    assert not world.machines["n2"].paused
    assert not world.network.cuts
    _apply(world, "wipe", nodes=["n1", "n2"], apart_s=1.0, down_s=3.0)
    world.advance(0.5)
    assert [world.machines[name].process is None for name in ("n1", "n2")] == [True, False]
    world.advance(10.0)
    assert [world.machines[name].lives for name in ("n1", "n2")] == [2, 2]


def test_nothing_goes_wrong_after_the_faults_have_ended(world: World) -> None:
    _apply(world, "join", node="j1")
    assert world.advance_until(lambda: not world.unfinished(), 30.0)
    _apply(world, "leave", node="j1", down_s=500.0)
    assert world.advance_until(lambda: world.machines["j1"].process is None, 60.0)
    world.advance(2.0)
    _apply(world, "wipe", nodes=["n1", "n2"], apart_s=1.0, down_s=3.0)
    world.end_faults()
    assert world.machines["j1"].process is not None, "it is not started when rest is judged already"
    world.advance(5.0)
    assert [world.machines[name].lives for name in ("n1", "n2")] == [2, 1]


def test_a_clock_goes_wrong_and_repair_is_asked_for(world: World) -> None:
    _apply(world, "clock_wrong", node="n1", offset_ms=60_000, duration_s=1.0)
    assert world.machines["n1"].clock.offset_ms == 60_000
    _apply(world, "repair_now", node="n2")
    node = world.machines["n2"].node
    assert node is not None
    assert node.exchange.progress()["requests"] == 1
    world.advance(1.5)
    assert world.machines["n1"].clock.offset_ms == 0


def test_all_can_be_ended_at_once_and_every_kind_works(world: World) -> None:
    options = Options(
        seed=1, nodes=3, joiners=1, duration_s=60.0, faults_per_minute=90.0, fault_kinds=tuple(FAULT_KINDS)
    )
    faults = draw(options, Draws(1))
    assert {fault.kind for fault in faults} == set(FAULT_KINDS)
    for fault in faults:
        world.trouble.apply(fault)
        world.advance(0.01)
    world.end_faults()
    assert not world.network.cuts
    assert world.advance_until(lambda: world.founders_serve() and world.is_linked(), 60.0)
    assert world.trouble.applied == list(faults)
