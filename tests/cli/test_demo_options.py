"""Options of the demo: ranges, and a sentence for what is outside them."""

from typing import Any

import pytest

from dynacache.cli.demo_options import DemoOptions
from dynacache.errors import InvalidOption


def test_the_defaults_are_the_advertised_ones() -> None:
    options = DemoOptions()
    assert (options.nodes, options.seconds, options.read_share, options.value_bytes) == (5, 30.0, 0.8, 1024)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nodes", 2),
        ("nodes", 65),
        ("seconds", 0.5),
        ("workers", 0),
        ("keys", 0),
        ("read_share", 1.5),
        ("value_bytes", -1),
    ],
)
def test_what_is_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(InvalidOption, match=f"--{name.replace('_', '-')}: got {value}, expected"):
        DemoOptions(**{name: value})
