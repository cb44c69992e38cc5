"""Levels, timeouts, times to live, staleness: what is accepted and what it means."""

import math
from typing import Any

import pytest

from dynacache.client.options import LEVEL_DEFAULT, Options, checked_timeout_s, level_of, ttl_ms_of
from dynacache.errors import InvalidRequest
from dynacache.types import Level


@pytest.mark.parametrize("level", list(Level))
def test_levels_by_name(level: Level) -> None:
    assert level_of(level.name.lower()) == level_of(level) == int(level)


def test_no_level_is_the_namespace_default() -> None:
    assert level_of(None) == LEVEL_DEFAULT == 0


@pytest.mark.parametrize("level", ["QUORUM", "two", 2, 0, True, b"one"])
def test_other_levels_are_refused(level: Any) -> None:
    with pytest.raises(InvalidRequest, match="strict_quorum"):
        level_of(level)


@pytest.mark.parametrize(
    ("ttl", "expected"), [(None, 0), (1, 1000), (0.0001, 1), (1.5, 1500), (0.0015, 2), (math.inf, -1)]
)
def test_ttl(ttl: float | None, expected: int) -> None:
    assert ttl_ms_of(ttl) == expected


@pytest.mark.parametrize("ttl", [0, -1, math.nan, -math.inf, 2**31, "1"])
def test_bad_ttl(ttl: Any) -> None:
    with pytest.raises(InvalidRequest, match="ttl"):
        ttl_ms_of(ttl)


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, 3601, "1", None])
def test_bad_timeout(timeout: Any) -> None:
    with pytest.raises(InvalidRequest, match="timeout"):
        checked_timeout_s(timeout)
    with pytest.raises(InvalidRequest, match="timeout"):
        Options(timeout_s=timeout)


@pytest.mark.parametrize("max_staleness", [-1, math.nan, "1"])
def test_bad_staleness(max_staleness: Any) -> None:
    with pytest.raises(InvalidRequest, match="max_staleness"):
        Options(max_staleness=max_staleness)
    with pytest.raises(InvalidRequest, match="max_staleness"):
        Options().read(None, max_staleness)


def test_a_call_overrides_its_client() -> None:
    options = Options("quorum", "all")
    assert options.read(None, None) == (Level.QUORUM, False)
    assert options.read("one", None) == (Level.ONE, False)
    assert options.write(None) == Level.ALL
    assert options.write(Level.ONE) == Level.ONE


@pytest.mark.parametrize(
    ("of_client", "of_call", "expected"),
    [
        (None, None, (Level.QUORUM, False)),
        (None, 0, (Level.QUORUM, False)),
        (None, 0.5, (Level.ONE, True)),
        (2.0, None, (Level.ONE, True)),
        (2.0, 0, (Level.QUORUM, False)),
    ],
)
def test_staleness_above_zero_reads_at_one(
    of_client: float | None, of_call: float | None, expected: tuple[int, bool]
) -> None:
    assert Options("quorum", None, 1.0, of_client).read(None, of_call) == expected


def test_a_read_without_bound_goes_where_writes_go() -> None:
    assert Options().read(None, None) == (LEVEL_DEFAULT, False)
