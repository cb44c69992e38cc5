"""What the soak makes of its samples."""

import os

import attrs
import pytest

from dynacache.cli.bench.soak import Memory, SoakFigures, Watch
from dynacache.cli.bench.soak_load import Found
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
    figures = SoakFigures(100, 1.0, found, found, found, found, memory, memory, (memory,), {})
    assert figures.kept_rate == pytest.approx(1.0)


def test_the_mixture_above_is_priced_at_what_its_parts_cost_below() -> None:
    inserting = Found(1_000, 0, 0, 1, 1.0, 1.0, 1.0, 1.0, 1.0, 0, 0.03)
    below = Found(1_000, 0, 0, 1, 1.0, 1.0, 1.0, 1.0, 1.0, 0, 0.02, 100)
    churn = Found(1_000, 0, 50, 1, 1.0, 1.0, 1.0, 1.0, 1.0, 0, 0.048, 100)
    memory = Memory(0.9, 1.0, 1.0, 10)
    figures = SoakFigures(100, 1.0, inserting, below, inserting, churn, memory, memory, (memory,), {})
    assert churn.missing_share == 0.5
    assert figures.kept_of_inserts == (1.0, 1.0)
    assert figures.kept_of_mixture == pytest.approx((0.4 * 30 + 0.6 * 20) / 48)
    assert figures.kept_cpu_rate == pytest.approx(20 / 48)
    nothing = attrs.evolve(inserting, requests=0)
    idle = attrs.evolve(figures, inserting=nothing)
    assert (idle.kept_of_inserts, idle.kept_of_mixture) == ((0.0, 0.0), 0.0)
