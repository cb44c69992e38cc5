"""Batches are values: made once, equal when they say the same."""

import attrs
import pytest

from dynacache.cli.bench.batch import Batch


def test_a_batch_is_a_value() -> None:
    batch = Batch(b"x", 1, 9, "r")
    assert batch == Batch(b"x", 1, 9, "r")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        batch.count = 2  # type: ignore[misc]
