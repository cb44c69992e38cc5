"""Reads and writes of the model."""

from dynacache.placement.table import MemberState
from sim.ring.clients import Clients
from sim.ring.table import Entry, first_view, put


def world(mutation: str = "") -> Clients:
    """A world without loss and past the time in which clients go on by themselves."""
    made = Clients(5, mutation)
    made.loss = 0.0
    made.now = 200.0
    return made


def test_a_write_is_acknowledged_and_read() -> None:
    made = world()
    for _ in range(5):
        made.write(0)
    made.play(400.0)
    assert len(made.acknowledged) == 5
    made.read(1)
    made.play(500.0)
    assert (made.reads, made.stale_reads) == (1, 0)


def test_a_read_that_misses_an_acknowledged_write_is_counted() -> None:
    made = world()
    made.acknowledged[77] = 1.0
    made.read(1)
    made.play(300.0)
    assert made.stale_reads == 1


def test_an_incomplete_node_does_not_count() -> None:
    made = world()
    for name in "AB":
        made.nodes[name].warming = True
    made.read(0)
    made.play(300.0)
    assert made.reads == 0


def test_a_refused_write_goes_on_under_the_newer_table() -> None:
    joining = put(first_view(), "X", Entry(1, 0, 1, 2, MemberState.JOINING))
    made = world()
    for name in "ABXC":
        made.learn(made.nodes[name], joining)
    made.write(0)
    made.play(300.0)
    (unique,) = made.acknowledged
    assert sum(unique in made.nodes[name].data for name in "ABX") >= 2
    assert made.coordinators[0] == joining
    assert made.sets_at(0) != world("no_joint_writes").sets_at(0)
