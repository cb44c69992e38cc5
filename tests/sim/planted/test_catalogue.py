import pytest

from sim.planted.bug import Bug
from sim.planted.catalogue import BUGS, directed, hunt, searched
from sim.planted.hunting import Chunk, catches, search

EVERY = [pytest.param(bug, id=name) for name, bug in BUGS.items()]


@pytest.mark.parametrize("bug", EVERY)
def test_each_bug_is_caught_by_its_invariant_and_its_scenario_holds_without_it(bug: Bug) -> None:
    clean = directed(bug, planted=False)
    assert (clean.verdict, clean.violations) == ("held", ())
    assert catches(bug, directed(bug))


def test_there_are_enough_of_them_for_every_family() -> None:
    assert len(BUGS) >= 15
    judged = {bug.invariant for bug in BUGS.values()}
    assert judged >= {"I1", "I2", "I3", "I4", "I8", "I9", "I10", "I11", "I14", "I15"}
    assert all(bug.description[0].islower() and not bug.description.endswith(".") for bug in BUGS.values())


def test_a_hunt_tells_what_it_took() -> None:
    caught = hunt(BUGS["growth is not accounted"], limit=5)
    assert caught.directed
    assert caught.seed == caught.seeds >= 1
    assert caught.row == ("growth is not accounted", "I15", "caught", str(caught.seeds))
    assert hunt(BUGS["growth is not accounted"]).row[3] == "not tried"


def test_a_chunk_is_searched_or_the_scenario_run() -> None:
    assert searched(Chunk("growth is not accounted", 0, 0)).caught
    assert searched(Chunk("growth is not accounted", 1, 5)) == search(BUGS["growth is not accounted"], 1, 5)
