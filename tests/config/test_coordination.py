"""Bounds of the coordination section are positive."""

import attrs
import pytest

from dynacache.config.coordination import CoordinationConfig
from dynacache.errors import InvalidOption


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(CoordinationConfig)])
def test_no_bound_may_be_zero(name: str) -> None:
    with pytest.raises(InvalidOption, match=f"{name}: got 0, expected"):
        CoordinationConfig(**{name: 0})


def test_a_valid_value_is_taken() -> None:
    assert CoordinationConfig(read_timeout_ms=123).read_timeout_ms == 123
