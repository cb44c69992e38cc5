from sim.checkers.case import Case
from sim.checkers.lost_hints import lost_hints
from sim.faults.schedule import Fault
from sim.history import StoreCause
from sim.ledger import dots_of
from tests.sim.story import KEY, Story


def kept() -> Story:
    """b keeps for c what a wrote of two keys, and for a what c wrote of a third."""
    story = Story()
    story.mint("a", b"1:")
    story.mint("a", b"2:", key=b"k1")
    story.mint("c", b"3:", key=b"k2")
    story.keep_hint("a", "b", "c")
    story.keep_hint("a", "b", "c", b"k1")
    story.keep_hint("c", "b", "a", b"k2")
    return story


def test_nothing_is_lost_where_nobody_says_so() -> None:
    story = kept()
    story.end_hint("b", "c")
    assert lost_hints(story.evidence()) == {}
    story.note("b", "hint.stored", target="c")
    assert lost_hints(story.evidence()) == {}


def test_an_offer_that_failed_is_of_hints_for_that_target_that_ended_shortly_before() -> None:
    story = kept()
    dots = dots_of(story.held["a", KEY])
    story.end_hint("b", "c", key=b"k1")
    story.now_s += 10
    story.end_hint("b", "a", key=b"k2")
    story.end_hint("b", "c")
    story.now_s += 1
    story.note("b", "hint.lost", target="c")
    assert lost_hints(story.evidence()) == {KEY: frozenset(dots)}
    paused = Fault(0.0, "pause", {"node": "b", "duration_s": 9.0})
    assert sorted(lost_hints(story.evidence(faults=(paused,)))) == [KEY, b"k1"]


def test_another_nodes_loss_is_not_this_ones() -> None:
    story = kept()
    story.end_hint("b", "c")
    story.note("a", "hint.lost", target="c")
    assert lost_hints(story.evidence()) == {}


def test_what_a_stopping_node_leaves_is_all_that_it_kept_until_then() -> None:
    story = kept()
    story.end_hint("b", "c")
    story.note("b", "hints.left", hints=2, counted=1)
    story.restart("b")
    story.now_s += 5
    story.keep_hint("a", "b", "c")
    story.restart("b")
    assert sorted(lost_hints(story.evidence())) == [b"k1", b"k2"]


def test_hints_that_stood_for_no_acknowledgement_are_no_loss() -> None:
    story = kept()
    story.note("b", "hints.left", hints=3, counted=0)
    story.restart("b")
    assert lost_hints(story.evidence()) == {}


def test_a_version_is_excused_with_the_one_that_took_its_place() -> None:
    story = Story()
    story.mint("a", b"1:")
    story.mint("a", b"2:")
    story.mint("a", b"3:", key=b"k1")
    story.keep_hint("a", "b", "c")
    story.end_hint("b", "c")
    story.note("b", "hint.lost", target="c")
    case = Case.of(story.evidence())
    assert [case.unprotected(KEY, dot) for dot in case.ledger.dots(KEY)] == [True, True]
    assert not case.unprotected(b"k1", case.ledger.dots(b"k1")[0])
    assert StoreCause.LOST not in {event.cause for event in story.events}
