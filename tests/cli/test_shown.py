"""Figures for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.cli.shown import cell, counted, shown_bytes, shown_instant, shown_span


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (8 << 20, "8.0 MiB"),
        (3 << 40, "3.0 TiB"),
        (5 << 50, "5120.0 TiB"),
    ],
)
def test_bytes(size: int, shown: str) -> None:
    assert shown_bytes(size) == shown


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_500, "1.5 s"),
        (90_000, "2 min"),
        (5_400_000, "1.5 h"),
        (36 * 3_600_000, "36.0 h"),
        (72 * 3_600_000, "3.0 days"),
    ],
)
def test_spans(milliseconds: int, shown: str) -> None:
    assert shown_span(milliseconds) == shown


def test_instants_are_those_of_the_cluster() -> None:
    assert shown_instant(0) == "-"
    assert shown_instant(1_700_000_000_123) == "2023-11-14 22:13:20.123"


def test_cells_and_counts() -> None:
    assert [cell(value) for value in (None, "", True, False, 0, "a")] == ["-", "-", "yes", "no", 0, "a"]
    assert (counted(1, "copy", "copies"), counted(2, "copy", "copies"), counted(0, "node")) == (
        "1 copy",
        "2 copies",
        "0 nodes",
    )


@given(st.floats(0, 1e18), st.floats(1, 100))
def test_more_bytes_never_look_like_less(size: float, factor: float) -> None:
    units = ("B", "KiB", "MiB", "GiB", "TiB")

    def value(shown: str) -> float:
        number, unit = shown.split()
        return float(number) * float(1024 ** units.index(unit))

    assert value(shown_bytes(size * factor)) >= value(shown_bytes(size)) * 0.95
