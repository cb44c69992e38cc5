"""The model's member table: a join, the three sets, and the counts that quorums need."""

from hypothesis import given
from hypothesis import strategies as st

from dynacache.placement.table import MemberState
from sim.ring import table
from sim.ring.table import NODES, Entry, first_view, merge, put

S = MemberState
entries = st.builds(
    Entry,
    place=st.integers(1, 2),
    removal=st.integers(0, 3),
    generation=st.integers(1, 2),
    version=st.integers(1, 3),
    written=st.sampled_from([S.OUTSIDE, S.JOINING, S.SETTLING, S.NORMAL, S.LEAVING, S.RETIRING, S.LEFT]),
)
views = st.tuples(*(entries for _ in NODES))


@given(views, views, views)
def test_merge_is_a_join(one: table.View, two: table.View, three: table.View) -> None:
    assert merge(one, two) == merge(two, one)
    assert merge(merge(one, two), three) == merge(one, merge(two, three))
    assert merge(one, one) == one


def test_a_joiner_takes_the_place_of_the_third() -> None:
    view = first_view()
    assert table.old_owners(view) == table.read_owners(view) == table.new_owners(view) == {"A", "B", "C"}
    for state, expected in (
        (S.JOINING, ("ABC", "ABC", "ABX")),
        (S.SETTLING, ("ABC", "ABX", "ABX")),
        (S.NORMAL, ("ABX", "ABX", "ABX")),
    ):
        changed = put(view, "X", Entry(1, 0, 1, 2, state))
        assert table.write_sets(changed) == tuple(frozenset(names) for names in expected)


def test_a_removal_keeps_its_share_until_it_is_over() -> None:
    view = first_view()
    for level, expected in ((1, "ABC ABC ABC"), (2, "ABC ABE ABE"), (3, "ABE ABE ABE")):
        changed = put(view, "C", view[NODES.index("C")]._replace(removal=level))
        assert table.write_sets(changed) == tuple(frozenset(names) for names in expected.split())


def test_counts() -> None:
    three, two = frozenset("ABC"), frozenset("AB")
    assert [table.majority(three), table.majority(two)] == [2, 2]
    assert [table.overlap(three), table.overlap(two), table.overlap(frozenset("A"))] == [2, 2, 1]
    assert not table.enough_know({"A"}, three)
    assert table.enough_know({"A", "C"}, three)
    assert table.enough_know({"B"}, two)


def test_what_two_nodes_must_agree_on() -> None:
    view = first_view()
    restarted = put(view, "A", Entry(1, 0, 2, 2, S.NORMAL))
    condemned = put(view, "A", Entry(1, 1, 1, 1, S.NORMAL))
    assert table.quorum_key(restarted) == table.quorum_key(view)
    assert table.quorum_key(condemned) != table.quorum_key(view)
    assert table.quorum_key(put(condemned, "A", Entry(1, 1, 1, 2, S.NORMAL))) != table.quorum_key(condemned)
