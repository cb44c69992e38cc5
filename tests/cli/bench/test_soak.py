"""What the soak makes of its samples."""

import os

import pytest

from dynacache.cli.bench.soak import Memory, SoakFigures, Watch
from tests.cli.bench.test_soak_load import PHASE, carried_out


def test_samples_are_summed_up_as_parts_of_the_limit() -> None:
    watch = Watch(os.getpid())
    watch.samples += [(1.0, 50), (2.0, 90), (3.0, 100), (4.0, 104), (9.0, 500)]
    assert watch.between(2.0, 4.0, 100) == Memory(0.9, 1.0, 1.04, 3)
    assert watch.between(5.0, 6.0, 100) == Memory(0.0, 0.0, 0.0, 0)


def test_a_look_is_a_sample_and_none_of_a_process_that_is_not_there() -> None:
    watch, nobody = Watch(os.getpid()), Watch(2**22 + 1)
    watch.look()
    nobody.look()
    assert [counted > 10 * 2**20 for _, counted in watch.samples] == [True]
    assert nobody.samples == []


def test_throughput_above_the_limit_is_told_as_a_part_of_that_below() -> None:
    found, _ = carried_out(PHASE)
    memory = Memory(0.9, 1.0, 1.0, 10)
    figures = SoakFigures(100, 1.0, found, found, found, memory, memory, (memory,), {})
    assert figures.kept_rate == pytest.approx(1.0)
