"""Copies in the model: refusal, warming, filling, handing over."""

from dynacache.placement.table import MemberState
from sim.ring.copies import Copies
from sim.ring.table import Entry, first_view, put

JOINING = put(first_view(), "X", Entry(1, 0, 1, 2, MemberState.JOINING))


def world(mutation: str = "") -> Copies:
    """A world without loss in which A, B and C hold different data."""
    made = Copies(3, mutation)
    made.loss = 0.0
    for number, name in enumerate("ABC"):
        made.nodes[name].data = {number, 10}
    return made


def test_what_is_gained_is_incomplete_until_the_displaced_one_was_copied() -> None:
    made = world()
    made.learn(made.nodes["X"], JOINING)
    assert made.nodes["X"].warming
    for _ in range(2):
        made.fill(made.nodes["X"])
        made.play(made.now + 100.0)
    assert [name for name, node in made.nodes.items() if node.warming] == []
    assert {2, 10} <= made.nodes["X"].data
    assert made.nodes["C"].view == JOINING, "the copy was taken behind the fence"


def test_without_the_fence_a_source_learns_nothing() -> None:
    made = world("no_fence")
    made.learn(made.nodes["X"], JOINING)
    made.fill(made.nodes["X"])
    made.play(100.0)
    assert not made.nodes["X"].warming
    assert made.nodes["C"].view == first_view()


def test_the_wrong_source_ends_it_too_soon() -> None:
    made = world("wrong_source")
    made.nodes["C"].up = False
    made.learn(made.nodes["X"], JOINING)
    made.nodes["B"].up = False
    for _ in range(3):
        made.fill(made.nodes["X"])
        made.play(made.now + 100.0)
    assert not made.nodes["X"].warming


def test_a_sender_with_an_older_table_is_not_served() -> None:
    made = world()
    made.learn(made.nodes["A"], JOINING)
    assert not made.serves(made.nodes["A"], first_view())
    assert made.serves(made.nodes["B"], JOINING), "who is behind itself learns, and serves"


def test_what_is_owned_no_longer_goes_when_enough_owners_have_it() -> None:
    made = world()
    normal = put(first_view(), "X", Entry(1, 0, 1, 4, MemberState.NORMAL))
    for node in made.nodes.values():
        made.learn(node, normal)
    made.hand_over(made.nodes["C"])
    made.play(300.0)
    assert not made.nodes["C"].data
    assert sum({2, 10} <= made.nodes[name].data for name in "ABX") >= 2
