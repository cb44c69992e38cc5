"""Sizes: units are what they say, nonsense names the option."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.cli.sizes import parse_size
from dynacache.errors import InvalidOption


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("4096", 4096),
        ("7B", 7),
        ("1kb", 1000),
        ("1KiB", 1024),
        ("256MiB", 256 * 2**20),
        ("1.5 GB", 1_500_000_000),
        (" 2GiB ", 2**31),
    ],
)
def test_sizes(text: str, count: int) -> None:
    assert parse_size(text, "--memory") == count


@given(st.integers(0, 2**60))
def test_plain_numbers_are_exact(count: int) -> None:
    assert parse_size(str(count), "--memory") == count


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1e9", "12 parsecs", "0x10", "1,5GB", "٣"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"--memory: got .* expected"):
        parse_size(text, "--memory")
