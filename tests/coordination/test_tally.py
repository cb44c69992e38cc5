"""The tally: distinct machines, distinct owners, every set."""

from hypothesis import given
from hypothesis import strategies as st

from dynacache.coordination.tally import Tally, required_answers
from dynacache.types import Level

OWNERS = ("a", "b", "c")


def test_what_each_level_needs() -> None:
    assert [required_answers(level, 3) for level in (Level.ONE, Level.QUORUM, Level.STRICT_QUORUM, Level.ALL)] == [
        1,
        2,
        2,
        3,
    ]
    assert [required_answers(Level.QUORUM, count) for count in (1, 2, 3, 4, 5)] == [1, 2, 2, 3, 3]


def test_a_machine_counts_once() -> None:
    tally = Tally.at_level(Level.QUORUM, [OWNERS])
    assert not tally.add("a", "a")
    assert not tally.add("a", "a")
    assert not tally.add("a", "b"), "one machine cannot stand for two"
    assert tally.add("b", "b")


def test_a_fallback_and_its_owner_count_as_one() -> None:
    tally = Tally.at_level(Level.QUORUM, [OWNERS])
    tally.add("x", "a")
    assert not tally.add("a", "a")
    assert tally.add("b", "b")
    assert tally.machines == {"x": "a", "a": "a", "b": "b"}


def test_a_write_needs_its_quorum_in_every_owner_set() -> None:
    tally = Tally.at_level(Level.QUORUM, [("a", "b", "c"), ("a", "b", "c"), ("b", "c", "d")])
    assert len(tally.owner_sets) == 2, "equal sets count once"
    tally.add("a", "a")
    assert not tally.add("b", "b"), "a and b are a quorum of the old owners only"
    assert tally.add("d", "d")


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abc")), max_size=12), st.integers(1, 4))
def test_won_means_that_many_distinct_owners_by_distinct_machines(answers: list[tuple[str, str]], level: int) -> None:
    tally = Tally.at_level(level, [OWNERS])
    first: dict[str, str] = {}
    was_won = False
    for machine, owner in answers:
        first.setdefault(machine, owner)
        won = tally.add(machine, owner)
        assert won == (len(set(first.values())) >= required_answers(level, 3))
        assert won or not was_won, "a tally that is won stays won"
        was_won = won
