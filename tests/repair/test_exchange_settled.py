"""Settled differences: sums over any node equal the sums of what was settled below it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from dynacache.repair import exchange_settled
from dynacache.repair.exchange_nodes import TOP, Forest
from dynacache.repair.exchange_settled import Settled

FOREST = Forest(16)
LEVEL = 5
LEAVES = st.tuples(st.integers(0, 15), st.integers(0, 31))
STEPS = st.lists(st.tuples(LEAVES, st.integers(0, 7)), max_size=60)


def _total(known: dict[tuple[int, int], int], node: int) -> int:
    total = 0
    for (partition, leaf), difference in known.items():
        below = FOREST.node(partition, LEVEL, leaf)
        if below >> below.bit_length() - node.bit_length() == node:
            total ^= difference
    return total


@given(STEPS, st.integers(0, 31), st.integers(0, 15))
def test_sums_over_any_node(steps: list[tuple[tuple[int, int], int]], leaf: int, partition: int) -> None:
    settled = Settled(FOREST)
    known: dict[tuple[int, int], int] = {}
    for place, difference in steps:
        assert settled.settle(FOREST.node(place[0], LEVEL, place[1]), difference)
        known[place] = difference
    node = FOREST.node(partition, LEVEL, leaf)
    while node:
        assert settled.fits(node)
        assert settled.under(node) == _total(known, node)
        node >>= 1
    assert settled.total == settled.under(TOP)
    assert settled.count == sum(difference > 0 for difference in known.values())


def test_forgetting_a_partition_names_its_leaves() -> None:
    settled = Settled(FOREST)
    nodes = [FOREST.node(3, LEVEL, leaf) for leaf in (9, 2)]
    for node in (*nodes, FOREST.node(4, LEVEL, 2)):
        settled.settle(node, node)
    assert settled.forget(3) == sorted(nodes)
    assert settled.forget(3) == []
    assert (settled.count, settled.total) == (1, FOREST.node(4, LEVEL, 2))
    settled.forget_all(BitMap([1, 4]))
    assert (settled.count, settled.total) == (0, 0)


def test_what_is_finer_than_what_is_settled_does_not_fit() -> None:
    settled = Settled(FOREST)
    assert settled.fits(FOREST.node(3, 9, 1))
    settled.settle(FOREST.node(3, LEVEL, 1), 5)
    assert settled.fits(FOREST.node(3, LEVEL, 1), exactly=True)
    assert settled.fits(FOREST.node(3, LEVEL - 1, 0))
    assert not settled.fits(FOREST.node(3, LEVEL - 1, 0), exactly=True)
    assert not settled.fits(FOREST.node(3, LEVEL + 1, 2))
    assert settled.fits(FOREST.node(4, LEVEL + 1, 2))


def test_the_limit_refuses_one_more_but_not_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_settled, "SETTLED_LIMIT", 2)
    settled = Settled(FOREST)
    assert settled.settle(FOREST.node(1, LEVEL, 1), 5)
    assert settled.settle(FOREST.node(1, LEVEL, 2), 6)
    assert not settled.settle(FOREST.node(2, LEVEL, 2), 7)
    assert settled.settle(FOREST.node(1, LEVEL, 2), 9)
    assert settled.total == 5 ^ 9
    assert settled.settle(FOREST.node(1, LEVEL, 1), 0)
    assert settled.settle(FOREST.node(2, LEVEL, 2), 7)
