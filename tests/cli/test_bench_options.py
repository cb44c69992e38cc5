"""Options of the bench: ranges, rounds, and a sentence for what is outside them."""

from typing import Any

import pytest

from dynacache.cli.bench_options import BenchOptions
from dynacache.errors import InvalidOption


def test_comparisons_take_at_least_seven_rounds() -> None:
    assert BenchOptions(against="redis").rounds_wanted >= 7
    assert BenchOptions(against="redis", rounds=2).rounds_wanted == 2
    assert BenchOptions().rounds_wanted == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nodes", 0),
        ("connections", 0),
        ("depth", (1, 128)),
        ("rate", (0.0,)),
        ("value_bytes", -1),
        ("read_share", 1.1),
        ("keys", 1),
        ("seconds", 0.0),
        ("rounds", 0),
    ],
)
def test_what_is_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(InvalidOption, match=f"--{name.replace('_', '-')}: got .* expected"):
        BenchOptions(**{name: value})
