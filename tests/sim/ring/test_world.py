"""The model's world: order, loss, sides."""

from sim.ring.table import first_view
from sim.ring.world import World, owners_of


def test_things_happen_in_the_order_of_their_time() -> None:
    world, seen = World(1, ""), list[str]()
    for delay, what in ((3.0, "c"), (1.0, "a"), (2.0, "b"), (9.0, "never")):
        world.at(delay, seen.append, what)
    world.play(5.0)
    assert seen == ["a", "b", "c"]
    assert world.now == 3.0


def test_a_message_reaches_those_on_its_side_at_arrival() -> None:
    world, seen = World(1, ""), list[str]()
    world.loss = 0.0
    world.send("A", "B", seen.append, "apart")
    world.side = {"B": 1}
    world.send("C", "A", seen.append, "together")
    world.play(1000.0)
    assert seen == ["together"]


def test_some_messages_are_lost() -> None:
    world, seen = World(1, ""), list[int]()
    world.loss = 0.5
    for number in range(200):
        world.send("A", "B", seen.append, number)
    world.play(1e6)
    assert 50 < len(seen) < 150


def test_one_seed_is_one_world() -> None:
    assert [World(seed, "").loss for seed in range(20)] == [World(seed, "").loss for seed in range(20)]
    assert owners_of(first_view()) == {"A", "B", "C"}
