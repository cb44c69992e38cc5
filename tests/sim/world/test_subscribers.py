"""Subscribers in a world: what is set is heard of, a slow one is told what it lost, a dead node is noticed."""

from sim.history import OperationKind
from sim.options import Options
from sim.workload import Operation
from sim.world.world import World

SUBSCRIBE = Operation(900_000, 0.0, 0, OperationKind.SUBSCRIBE, b"", {"prefix": b"k", "changes": 15, "level": 1})


def begun(**options: float) -> World:
    world = World(Options(subscribers=1, clients=1, **options))  # type: ignore[arg-type]
    world.begin()
    assert world.advance_until(world.founders_serve, 60.0)
    world.advance(2.0)
    world.begin_safety([SUBSCRIBE, *sets(1.0, 12)], [])
    return world


def sets(at_s: float, count: int) -> list[Operation]:
    return [
        Operation(number, at_s + number / 100, 0, OperationKind.SET, b"k%d" % number, {"level": 2, "value": b"v"})
        for number in range(count)
    ]


def test_each_set_is_heard_of_once() -> None:
    world = begun()
    world.advance(8.0)
    events = [each for each in world.recorder.told if each.kind == "event"]
    assert sorted(each.key for each in events) == sorted(b"k%d" % number for number in range(12))
    assert {each.kind for each in world.recorder.told} == {"subscribed", "event", "quiet"}
    assert world.subscribers[0].is_quiet(["n1", "n2", "n3"], 0.0)
    assert not world.subscribers[0].is_quiet(["n1"], world.heap.now_s)
    assert len(world.recorder.happenings) == 12 + 3, "each node also tells that it has a subscriber now"


def test_a_slow_one_is_told_how_many_it_lost() -> None:
    world = begun(subscriber_pause_s=3.0, event_queue_limit=2)
    world.advance(8.0)
    told = [each for each in world.recorder.told if each.kind in ("event", "lost")]
    assert sum(each.count or 1 for each in told) == 12
    assert any(each.kind == "lost" for each in told)


def test_the_restart_of_a_node_is_a_loss_of_unknown_size() -> None:
    world = begun()
    world.advance(4.0)
    world.machines["n2"].crash()
    world.advance(1.0)
    world.machines["n2"].start()
    world.advance(12.0)
    lost = [(each.node_id, each.count) for each in world.recorder.told if each.kind == "lost"]
    assert lost == [("n2", None)]
