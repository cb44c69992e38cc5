"""The store's section: what it accepts, and one clear sentence for what it does not."""

from typing import Any

import pytest

from dynacache.config.storage import StorageSettings
from dynacache.errors import InvalidOption


def test_the_defaults_are_those_of_the_brief() -> None:
    settings = StorageSettings()
    assert settings.limit_bytes == 256 * 1024 * 1024
    assert (settings.gc_grace_min_ms, settings.gc_grace_max_ms) == (3_600_000, 86_400_000)
    assert settings.largest_value_bytes == 16 * 1024 * 1024
    assert settings.eviction == "s3fifo"


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        ("limit_bytes", 0),
        ("eviction", "fifo"),
        ("tombstone_share", 0.0),
        ("tombstone_share", 0.51),
        ("ghost_share", -1.0),
        ("gc_grace_min_ms", 0),
        ("gc_grace_max_ms", 1),
        ("largest_value_bytes", -5),
        ("collect_count", 0),
    ],
)
def test_a_wrong_value_is_named(option: str, wrong: Any) -> None:
    with pytest.raises(InvalidOption, match=rf"storage\.{option}: got '?{wrong}'?, expected"):
        StorageSettings(**{option: wrong})
