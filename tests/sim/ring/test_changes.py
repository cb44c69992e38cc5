"""Changes of place in the model, without faults."""

import pytest

from dynacache.placement.table import MemberState
from sim.ring.changes import Changes
from sim.ring.table import CONDEMNED, NODES, Entry, first_view, put

S = MemberState


def world() -> Changes:
    """A world without loss in which every node acts from time to time."""
    made = Changes(2, "")
    made.loss, made.ambush, made.gossip = 0.0, 0.0, 1.0
    for name in NODES:
        made.at(made.random.random(), made.tick, name)
    return made


def states(made: Changes, name: str) -> set[MemberState]:
    """A node's state in all tables."""
    return {node.view[NODES.index(name)].state for node in made.nodes.values() if node.up}


@pytest.mark.parametrize(("name", "wanted", "end"), [("X", S.JOINING, S.NORMAL), ("B", S.LEAVING, S.LEFT)])
def test_a_change_comes_to_its_end(name: str, wanted: MemberState, end: MemberState) -> None:
    made = world()
    made.nodes[name].wants = wanted
    made.play(120.0)
    assert states(made, name) == {end}


def test_of_two_changes_one_makes_way() -> None:
    made = world()
    for name, state in (("X", S.JOINING), ("C", S.LEAVING)):
        made.change(made.nodes[name], state)
    made.play(300.0)
    assert states(made, "X") == {S.NORMAL}
    assert states(made, "C") == {S.LEFT}
    assert "X OUTSIDE" in made.changes, "C has the lower id"


def test_a_dead_node_is_removed_level_by_level() -> None:
    made = world()
    made.nodes["B"].up = False
    entry = first_view()[NODES.index("B")]
    made.learn(made.nodes["A"], put(first_view(), "B", entry._replace(removal=CONDEMNED)))
    made.play(120.0)
    assert states(made, "B") == {S.REMOVED}
    assert not made.nodes["E"].warming


def test_who_was_removed_comes_back_in_a_new_place() -> None:
    made = world()
    made.learn(made.nodes["C"], put(first_view(), "C", Entry(1, 3, 1, 1, S.NORMAL)))
    made.play(200.0)
    assert states(made, "C") == {S.NORMAL}
    assert {node.view[NODES.index("C")].place for node in made.nodes.values()} == {2}


def test_what_stands_in_the_way() -> None:
    made = world()
    joining = put(first_view(), "X", Entry(1, 0, 1, 2, S.JOINING))
    assert made.blocking(joining, "C") == ["X"]
    assert made.blocking(joining, "X") == []
    assert made.voters(joining) == {"A", "B", "C", "E"}
