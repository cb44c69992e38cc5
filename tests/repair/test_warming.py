"""The decision when a partition is complete: each case, and that none ends too early."""

from itertools import combinations

import attrs
from hypothesis import given
from hypothesis import strategies as st

from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberState
from dynacache.repair.warming import Decision, Ending, OwnerSets, Standing, View, decide, owner_sets
from tests.repair.transfer_world import table_of

COMPLETE, STALE, WARMING, UNHEARD = Standing.COMPLETE, Standing.STALE, Standing.WARMING, Standing.UNHEARD
STEADY = OwnerSets(("a", "b", "x"), ("a", "b", "x"), ("a", "b", "x"))
JOINING = OwnerSets(("a", "b", "d"), ("a", "b", "d"), ("a", "b", "x"), displaced="d")


@attrs.define
class Known:
    """What a test says is known."""

    standing: dict[str, Standing]
    down: str = ""
    merged: str = ""
    merged_complete: str = ""
    hopeless: bool = False

    def decide(self, sets: OwnerSets, partition: int = 0) -> Decision:
        """Decide for the node x."""
        view = View(
            lambda each: self.standing.get(each, UNHEARD),
            lambda each: each not in self.down,
            lambda each: each in self.merged or each in self.merged_complete,
            lambda each: each in self.merged_complete,
            self.hopeless,
        )
        return decide("x", partition, sets, view)


def test_a_joiner_asks_the_displaced_node_and_nobody_else() -> None:
    known = Known({"a": COMPLETE, "b": COMPLETE, "d": COMPLETE})
    assert known.decide(JOINING) == Decision(ask=("d",))
    known.merged_complete = "d"
    assert known.decide(JOINING) == Decision(Ending.DISPLACED)


def test_the_displaced_node_is_heard_first() -> None:
    assert Known({"a": COMPLETE, "b": COMPLETE}).decide(JOINING) == Decision(wait=("d",))


def test_a_displaced_node_that_is_away_or_incomplete_is_made_up_for_by_two_others() -> None:
    for standing, down in ((COMPLETE, "d"), (UNHEARD, "d"), (WARMING, ""), (STALE, "")):
        known = Known({"a": COMPLETE, "b": COMPLETE, "d": standing}, down)
        assert set(known.decide(JOINING).ask) == {"a", "b"}
        known.merged_complete = "a"
        assert known.decide(JOINING).ask == ("b",), "one is not enough"
        known.merged_complete = "ab"
        assert known.decide(JOINING).ending is Ending.QUORUM


def test_the_copy_of_a_displaced_node_that_was_warming_ends_nothing() -> None:
    known = Known({"a": WARMING, "b": WARMING, "d": WARMING}, merged="d")
    assert known.decide(JOINING).ending is None


def test_a_restarted_node_takes_turns_with_whom_it_begins() -> None:
    known = Known({"a": COMPLETE, "b": COMPLETE})
    assert known.decide(STEADY, 0).ask == ("a", "b")
    assert known.decide(STEADY, 1).ask == ("b", "a")


def test_an_owner_that_is_away_may_be_complete() -> None:
    for standing in (COMPLETE, UNHEARD):
        known = Known({"a": COMPLETE, "b": standing}, down="b")
        assert known.decide(STEADY) == Decision(ask=("a",), wait=("b",))
        known.merged_complete = "a"
        assert known.decide(STEADY) == Decision(wait=("b",))
        known.hopeless = True
        assert known.decide(STEADY) == Decision(wait=("b",)), "however long it takes"


def test_too_few_complete_owners_and_all_is_merged_once_nobody_makes_progress() -> None:
    known = Known({"a": COMPLETE, "b": WARMING})
    assert known.decide(STEADY) == Decision(ask=("a",), wait=("b",))
    known.merged_complete = "a"
    assert known.decide(STEADY) == Decision(wait=("b",))
    known.hopeless = True
    assert known.decide(STEADY) == Decision(ask=("b",))
    known.merged = "b"
    assert known.decide(STEADY) == Decision(Ending.EVERYONE)
    known.hopeless = False
    assert known.decide(STEADY).ending is None


def test_who_becomes_complete_meanwhile_is_taken_as_complete() -> None:
    known = Known({"a": COMPLETE, "b": COMPLETE}, merged="b", merged_complete="a")
    assert known.decide(STEADY) == Decision(ask=("b",))


def test_a_stale_copy_is_taken_only_when_nobody_is_complete() -> None:
    known = Known({"a": COMPLETE, "b": STALE}, merged_complete="a", hopeless=True)
    assert known.decide(STEADY) == Decision(wait=("b",))
    known = Known({"a": WARMING, "b": STALE}, hopeless=True)
    assert known.decide(STEADY).ask == ("a", "b")


def test_the_only_owner_has_nobody_to_wait_for() -> None:
    alone = OwnerSets(("x",), ("x",), ("x",))
    assert Known({}).decide(alone) == Decision(Ending.EVERYONE)


def test_of_two_owners_the_other_is_enough() -> None:
    both = OwnerSets(("a", "x"), ("a", "x"), ("a", "x"))
    assert Known({"a": COMPLETE}, merged_complete="a").decide(both).ending is Ending.QUORUM


def test_where_members_were_fewer_than_copies_everyone_who_is_left_is_needed() -> None:
    growing = OwnerSets(("a", "b"), ("a", "b"), ("a", "b", "x"))
    known = Known({"a": COMPLETE, "b": COMPLETE}, merged_complete="a")
    assert known.decide(growing) == Decision(ask=("b",)), "what was written with three copies may be on one node only"
    known.merged_complete = "ab"
    assert known.decide(growing).ending is Ending.QUORUM


def test_where_copies_are_added_nobody_is_displaced() -> None:
    growing = OwnerSets(("a",), ("a",), ("a", "x"))
    assert Known({"a": COMPLETE}).decide(growing) == Decision(ask=("a",))
    assert Known({"a": COMPLETE}, merged_complete="a").decide(growing).ending is Ending.QUORUM


def test_the_sets_come_from_the_placement() -> None:
    states = dict.fromkeys("abcd", MemberState.NORMAL)
    placement = Placement.from_table(table_of({**states, "x": MemberState.JOINING}))
    for partition in placement.owned_by("x"):
        sets = owner_sets(placement, partition, "x")
        assert sets.read == sets.old == tuple(sorted(placement.owners(partition)))
        assert sets.displaced in sets.old
        assert set(sets.others("x")) == set(sets.old) | set(sets.new) - {"x"}
        assert owner_sets(placement, partition, "a").displaced is None


@st.composite
def _situations(draw: st.DrawFn) -> tuple[OwnerSets, Known, list[frozenset[str]]]:
    """Owners before and after, who has lost its memory, and the quorums that acknowledged writes before."""
    count = draw(st.integers(1, 5))
    names = tuple("abcdefg"[:count])
    kind = draw(st.sampled_from(["restart", "join", "leave", "settled", "removed"]))
    before = (*names[:-1], "x") if kind == "restart" else names
    after = before if kind == "restart" else (*names[:-1], "x")
    displaced = None if kind in ("restart", "removed") else names[-1]
    read = after if kind in ("settled", "removed") else before
    old = after if kind == "removed" else before
    standing = {name: draw(st.sampled_from([COMPLETE, COMPLETE, COMPLETE, STALE, WARMING, UNHEARD])) for name in names}
    down = "".join(name for name in names if draw(st.integers(0, 4)) == 0)
    quorum = count // 2 + 1
    writes = [frozenset(each) for each in combinations(before, quorum)]
    return OwnerSets(read, old, after, count, displaced), Known(standing, down, hopeless=draw(st.booleans())), writes


@given(_situations(), st.integers(0, 9))
def test_whoever_ends_within_the_fault_model_misses_no_acknowledged_write(
    situation: tuple[OwnerSets, Known, list[frozenset[str]]], partition: int
) -> None:
    sets, known, writes = situation
    for _ in range(10):
        decision = known.decide(sets, partition)
        if decision.ending is not None or not decision.ask:
            break
        for name in decision.ask[:1]:
            assert name not in known.down
            assert name != "x"
            known.merged += name
            if known.standing[name] is COMPLETE:
                known.merged_complete += name
    else:
        raise AssertionError("no end of asking")
    if decision.ending in (None, Ending.EVERYONE):
        return
    complete = {name for name, standing in known.standing.items() if standing is COMPLETE}
    for quorum in combinations(sets.new, len(sets.new) // 2 + 1):
        if "x" not in quorum or not set(quorum) - {"x"} <= complete:
            continue
        for write in writes:
            held = write & (set(quorum) | set(known.merged_complete))
            assert held - {"x"}, f"{write} is unknown to {quorum}, having merged {known.merged_complete}"
