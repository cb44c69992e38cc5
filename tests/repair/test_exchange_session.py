"""Comparing: what a session asks, what it makes of answers, where it looks next."""

from collections.abc import Generator
from typing import Any

import pytest
from pyroaring import BitMap

from dynacache.repair.copy_state import pack_partitions, pack_state
from dynacache.repair.exchange_nodes import TOP, pack_numbers, unpack_numbers
from dynacache.repair.exchange_session import (
    DIRECT_LIMIT,
    NODES_LIMIT,
    NOT_NOW,
    OTHER_SET,
    WAS_COMPARED,
    Session,
)
from dynacache.repair.exchange_steps import Ask, GaveUp, Pause
from dynacache.wire.messages import COMPARE, COMPARED
from tests.repair.exchange_world import World

_NO_STATE = [b"", b""]


def _session(entries: int = 0) -> Session:
    world = World()
    owner = world.owners["a"]
    for index in range(entries):
        owner.make(b"key%d" % index, b"value")
    for _ in range(30):
        owner.engine.collect(owner.now_ms, 10_000)
    ground = owner.exchange.ground
    session = Session(ground, ground.peers["b"], owner.now_ms)
    session.comparable = session.view.shared - BitMap()
    return session


def _answer(
    unequal: list[int] = [],  # noqa: B006
    digests: list[int] = [],  # noqa: B006
    levels: list[list[int]] = [],  # noqa: B006
    dirty: bytes | None = None,
    outcome: int = WAS_COMPARED,
    state: list[bytes] = _NO_STATE,
) -> list[Any]:
    return [COMPARED, 1, 1, state, outcome, pack_numbers("H", unequal), pack_numbers("Q", digests), levels, dirty]


def _result(steps: Generator[Any, Any, Any], answer: Any) -> Any:
    """Send the last answer to a conversation and return what it returns."""
    try:
        return steps.send(answer)
    except StopIteration as end:
        return end.value


def _nodes(ask: Any) -> list[int]:
    assert isinstance(ask, Ask)
    assert ask.kind == COMPARE
    return list(unpack_numbers("I", ask.fields[2], NODES_LIMIT))


def test_it_opens_with_the_top_and_an_equal_top_clears_every_mark() -> None:
    session = _session(100)
    steps = session.open()
    ask = next(steps)
    assert _nodes(ask) == [TOP]
    expected = 0
    for root in session.ground.engine.roots:
        expected ^= root
    assert ask.fields[3] == pack_numbers("Q", [expected])  # type: ignore[union-attr]
    assert session.view.dirty
    compared = _result(steps, _answer())
    assert compared.unequal == []
    assert not session.view.dirty


def test_what_changes_while_the_question_is_under_way_stays_marked() -> None:
    session = _session(100)
    steps = session.open()
    next(steps)
    session.ground.port.make(b"late", b"value")  # type: ignore[attr-defined]
    _result(steps, _answer())
    assert len(session.view.dirty) == 1


def test_it_agrees_with_the_peer_on_what_is_left_out() -> None:
    session = _session()
    steps = session.open()
    assert next(steps).fields[1] == b""  # type: ignore[union-attr]
    ask = steps.send(_answer(outcome=OTHER_SET, state=pack_state(BitMap([3]), BitMap([5]))))
    assert ask.fields[1] == pack_partitions(BitMap([3, 5]))  # type: ignore[union-attr]
    assert session.comparable == BitMap(range(16)) - BitMap([3, 5])
    steps.send(_answer(outcome=OTHER_SET, state=pack_state(BitMap([4]), BitMap())))
    with pytest.raises(GaveUp):
        steps.send(_answer(outcome=OTHER_SET))


def test_it_waits_while_expiry_is_behind_on_the_other_side() -> None:
    session = _session()
    steps = session.open()
    next(steps)
    assert isinstance(steps.send(_answer(outcome=NOT_NOW)), Pause)
    assert _nodes(steps.send(None)) == [TOP]


def test_few_known_changes_are_compared_directly() -> None:
    session = _session(100)
    session.ground.absorb()
    session.view.dirty.clear()
    owner: Any = session.ground.port
    owner.make(b"key1", b"other")
    session.ground.absorb()
    theirs = session.ground.forest.node(4, 3, 2)
    mine = session.ground.forest.leaf_of_id(
        session.view.dirty[0], session.ground.engine.tree_level(owner.partition(b"key1"))
    )
    assert session.frontier([theirs]) == sorted({mine, theirs})
    assert not session.result.was_walk


@pytest.mark.parametrize("why", ["many here", "many there", "asked for", "long ago", "unexplained"])
def test_otherwise_it_walks(why: str) -> None:
    session = _session(100)
    view = session.view
    view.dirty.clear()
    theirs: list[int] | None = []
    if why == "many here":
        for partition in range(16):
            view.dirty.add_range(partition << 14, partition + 1 << 14)
        session.ground.engine.tree_level = lambda partition: 8  # type: ignore[method-assign]
        assert DIRECT_LIMIT < 16 << 8
    elif why == "many there":
        theirs = None
    elif why == "asked for":
        view.walk = True
    elif why == "long ago":
        view.walk_due_s = session.ground.port.now_s
    else:
        view.unexplained = 2
    assert session.frontier(theirs) == list(range(16, 32))
    assert session.result.was_walk


def test_a_walk_descends_where_digests_differ() -> None:
    session = _session(1000)
    forest = session.ground.forest
    level = session.ground.engine.tree_level(2)
    steps = session.differing([forest.node(2, 0, 0), forest.node(3, 0, 0)])
    assert _nodes(next(steps)) == [forest.node(2, 0, 0), forest.node(3, 0, 0)]
    step = min(4, level)
    asked = _nodes(steps.send(_answer([0], [1])))
    assert asked == [forest.node(2, step, leaf) for leaf in range(1 << step)]


def test_a_leaf_that_differs_is_found_and_marked_and_an_equal_one_is_not() -> None:
    session = _session(100)
    forest = session.ground.forest
    session.view.dirty.clear()
    leaves = [forest.node(2, 3, leaf) for leaf in (1, 5)]
    steps = session.differing(leaves)
    next(steps)
    ours = session.ground.digests([leaves[1]], session.comparable)[0]
    assert _result(steps, _answer([1], [ours ^ 9])) == {leaves[1]: 9}
    assert session.view.dirty.range_cardinality(*forest.ids(leaves[1]))
    assert not session.view.dirty.range_cardinality(*forest.ids(leaves[0]))


def test_what_was_settled_and_has_become_equal_is_settled_no_more() -> None:
    session = _session(100)
    leaf = session.ground.forest.node(2, 3, 1)
    for _ in range(2):
        session.view.settle(leaf, 77)
    steps = session.differing([leaf])
    next(steps)
    ours = session.ground.digests([leaf], session.comparable)[0]
    assert _result(steps, _answer([0], [ours])) == {}
    assert session.view.settled.count == 0


def test_a_tree_less_deep_at_the_peer_is_compared_at_its_level() -> None:
    session = _session(100)
    forest = session.ground.forest
    leaves = [forest.node(2, 3, leaf) for leaf in (4, 5, 7)]
    steps = session.differing(leaves)
    next(steps)
    asked = _nodes(steps.send(_answer(levels=[[2, 1]])))
    assert asked == [forest.node(2, 1, 1)]
    found = _result(steps, _answer([0], [1]))
    assert list(found) == [forest.node(2, 1, 1)]


def test_it_stops_at_its_limit_and_says_that_there_is_more() -> None:
    session = _session()
    forest = session.ground.forest
    nodes = [forest.node(p, 3, leaf) for p in range(16) for leaf in range(8)]
    steps = session.differing([*nodes, *(forest.node(p, 0, 0) for p in range(16))], limit=10)
    asked = _nodes(next(steps))
    found = _result(steps, _answer(list(range(len(asked))), [7] * len(asked)))
    while not isinstance(found, dict):
        asked = _nodes(found)
        found = _result(steps, _answer(list(range(len(asked))), [7] * len(asked)))
    assert len(found) >= 10


@pytest.mark.parametrize(
    "answer",
    [
        [COMPARED, 1, 1],
        [COMPARED, 1, 1, None, WAS_COMPARED, b"", b"", [], None],
        [COMPARED, 1, 1, _NO_STATE, WAS_COMPARED, b"\0", b"", [], None],
        _answer([0], []),
        _answer([9], [1]),
        _answer(levels=[[99, 3]]),
        _answer(levels=[[3, 14]]),
        _answer(levels=[[3]]),
        _answer(dirty=pack_numbers("I", [1])),
        _answer(dirty=pack_numbers("I", [0])),
    ],
)
def test_a_malformed_answer_raises_and_clears_nothing(answer: list[Any]) -> None:
    session = _session(50)
    marks = len(session.view.dirty)
    steps = session.open()
    next(steps)
    with pytest.raises((ValueError, TypeError, LookupError)):
        steps.send(answer)
    assert len(session.view.dirty) in (marks, 0)


def test_what_is_settled_one_level_higher_is_compared_there_and_stays_settled() -> None:
    session = _session(4000)
    engine, forest, view = session.ground.engine, session.ground.forest, session.view
    session.ground.absorb()
    level = engine.tree_level(5)
    assert level > 3
    higher = forest.node(5, level - 1, 1)
    assert not view.settle(higher, 77)
    assert view.settle(higher, 77)
    steps = session.narrow([forest.node(5, level, 2), forest.node(5, level, 3)])
    ask = next(steps)
    assert _nodes(ask) == [higher]
    mine = session.ground.digests([higher], session.comparable)[0]
    assert ask.fields[3] == pack_numbers("Q", [mine ^ 77])  # type: ignore[union-attr]
    assert view.settled.count == 1
    # A tree that has become deeper by more is compared as deep as it is, and what was settled is open again.
    lower = forest.node(6, level - 2, 0)
    view.settle(lower, 5)
    view.settle(lower, 5)
    assert view.settled.level(6) == level - 2
    assert _nodes(next(session.narrow([forest.node(6, level, 0)]))) == [forest.node(6, level, 0)]
    assert view.settled.level(6) is None
