"""Bounds of the hints section are positive."""

import attrs
import pytest

from dynacache.config.hints import HintConfig
from dynacache.errors import InvalidOption


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(HintConfig)])
def test_no_bound_may_be_zero(name: str) -> None:
    with pytest.raises(InvalidOption, match=f"{name}: got 0, expected"):
        HintConfig(**{name: 0})


def test_a_valid_value_is_taken() -> None:
    assert HintConfig(lifetime_ms=123).lifetime_ms == 123
