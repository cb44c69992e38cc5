"""Trees fold, grow in slices, shrink, and tell what changed."""

import random
import sys
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.placement.partitions import leaf_of
from dynacache.storage.contributions import PREFIX_BITS, key_hash
from dynacache.storage.trees import (
    KEYS_A_LEAF,
    LEAST_LEVEL,
    MOST_LEVEL,
    Trees,
    fold,
    leaves_bytes,
    wanted_level,
)

Entry = tuple[int, int]
entries = st.lists(st.tuples(st.integers(0, 2**PREFIX_BITS - 1), st.integers(1, 2**64 - 1)), max_size=60)


def trees_of(partition_count: int = 4) -> Trees:
    trees = Trees(partition_count)
    trees.extend(partition_count)
    return trees


def build(added: list[Entry], level: int) -> "array[int]":
    leaves = array("Q", bytes(8 << level))
    for prefix, contribution in added:
        leaves[prefix >> (PREFIX_BITS - level)] ^= contribution
    return leaves


def grow(trees: Trees, shard: int, level: int, added: list[Entry], slice_count: int = 1_000) -> None:
    trees.start_growth(shard, level, list(added))
    while trees.is_growing:
        trees.grow(slice_count)


def test_the_prefix_of_a_key_is_its_leaf_in_the_largest_tree() -> None:
    for partition_count in (16, 1024, 65_536):
        trees = Trees(partition_count)
        for number in range(200):
            hashed = key_hash(b"%d" % number)
            assert trees.prefix(hashed) == leaf_of(hashed, partition_count, 1 << PREFIX_BITS)


@given(entries, st.integers(0, LEAST_LEVEL))
def test_a_folded_tree_is_the_tree_built_at_the_lower_level(added: list[Entry], level: int) -> None:
    trees = trees_of()
    for prefix, contribution in added:
        trees.toggle(2, prefix, contribution)
    assert trees.folded(2, level) == build(added, level)
    assert trees.root(2) == trees.roots[2] == build(added, 0)[0]
    assert fold(build(added, 9), 9 - level) == build(added, level)


@given(entries, entries, st.integers(LEAST_LEVEL + 1, 9), st.integers(1, 20))
def test_writes_go_on_while_a_tree_grows(
    before: list[Entry], during: list[Entry], level: int, slice_count: int
) -> None:
    trees = trees_of()
    for prefix, contribution in before:
        trees.toggle(1, prefix, contribution)
    if not before:
        trees.plant(1, 0, 0)
    trees.start_growth(1, level, list(before))
    written = list(before)
    for prefix, contribution in during:
        trees.grow(slice_count)
        trees.toggle(1, prefix, contribution)
        written.append((prefix, contribution))
        compared = trees.level(1)
        assert compared == (LEAST_LEVEL if trees.is_growing else level)
        assert trees.folded(1, compared) == build(written, compared)
        assert trees.root(1) == build(written, 0)[0]
        assert trees.recount_bytes() == trees.size_bytes
    while trees.is_growing:
        trees.grow(slice_count)
    assert trees.folded(1, level) == build(written, level)
    assert trees.size_bytes == trees.recount_bytes() == leaves_bytes(level)
    trees.shrink(1, LEAST_LEVEL)
    assert trees.folded(1, LEAST_LEVEL) == build(written, LEAST_LEVEL)
    assert trees.size_bytes == leaves_bytes(LEAST_LEVEL)


def test_equal_entries_have_equal_roots_in_any_order_and_different_ones_do_not() -> None:
    draws = random.Random(4)
    added = [(draws.randrange(2**PREFIX_BITS), draws.getrandbits(64)) for _ in range(200)]
    first, second = trees_of(), trees_of()
    for prefix, contribution in added:
        first.toggle(0, prefix, contribution)
    draws.shuffle(added)
    for prefix, contribution in added:
        second.toggle(0, prefix, contribution)
    assert first.roots == second.roots
    second.toggle(0, *added[0])
    assert first.roots != second.roots


def test_what_changed_is_told_once_and_what_time_takes_is_not() -> None:
    trees = trees_of()
    trees.toggle(0, 7, 99)
    trees.toggle(0, 7, 98)
    trees.toggle(3, 2**PREFIX_BITS - 1, 5)
    trees.toggle(2, 1, 5, marked=False)
    assert list(trees.take_changed()) == [7, 4 * 2**PREFIX_BITS - 1]
    assert list(trees.take_changed()) == []
    assert list(trees.roots) == [1, 0, 5, 5]
    trees.toggle(2, 1, 5, marked=False)
    assert trees.root(2) == 0


def test_clearing_a_shard_marks_all_of_it_and_ends_its_growth() -> None:
    trees = trees_of()
    trees.toggle(1, 5, 77)
    trees.toggle(2, 5, 77)
    trees.start_growth(1, 9, [(5, 77)])
    trees.take_changed()
    growth = trees.clear(1)
    assert growth == -(2 * leaves_bytes(9) + leaves_bytes(LEAST_LEVEL))
    assert not trees.is_growing
    assert list(trees.roots) == [0, 0, 77, 0]
    assert len(trees.take_changed()) == 2**PREFIX_BITS
    assert trees.size_bytes == trees.recount_bytes()
    trees.toggle(1, 5, 78)
    assert trees.root(1) == 78


def test_a_level_above_the_trees_own_is_refused() -> None:
    trees = trees_of()
    for level in (-1, LEAST_LEVEL + 1):
        with pytest.raises(ValueError, match="level"):
            trees.folded(0, level)
    assert trees.folded(0, LEAST_LEVEL) == array("Q", bytes(8 << LEAST_LEVEL)), "an empty shard has empty leaves"


def test_a_tree_grows_at_twice_its_entries_and_shrinks_at_a_quarter() -> None:
    trees = trees_of()
    assert trees.misfit(0, 10_000) == LEAST_LEVEL, "no leaves, nothing to grow"
    trees.toggle(0, 5, 77)
    least = KEYS_A_LEAF << LEAST_LEVEL
    assert trees.misfit(0, 2 * least) == LEAST_LEVEL
    assert trees.misfit(0, 2 * least + 1) == LEAST_LEVEL + 1
    grow(trees, 0, 9, [(5, 77)])
    assert trees.misfit(0, (KEYS_A_LEAF << 9) // 4) == 9
    assert trees.misfit(0, (KEYS_A_LEAF << 9) // 4 - 1) == 6, "seven would be nearly as crowded as allowed"
    assert trees.misfit(0, 10**9) == MOST_LEVEL
    assert wanted_level(0) == LEAST_LEVEL


@given(st.integers(0, 400_000), st.integers(LEAST_LEVEL, MOST_LEVEL))
def test_a_tree_that_was_given_its_level_is_left_alone(count: int, level: int) -> None:
    trees = trees_of()
    trees.toggle(0, 1, 1)
    if level > LEAST_LEVEL:
        grow(trees, 0, level, [(1, 1)])
    wanted = trees.misfit(0, count)
    if wanted < level:
        trees.shrink(0, wanted)
    elif wanted > level:
        grow(trees, 0, wanted, [(1, 1)])
    assert trees.misfit(0, count) == wanted


def test_leaves_cost_what_the_arrays_cost() -> None:
    trees = trees_of()
    trees.toggle(0, 5, 77)
    grow(trees, 0, 10, [(5, 77)])
    assert sys.getsizeof(trees.leaves[0]) == leaves_bytes(10) == trees.size_bytes


def test_what_time_takes_out_leaves_leaves_and_roots_and_is_not_named() -> None:
    trees, other = trees_of(), trees_of()
    keys = [b"%d" % number for number in range(200)]
    hashes, shards = [key_hash(key) for key in keys], [number % 3 for number in range(200)]
    for each in (trees, other):
        for shard, hashed in zip(shards, hashes, strict=True):
            each.toggle(shard, each.prefix(hashed), hashed << 30)
    assert trees.root(0) == other.root(0), "that of one shard is up to date, those of others are not"
    trees.take_changed()
    trees.leave(shards[:150], hashes[:150], [hashed << 30 for hashed in hashes[:150]])
    assert not trees.take_changed()
    for shard, hashed in zip(shards[:150], hashes[:150], strict=True):
        other.toggle(shard, other.prefix(hashed), hashed << 30)
    assert trees.roots == other.roots
    assert trees.leaves == other.leaves
