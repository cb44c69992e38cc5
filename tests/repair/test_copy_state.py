"""States of copies survive the wire, and nothing malformed gets through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from dynacache.repair.copy_state import STATE_LIMIT_BYTES, pack_partitions, pack_state, unpack_partitions, unpack_state

PARTITIONS = st.builds(BitMap, st.sets(st.integers(0, 1023)))


@given(PARTITIONS, PARTITIONS)
def test_what_is_packed_is_unpacked(warming: BitMap, stale: BitMap) -> None:
    assert unpack_state(pack_state(warming, stale), 1024) == (warming, stale)


def test_nothing_costs_nothing_and_all_costs_little() -> None:
    assert pack_state(BitMap(), BitMap()) == [b"", b""]
    assert len(pack_partitions(BitMap(range(65_536)))) < 100
    assert len(pack_partitions(BitMap(range(0, 65_536, 2)))) <= STATE_LIMIT_BYTES


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_a_set_or_a_value_error(packed: bytes) -> None:
    try:
        found = unpack_partitions(packed, 1024)
    except ValueError:
        return
    assert not found or found.max() < 1024


@pytest.mark.parametrize("state", [None, 3, [], [b""], [b"", 5], [b"", b"", b""], "xy", [b"x" * 20_000, b""]])
def test_a_malformed_state_is_refused(state: object) -> None:
    with pytest.raises(ValueError, match=r"state|partitions"):
        unpack_state(state, 1024)


def test_a_partition_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="got 1024, expected numbers below 1024"):
        unpack_partitions(pack_partitions(BitMap([1024])), 1024)
