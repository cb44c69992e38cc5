"""Rules that span sections."""

import pytest

from dynacache.config import Config, HintConfig, StorageSettings
from dynacache.errors import InvalidOption


def test_the_defaults_are_valid() -> None:
    assert Config().cluster.replication_factor == 3


def test_hints_must_die_before_tombstones_may_be_reaped() -> None:
    with pytest.raises(InvalidOption, match="gc_grace_min_ms: got 1000, expected more than"):
        Config(storage=StorageSettings(gc_grace_min_ms=1_000, gc_grace_max_ms=2_000), hints=HintConfig(lifetime_ms=900))
