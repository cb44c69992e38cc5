"""Wall clocks: offset, drift without a jump, and being set right."""

import pytest

from sim.world.clocks import WALL_START_MS, WallClock
from sim.world.heap import START_S


def test_offset_and_drift() -> None:
    clock = WallClock(offset_ms=-50, drift_ppm=100)
    assert clock.now_ms(START_S) == WALL_START_MS - 50
    assert clock.now_ms(START_S + 1000) == WALL_START_MS - 50 + 1_000_100


def test_a_change_of_drift_makes_no_jump() -> None:
    clock = WallClock(drift_ppm=500)
    before = clock.now_ms(START_S + 100)
    clock.set_drift(START_S + 100, -500)
    assert clock.now_ms(START_S + 100) == pytest.approx(before, abs=1)
    assert clock.now_ms(START_S + 200) == pytest.approx(before + 100_000 - 50, abs=1)


def test_set_right() -> None:
    clock = WallClock(offset_ms=100, drift_ppm=500)
    clock.correct(START_S + 10)
    assert clock.now_ms(START_S + 20) == WALL_START_MS + 20_000
