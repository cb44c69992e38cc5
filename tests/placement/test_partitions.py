"""Keys to partitions and leaves: stable for ever, even, and the same unit for everyone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.namespaces.names import FACTOR_LIMIT, qualify
from dynacache.placement.checks import WireValueError
from dynacache.placement.partitions import (
    DEFAULT_PARTITION_COUNT,
    MAX_FACTOR,
    factor_in,
    fingerprint,
    key_hash,
    leaf_of,
    numbers_limit,
    partition_of,
    partition_of_key,
    partition_shift,
)

counts = st.sampled_from([2**power for power in range(4, 17)])
hashes = st.integers(0, 2**32 - 1)


def test_the_hash_never_changes() -> None:
    """Data on disk and in other releases lies where these numbers say."""
    assert [key_hash(key) for key in (b"a", b"user:1", b"\x00" * 100)] == [1009084850, 3416794175, 202623366]
    assert fingerprint(b"user:1") == 6120565781388772718


@given(hashes, counts)
def test_a_partition_is_the_top_of_the_hash(hashed: int, count: int) -> None:
    partition = partition_of(hashed, count)
    assert partition == hashed * count >> 32
    assert 0 <= partition < count
    assert partition_of(hashed, count) == hashed >> partition_shift(count)


@given(hashes, counts, st.integers(0, 12))
def test_a_leaf_lies_in_its_partition_and_folds(hashed: int, count: int, power: int) -> None:
    leaf = leaf_of(hashed, count, 2**power)
    assert 0 <= leaf < 2**power
    if power:
        assert leaf_of(hashed, count, 2 ** (power - 1)) == leaf // 2
    assert partition_of(hashed, count) * 2**power + leaf == (hashed << power) * count >> 32


@given(st.binary(max_size=40))
def test_hashes_have_their_width(key: bytes) -> None:
    assert 0 <= key_hash(key) < 2**32
    assert 0 <= fingerprint(key) < 2**64


def test_keys_fill_partitions_evenly() -> None:
    counts_by_partition = [0] * DEFAULT_PARTITION_COUNT
    for number in range(100_000):
        counts_by_partition[partition_of(key_hash(b"key:%d" % number), DEFAULT_PARTITION_COUNT)] += 1
    assert min(counts_by_partition) > 50
    assert max(counts_by_partition) < 150


def test_namespaces_place_a_key_independently() -> None:
    together = sum(
        partition_of(key_hash(b"%d" % n), 16) == partition_of(key_hash(qualify("a", b"%d" % n)), 16)
        for n in range(3200)
    )
    assert 100 < together < 300


@pytest.mark.parametrize("count", [0, 1, 8, 15, 1000, 131_072, -16, True, "16", None])
def test_other_counts_are_refused_by_name(count: int) -> None:
    with pytest.raises(WireValueError, match=r"partition count: got .* power of two"):
        partition_shift(count)


def test_names_and_partitions_take_the_same_bytes_for_factors() -> None:
    assert MAX_FACTOR == FACTOR_LIMIT


@given(st.binary(min_size=1, max_size=20), counts)
def test_a_factor_in_a_key_numbers_its_partition(key: bytes, count: int) -> None:
    shift = partition_shift(count)
    plain = b"k" + key
    assert partition_of_key(plain, shift) == partition_of(key_hash(plain), count)
    assert factor_in(plain) == 0
    for name in (b"", b"web", b"a" * 64):
        unnumbered = b"\x00%c%b%b" % (len(name), name, key)
        assert partition_of_key(unnumbered, shift) == partition_of(key_hash(unnumbered), count)
        assert factor_in(unnumbered) == 0
    for factor in range(1, MAX_FACTOR + 1):
        numbered = b"\x00\x04web%c%b" % (factor, key)
        number = partition_of_key(numbered, shift)
        assert number == factor * count + partition_of(key_hash(numbered), count)
        assert number < numbers_limit(count)
        assert factor_in(numbered) == factor


@pytest.mark.parametrize("key", [b"\x00", b"\x00\x05web"])
def test_what_is_no_qualified_key_has_no_partition(key: bytes) -> None:
    with pytest.raises(IndexError):
        partition_of_key(key, 22)
    with pytest.raises(IndexError):
        factor_in(key)
