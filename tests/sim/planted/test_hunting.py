"""The hunt: whatever the order in which chunks end, the first seed that shows a bug is the one that is told."""

import random
from collections.abc import Collection
from itertools import islice

import attrs
import pytest

from sim.evidence import Violation
from sim.planted import hunting
from sim.planted.catalogue import BUGS, directed
from sim.planted.hunting import CHUNK_SEEDS, Caught, Chunk, Hunts, Searched, catches, search
from sim.run import Result, Scenario, draw_scenario

EASY, OTHER = BUGS["growth is not accounted"], BUGS["merge resolves"]


def answer(chunk: Chunk, showing: Collection[int] = ()) -> Searched:
    """Say what a search would, were these the seeds that show the bug."""
    if not chunk.count:
        return Searched(chunk, True, 0)
    for tried, seed in enumerate(range(chunk.first, chunk.first + chunk.count), 1):
        if seed in showing:
            return Searched(chunk, True, tried)
    return Searched(chunk, False, chunk.count)


@pytest.mark.parametrize("seed", range(20))
def test_the_first_seed_is_told_in_whatever_order_chunks_end(seed: int) -> None:
    order = random.Random(seed)
    showing = {EASY.name: {37, 38, 51}, OTHER.name: {3}}
    hunts = Hunts([EASY, OTHER], 1, 200)
    chunks, running, told = hunts.chunks(), list[Chunk](), list[Caught]()
    while True:
        running.extend(islice(chunks, 6 - len(running)))
        if not running:
            break
        chunk = running.pop(order.randrange(len(running)))
        caught = hunts.take(answer(chunk, showing[chunk.name]))
        if caught is not None:
            told.append(caught)
    assert sorted((each.name, each.seed, each.seeds) for each in told) == [(EASY.name, 37, 37), (OTHER.name, 3, 3)]
    assert sorted(told, key=lambda each: each.name) == sorted(hunts.known(), key=lambda each: each.name)


def test_no_more_seeds_are_given_to_a_bug_that_was_caught() -> None:
    hunts = Hunts([EASY, OTHER], 1, 100)
    given = []
    for chunk in hunts.chunks():
        given.append(chunk)
        hunts.take(answer(chunk, {5} if chunk.name == EASY.name else ()))
    assert [chunk.count for chunk in given if chunk.name == EASY.name] == [0, CHUNK_SEEDS]
    assert sum(chunk.count for chunk in given if chunk.name == OTHER.name) == 100
    assert hunts.known()[1].found == "rare: none in 100"


def test_what_was_interrupted_tells_only_what_is_sure() -> None:
    hunts = Hunts([EASY], 1, 100)
    chunks = list(islice(hunts.chunks(), 4))
    hunts.take(answer(chunks[3], {20}))  # seeds 17 to 24; those before have not ended
    assert hunts.known()[0].found == "not tried"
    assert hunts.take(answer(chunks[1])) is None
    assert (hunts.known()[0].seeds, hunts.known()[0].seed) == (8, None)
    assert hunts.take(answer(chunks[2])) is None  # whether its scenario shows it is not known yet
    assert hunts.take(answer(chunks[0])) == Caught(EASY.name, "I15", True, 20, 20)


def test_a_search_stops_at_the_first_seed_that_shows_the_bug() -> None:
    found = search(EASY, 1, 5)
    assert found.caught
    assert found.tried < 5
    assert search(EASY, 1, found.tried - 1).caught is False


def test_a_seed_in_which_the_simulator_breaks_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(seed: int) -> None:
        raise RuntimeError(f"seed {seed}")

    monkeypatch.setattr(hunting, "draw_scenario", broken)
    assert search(EASY, 1, 3) == Searched(Chunk(EASY.name, 1, 3), False, 3, 3)
    assert Caught("a", "I1", True, 7, None, 2).found == "rare: none in 7 (2 broken)"


def test_only_the_invariant_that_is_named_counts() -> None:
    bug = BUGS["quorum of one"]
    result = directed(bug, planted=False)
    other = attrs.evolve(result, violations=(Violation("I10", None, "too much"),))
    named = attrs.evolve(result, violations=(Violation("I1", None, "lost"),))
    assert [catches(bug, each) for each in (result, other, named)] == [False, False, True]


def test_a_row_says_what_it_took() -> None:
    assert Caught("a", "I1", False, 7, None).row == ("a", "I1", "missed", "rare: none in 7")
    assert Caught("a", "I1", True, 7, 107).row == ("a", "I1", "caught", "7")
    assert Caught("a", "I1", True, 0, None).found == "not tried"


def test_a_seed_that_lacks_what_a_bug_needs_is_counted_and_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def runs(scenario: Scenario, **given: object) -> Result:
        raise AssertionError("this seed was to be left out")

    monkeypatch.setattr(hunting, "run_scenario", runs)
    needy = attrs.evolve(EASY, needs=lambda scenario: False)
    assert search(needy, 1, 3) == Searched(Chunk(EASY.name, 1, 3), False, 3)
    assert search(EASY, 1, 3).broken == 3


@pytest.mark.parametrize("name", [name for name, bug in BUGS.items() if bug.needs is not None])
def test_what_a_bug_needs_is_in_its_own_scenario_and_in_some_seeds_alone(name: str) -> None:
    needs = BUGS[name].needs
    assert needs is not None
    assert needs(BUGS[name].scenario())
    assert {needs(draw_scenario(seed)) for seed in range(1, 100)} == {True, False}
