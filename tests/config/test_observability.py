"""The section for key events and prefixes."""

import pytest

from dynacache.config import Config
from dynacache.config.observability import ObservabilityConfig
from dynacache.errors import InvalidOption


def test_key_events_are_off_until_asked_for() -> None:
    assert not Config().observability.key_events
    assert ObservabilityConfig(key_events=True).prefix_delimiter == ":"


@pytest.mark.parametrize("delimiter", ["", "x" * 9])
def test_a_delimiter_is_short_and_not_empty(delimiter: str) -> None:
    with pytest.raises(InvalidOption, match="prefix_delimiter: got"):
        ObservabilityConfig(prefix_delimiter=delimiter)
