"""The agreement of the founders, rule by rule; `test_birth` runs it against loss, kills and restarts."""

from itertools import permutations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.membership.birth_messages import Lock, Numbers, Promise, Standing
from dynacache.membership.founding import MAX_RENUMBERINGS, Founding, is_later
from dynacache.placement.birth_record import Candidate, Incarnations


def candidate(node_id: str, incarnation: int = 1) -> Candidate:
    """A process with an ordinary place."""
    return Candidate(node_id, incarnation, f"host-{node_id}", 7400, "", 1)


def founding(node_id: str, founders: int, incarnation: int = 1) -> Founding:
    """A process that would found a cluster."""
    return Founding(candidate(node_id, incarnation), Numbers(founders, 1024, 3))


def round_of(*names: str) -> Incarnations:
    """A round of first incarnations, `a2` being the second of `a`."""
    return tuple((name[0], int(name[1:] or 1)) for name in names)


def talk(listener: Founding, *speakers: Founding, may_promise: bool = True) -> None:
    """Let one hear others and go on."""
    for speaker in speakers:
        listener.absorb(speaker.standing())
        listener.advance(may_promise)


def meet(*processes: Founding) -> None:
    """Everyone hears everyone, without going on: all know each other and that they are known."""
    for _ in range(2):
        for listener, speaker in permutations(processes, 2):
            listener.absorb(speaker.standing())


def test_one_founder_decides_alone() -> None:
    alone = founding("a", 1)
    alone.advance(may_promise=True)
    assert alone.decided == (candidate("a"),)


def test_the_phases_follow_each_other() -> None:
    a, b = founding("a", 2), founding("b", 2)
    meet(a, b)
    a.advance(may_promise=True)
    assert a.standing().promise == Promise(round_of("a", "b"), None)
    assert a.standing().lock is None, "b has not promised"
    talk(b, a)
    assert b.standing().lock == Lock(round_of("a", "b"), (candidate("a"), candidate("b")))
    assert b.decided is None, "a has not locked"
    talk(a, b)
    assert a.decided == (candidate("a"), candidate("b"))
    talk(b, a)
    assert b.decided == a.decided


def test_nobody_promises_before_the_seeds_have_answered() -> None:
    a, b = founding("a", 2), founding("b", 2)
    meet(a, b)
    a.advance(may_promise=False)
    assert a.standing().promise is None


def test_nobody_promises_before_every_candidate_has_answered() -> None:
    """c, known by name only, may hold a lock of which nobody here knows."""
    a, b, c = founding("a", 2), founding("b", 2), founding("c", 2)
    meet(b, c)
    meet(a, b)
    a.advance(may_promise=True)
    assert [other.node_id for other in a.unheard] == ["c"]
    assert a.standing().promise is None
    a.absorb(c.standing())
    a.advance(may_promise=True)
    assert a.standing().promise is None, "c answered, but does not know of a and may lock without it"
    c.absorb(a.standing())
    talk(a, c)
    assert a.standing().promise is not None


def test_more_candidates_than_founders_the_lowest_ids_found() -> None:
    processes = [founding(node_id, 2) for node_id in "dbca"]
    for _ in range(6):
        for listener, speaker in permutations(processes, 2):
            talk(listener, speaker)
    assert {process.decided for process in processes} == {(candidate("a"), candidate("b"))}


def test_a_restart_raises_the_round_and_the_abandoned_one_never_completes() -> None:
    a, b = founding("a", 2), founding("b", 2)
    meet(a, b)
    a.advance(may_promise=True)
    b.advance(may_promise=True)
    late = b.standing()
    again = founding("b", 2, incarnation=2)
    a.absorb(again.standing())
    a.absorb(late)  # the promise of the process that is dead
    a.advance(may_promise=True)
    assert a.standing().lock is None
    assert a.round == round_of("a", "b2")
    meet(a, again)
    talk(a, again)
    talk(again, a)
    talk(a, again)
    assert a.decided == (candidate("a"), candidate("b", 2))


def test_a_lock_outlives_a_restart() -> None:
    """b locked and may have seen a's lock too: whatever comes later keeps to the founders of that round."""
    a, b = founding("a", 2), founding("b", 2)
    meet(a, b)
    a.advance(may_promise=True)
    talk(b, a)
    again = founding("a", 2, incarnation=2)
    meet(again, b)
    again.advance(may_promise=True)
    talk(b, again)
    talk(again, b)
    talk(b, again)
    assert b.decided == again.decided == (candidate("a"), candidate("b"))


def test_a_lock_heard_of_is_reported_too() -> None:
    lock = Lock(round_of("b", "c"), (candidate("b"), candidate("c")))
    a = founding("a", 2)
    others = (candidate("b"), candidate("c"), a.me)
    for node_id, own in (("b", lock), ("c", None)):
        a.absorb(Standing(node_id, a.numbers, others, None, own))
    a.advance(may_promise=True)
    assert a.standing().promise == Promise(round_of("a", "b"), lock)


def test_the_latest_lock_reported_wins() -> None:
    early = Lock(round_of("a", "b"), (candidate("a"), candidate("b")))
    late = Lock(round_of("a2", "b"), (candidate("a", 2), candidate("b")))
    a, now = founding("a", 2, incarnation=3), round_of("a3", "b")
    a.absorb(Standing("b", a.numbers, (candidate("b"), a.me), Promise(now, late), early))
    a.advance(may_promise=True)
    assert a.standing().lock == Lock(now, late.value)


def test_late_copies_change_nothing() -> None:
    a, b = founding("a", 2), founding("b", 2)
    words = []
    for _ in range(4):
        words += [a.standing(), b.standing()]
        talk(a, b)
        talk(b, a)
    decided = a.decided
    assert decided is not None
    for word in (*words, *reversed(words)):
        for process in (a, b):
            process.absorb(word)
            process.advance(may_promise=True)
            assert process.decided == decided


def test_a_clock_set_back_is_made_good() -> None:
    a, b = founding("a", 2, incarnation=5), founding("b", 2, incarnation=7)
    b.absorb(a.standing())
    a_again = founding("a", 2, incarnation=3)
    a_again.absorb(b.standing())
    assert a_again.me.incarnation == 6
    meet(a_again, b)
    for _ in range(3):
        talk(b, a_again)
        talk(a_again, b)
    assert b.decided == a_again.decided == (candidate("a", 6), candidate("b", 7))


def test_the_same_incarnation_at_another_address_is_a_rival() -> None:
    a = founding("a", 2)
    rival = attrs.evolve(a.me, host="z")
    a.absorb(Standing("a", a.numbers, (rival,), None, None))
    assert a.me.incarnation == 2
    assert a.name_taken_by is None


def test_a_rival_that_keeps_rising_has_the_name() -> None:
    a = founding("a", 2)
    for _ in range(MAX_RENUMBERINGS):
        a.absorb(Standing("a", a.numbers, (candidate("a", a.me.incarnation + 1),), None, None))
        assert a.name_taken_by is None
    a.absorb(Standing("a", a.numbers, (candidate("a", a.me.incarnation + 1),), None, None))
    assert a.name_taken_by == candidate("a", a.me.incarnation + 1)


def test_candidates_beyond_the_limit_are_the_highest_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynacache.membership.founding.MAX_CANDIDATES", 3)
    z = founding("z", 2)
    for node_id in ("d", "c", "b", "a"):
        z.absorb(Standing(node_id, z.numbers, (candidate(node_id),), None, None))
    assert [other.node_id for other in z.candidates] == ["a", "b", "z"]


knowledge = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 3), min_size=2)


@given(knowledge, knowledge)
def test_rounds_only_rise_with_knowledge(before: dict[str, int], news: dict[str, int]) -> None:
    process = founding("a", 2)
    rounds = []
    for step in (before, news):
        others = tuple(candidate(node_id, step[node_id]) for node_id in sorted(step) if node_id != "a")
        if others:
            process.absorb(Standing(others[0].node_id, process.numbers, others, None, None))
        if process.round is not None:
            rounds.append(process.round)
    if len(rounds) == 2:
        assert rounds[0] == rounds[1] or is_later(rounds[1], rounds[0])
        assert not is_later(rounds[0], rounds[1])


@given(knowledge, knowledge, knowledge)
def test_rounds_of_equal_length_stand_in_one_order(a: dict[str, int], b: dict[str, int], c: dict[str, int]) -> None:
    one, two, three = (tuple(sorted(known.items())[:2]) for known in (a, b, c))
    assert (one == two) + is_later(one, two) + is_later(two, one) == 1
    if is_later(one, two) and is_later(two, three):
        assert is_later(one, three)
