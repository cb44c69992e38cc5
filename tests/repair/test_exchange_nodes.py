"""The numbering of nodes: a heap over partitions and leaves, in which folding is a shift."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from dynacache.placement.partitions import key_hash, partition_of, partition_of_key, partition_shift
from dynacache.placement.placement import Placement
from dynacache.placement.table import FACTORS_PARTITION_LIMIT, MemberTable
from dynacache.repair.exchange_nodes import PREFIX_BITS, TOP, Forest, pack_numbers, unpack_numbers

FOREST = Forest(64)
PLACES = st.tuples(st.integers(0, 63), st.integers(0, PREFIX_BITS)).flatmap(
    lambda place: st.tuples(st.just(place[0]), st.just(place[1]), st.integers(0, (1 << place[1]) - 1))
)


@given(PLACES)
def test_a_node_says_where_it_is(place: tuple[int, int, int]) -> None:
    partition, level, leaf = place
    node = FOREST.node(partition, level, leaf)
    assert FOREST.locate(node) == place
    assert (FOREST.partition(node), FOREST.level(node)) == (partition, level)
    assert FOREST.is_node(node)


@given(PLACES)
def test_the_ids_below_a_node_are_those_of_its_two_children(place: tuple[int, int, int]) -> None:
    partition, level, leaf = place
    node = FOREST.node(partition, level, leaf)
    first, end = FOREST.ids(node)
    assert end - first == 1 << PREFIX_BITS - level
    assert first >> PREFIX_BITS == partition
    if level < PREFIX_BITS:
        left, right = FOREST.ids(2 * node), FOREST.ids(2 * node + 1)
        assert (left[0], left[1], right[1]) == (first, right[0], end)
    assert FOREST.leaf_of_id(first, level) == FOREST.leaf_of_id(end - 1, level) == node


def test_groups_cover_all_partitions() -> None:
    assert FOREST.partitions(TOP) == (0, 64)
    assert [FOREST.partitions(node) for node in (2, 3)] == [(0, 32), (32, 64)]
    assert FOREST.partitions(FOREST.node(9, 0, 0)) == (9, 10)
    assert FOREST.level(TOP) == -6


def test_folding_stops_at_the_level_asked_for() -> None:
    node = FOREST.node(5, 7, 100)
    assert FOREST.fold(node, 4) == FOREST.node(5, 4, 100 >> 3)
    assert FOREST.fold(node, 9) == node


@given(st.binary(min_size=1, max_size=40))
def test_the_id_of_a_key_is_its_partition_and_prefix(key: bytes) -> None:
    key = b"k" + key
    hashed = key_hash(key)
    id_ = FOREST.id_of(key)
    assert id_ >> PREFIX_BITS == partition_of(hashed, 64)
    assert id_ == hashed >> 32 - 6 - PREFIX_BITS


@pytest.mark.parametrize("count", [16, 1024, 65_536])
def test_the_deepest_node_fits_32_bits(count: int) -> None:
    forest = Forest(count)
    deepest = forest.node(count - 1, PREFIX_BITS, (1 << PREFIX_BITS) - 1)
    assert deepest < 1 << 32
    assert forest.is_node(deepest)
    assert not forest.is_node(deepest + 1)
    assert not forest.is_node(0)


@given(st.sets(st.integers(0, (64 << PREFIX_BITS) - 1), max_size=50), st.sets(st.integers(0, 63)), st.integers(3, 14))
def test_leaves_are_those_of_the_ids_once_each(ids: set[int], partitions: set[int], level: int) -> None:
    found = list(FOREST.leaves(BitMap(ids), BitMap(partitions), lambda _: level))
    expected = {FOREST.leaf_of_id(id_, level) for id_ in ids if id_ >> PREFIX_BITS in partitions}
    assert found == sorted(expected)


def test_a_whole_partition_is_one_run_and_its_leaves_are_found_without_visiting_every_id() -> None:
    mask = FOREST.mask(BitMap([3, 4]))
    assert len(mask) == 2 << PREFIX_BITS
    assert len(mask.serialize()) < 100
    assert len(list(FOREST.leaves(mask, BitMap([4]), lambda _: 5))) == 32


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_numbers_travel(numbers: list[int]) -> None:
    packed = pack_numbers("Q", numbers)
    assert list(unpack_numbers("Q", packed, 20)) == numbers
    assert packed[:8] == (numbers[0].to_bytes(8, "big") if numbers else b"")


@pytest.mark.parametrize("packed", [None, "abcd", b"abc", bytes(12)])
def test_malformed_numbers_are_refused(packed: object) -> None:
    with pytest.raises(ValueError, match="bytes"):
        unpack_numbers("I", packed, 2)


def test_partitions_of_further_factors_have_nodes_and_ids_of_their_own() -> None:
    table = MemberTable.of(bytes(16), 64, 3, ())
    assert Forest.of(Placement.from_table(table)) == Forest(64)
    forest = Forest.of(Placement.from_table(table.with_factor(5, 1)))
    assert forest.partition_count == 1024
    plain, numbered = b"plain", b"\x00\x04web\x05key"
    shift = partition_shift(64)
    for key in (plain, numbered):
        id_ = forest.id_of(key)
        assert id_ >> PREFIX_BITS == partition_of_key(key, shift)
        assert id_ & (1 << PREFIX_BITS) - 1 == key_hash(key) >> 32 - 6 - PREFIX_BITS & (1 << PREFIX_BITS) - 1
        node = forest.leaf_of_id(id_, 3)
        assert forest.partition(node) == partition_of_key(key, shift)
    assert forest.id_of(plain) == Forest(64).id_of(plain)


def test_the_deepest_node_of_the_most_partitions_of_all_factors_fits_32_bits() -> None:
    table = MemberTable.of(bytes(16), FACTORS_PARTITION_LIMIT, 3, ()).with_factor(9, 1)
    forest = Forest.of(Placement.from_table(table))
    last = 10 * FACTORS_PARTITION_LIMIT - 1
    assert forest.node(last, PREFIX_BITS, (1 << PREFIX_BITS) - 1) < 1 << 32
    assert last << PREFIX_BITS < 1 << 32
