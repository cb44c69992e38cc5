"""The section `memory`: ranges, and nothing in force by default."""

import attrs
import pytest

from dynacache.config.memory import MemoryConfig
from dynacache.errors import InvalidOption


def test_no_limit_by_default() -> None:
    assert MemoryConfig().limit_bytes == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit_bytes", -1),
        ("hints_share", 0.0),
        ("buffers_share", 0.51),
        ("floor_share", -0.1),
        ("aim_share", 1.0),
        ("aim_share", 0.4),
        ("interval_s", 0.0),
        ("interval_s", 11.0),
    ],
)
def test_what_is_out_of_range_is_named(name: str, value: float) -> None:
    with pytest.raises(InvalidOption, match=rf"memory\.{name}: got {value}, expected"):
        MemoryConfig(**{name: value})  # type: ignore[arg-type]


def test_every_field_has_a_range_or_is_checked() -> None:
    assert {field.name for field in attrs.fields(MemoryConfig)} == {
        "limit_bytes",
        "hints_share",
        "buffers_share",
        "floor_share",
        "aim_share",
        "interval_s",
    }
