"""Marks of a peer: nothing leaves them but what was found equal and has not changed since."""

from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from dynacache.repair import exchange_peer
from dynacache.repair.exchange_nodes import PREFIX_BITS, TOP, Forest
from dynacache.repair.exchange_peer import PeerView

FOREST = Forest(16)
ALL = BitMap(range(16))


def _id(partition: int, prefix: int) -> int:
    return partition << PREFIX_BITS | prefix


def _view(*shared: int) -> PeerView:
    view = PeerView("b", FOREST)
    view.share(BitMap(shared))
    view.dirty.clear()
    view.fresh.clear()
    return view


def test_a_partition_that_begins_to_be_shared_is_dirty_as_a_whole() -> None:
    view = PeerView("b", FOREST)
    view.share(BitMap([2, 3]))
    assert len(view.dirty) == 2 << PREFIX_BITS
    assert not view.is_clean(2, 77, 5)
    view.share(BitMap([3]))
    assert len(view.dirty) == 1 << PREFIX_BITS


def test_changes_of_other_partitions_are_none_of_its_business() -> None:
    view = _view(2)
    view.note_changed(BitMap([_id(2, 5), _id(3, 5)]))
    assert view.dirty == BitMap([_id(2, 5)])


def test_what_changed_since_the_question_survives_its_answer() -> None:
    view = _view(2)
    view.note_changed(BitMap([_id(2, 5), _id(2, 6)]))
    view.fresh.clear()
    view.note_changed(BitMap([_id(2, 6), _id(2, 7)]))
    view.clear([FOREST.node(2, 0, 0)], BitMap([2]), asked=True)
    assert view.dirty == BitMap([_id(2, 6), _id(2, 7)])
    view.clear([FOREST.node(2, 0, 0)], BitMap([2]), asked=False)
    assert not view.dirty


def test_the_top_clears_only_what_was_compared() -> None:
    view = _view(2, 3)
    view.note_changed(BitMap([_id(2, 5), _id(3, 5)]))
    view.clear([TOP], BitMap([2]), asked=False)
    assert view.dirty == BitMap([_id(3, 5)])
    view.clear([TOP], BitMap([2, 3]), asked=False)
    assert not view.dirty


def test_a_copy_that_was_incomplete_is_compared_anew() -> None:
    view = _view(2, 3)
    view.settle(FOREST.node(2, 5, 1), 9)
    view.note_state(BitMap([2, 9]), BitMap())
    assert view.warming == BitMap([2])
    assert view.settled.count == 0
    assert not view.is_clean(2, 0, 5)
    view.dirty.clear()
    view.note_state(BitMap(), BitMap())
    assert len(view.dirty) == 1 << PREFIX_BITS
    assert view.is_clean(3, 0, 5)


def test_one_mark_makes_its_leaf_unclean_and_no_other() -> None:
    view = _view(2)
    view.note_changed(BitMap([_id(2, 0b1000_0000_0000_01)]))
    assert not view.is_clean(2, 0b1000_1111_0000_00, 4)
    assert view.is_clean(2, 0b1001_0000_0000_00, 4)


def test_a_leaf_is_settled_by_the_second_repair_that_leaves_the_same() -> None:
    view = _view(2)
    leaf = FOREST.node(2, 5, 1)
    assert not view.settle(leaf, 9)
    assert not view.settle(leaf, 8)
    assert view.settle(leaf, 8)
    assert view.expected(leaf, 1) == 1 ^ 8
    assert view.expected(TOP, 1) == 1 ^ 8
    assert view.settle(leaf, 0)
    assert view.expected(leaf, 1) == 1


def test_doubts_are_bounded() -> None:
    view = _view(2)
    limit, exchange_peer.DOUBTED_LIMIT = exchange_peer.DOUBTED_LIMIT, 3
    try:
        for leaf in range(20):
            view.settle(FOREST.node(2, 6, leaf), 7)
            assert len(view.doubted) <= 3
    finally:
        exchange_peer.DOUBTED_LIMIT = limit


def test_what_is_settled_at_another_level_is_open_and_dirty_again() -> None:
    view = _view(2)
    leaf = FOREST.node(2, 5, 1)
    for _ in range(2):
        view.settle(leaf, 9)
    assert view.expected(2 * leaf, 1) == 1
    assert view.settled.count == 0
    first, end = FOREST.ids(leaf)
    assert view.dirty.range_cardinality(first, end) == end - first
    assert view.fresh == view.dirty


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("change"), st.integers(0, 3), st.integers(0, 63)),
            st.tuples(st.just("ask"), st.integers(1, 31), st.just(0)),
            st.tuples(st.just("equal"), st.just(0), st.just(0)),
            st.tuples(st.just("answer"), st.integers(1, 31), st.just(0)),
        ),
        max_size=40,
    )
)
def test_no_mark_is_lost(steps: list[tuple[str, int, int]]) -> None:
    """A change is marked until an answer to a question asked after it (or an answer we gave after it) covers it."""
    view = _view(0, 1, 2, 3)
    must: set[int] = set()
    since: set[int] = set()
    asked = TOP
    for what, first, second in steps:
        if what == "change":
            id_ = _id(first, second << 8)
            view.note_changed(BitMap([id_]))
            must.add(id_)
            since.add(id_)
        elif what == "ask":
            asked = first
            since = set()
            view.fresh.clear()
        else:
            node = asked if what == "equal" else first
            covered = _covered(node)
            must -= covered - since if what == "equal" else covered
            view.clear([node], view.shared, asked=what == "equal")
        assert must <= set(view.dirty)


def _covered(node: int) -> set[int]:
    return {
        _id(partition, prefix << 8)
        for partition in range(4)
        for prefix in range(64)
        if FOREST.leaf_of_id(_id(partition, prefix << 8), 8) >> FOREST.node(0, 8, 0).bit_length() - node.bit_length()
        == node
    }
