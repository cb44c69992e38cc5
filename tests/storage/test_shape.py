"""The state of a store: its parts know every shard, and the limit must hold them twice."""

import pytest

from dynacache.errors import InvalidOption
from tests.storage.builders import engine_of, key_of, value


def test_a_limit_that_does_not_hold_the_empty_store_twice_is_refused() -> None:
    base = engine_of(16, limit_bytes=20_500).usage().total_bytes
    assert engine_of(16, limit_bytes=2 * base).usage().total_bytes == base
    with pytest.raises(InvalidOption, match=f"got {2 * base - 1}, expected at least {2 * base} for 16 partitions"):
        engine_of(16, limit_bytes=2 * base - 1)


def test_leaves_are_paid_for_by_the_first_entry_of_a_shard() -> None:
    engine = engine_of(4)
    assert engine.usage().trees_bytes == 0
    engine.put(2, key_of(1), value())
    first = engine.usage().trees_bytes
    engine.put(2, key_of(2), value())
    assert engine.usage().trees_bytes == first > 0
    assert engine.usage() == engine.recount()
