from dynacache.versioning.layout import decode
from sim.history import StoreCause
from sim.ledger import Ledger, covered, dots_of, is_spent
from tests.sim.story import KEY, Story


def test_mints_arrivals_and_departures_are_entered() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    story.set("b", b"2:", "a")
    story.drop("c", StoreCause.EVICT)
    story.restart("a")
    ledger = Ledger.of(story.events)
    first, second = ledger.dots(KEY)
    assert ledger.mints[KEY, second].superseded == (first,)
    assert [change.event.node_id for change in ledger.arrivals[KEY, first]] == ["a", "b", "c"]
    assert [change.event.cause for change in ledger.departures[KEY, first]] == [
        StoreCause.PUT, StoreCause.MERGE, StoreCause.EVICT,
    ]  # fmt: skip
    assert (ledger.left_by(KEY, first, StoreCause.EVICT), ledger.left_by(KEY, second, StoreCause.LOST)) == (1, 1)
    assert ledger.breaches == []


def test_chains_go_both_ways() -> None:
    story = Story()
    for number in range(4):
        story.set("abc"[number % 3], b"%d:" % number, "a", "b", "c")
    ledger = Ledger.of(story.events)
    dots = ledger.dots(KEY)
    assert ledger.ancestors(KEY, dots[3]) == set(dots[:3])
    assert ledger.successors(KEY, dots[0]) == set(dots[1:])


def test_a_context_supersedes_what_its_coordinator_never_held() -> None:
    story = Story()
    token = story.mint("a", b"1:")
    story.mint("b", b"2:", context=token)
    ledger = Ledger.of(story.events)
    first, second = ledger.dots(KEY)
    assert (ledger.mints[KEY, second].superseded, ledger.mints[KEY, second].beyond) == ((), (first,))
    assert ledger.successors(KEY, first) == {second}


def test_siblings_stand_beside_each_other() -> None:
    story = Story()
    token = story.mint("a", b"0:")
    story.mint("a", b"1:")
    story.mint("a", b"2:", context=token)
    ledger = Ledger.of(story.events)
    assert ledger.mints[KEY, ledger.dots(KEY)[2]].beside == (ledger.dots(KEY)[1],)


def test_one_node_loses_its_memory_once() -> None:
    story = Story()
    story.set("a", b"1:", "b")
    story.restart("a")
    story.merge("b", "a")
    story.restart("a")
    ledger = Ledger.of(story.events)
    assert ledger.left_by(KEY, ledger.dots(KEY)[0], StoreCause.LOST) == 1


def test_small_questions() -> None:
    assert covered({(1, 1): 2}, ((1, 1), 2))
    assert not covered({(1, 1): 2}, ((1, 1), 3))
    story = Story()
    story.remove("a")
    assert not any(is_spent(version) for version in decode(story.held["a", KEY]).dots.values())


def test_the_dots_of_a_record_are_those_that_live_in_it() -> None:
    story = Story()
    story.mint("a", b"1:")
    story.mint("a", b"2:")
    assert dots_of(story.held["a", KEY]) == tuple(Ledger.of(story.events).dots(KEY)[1:])
    assert dots_of(None) == ()
