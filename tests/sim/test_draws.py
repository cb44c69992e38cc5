"""Draws: reproducible, independent of each other, in range, and even enough."""

import subprocess
import sys

import pytest

from sim.draws import Draws


def test_a_stream_depends_on_seed_labels_and_position_alone() -> None:
    first = [Draws(7).stream("link", "a", 3).bits() for _ in range(2)]
    draws = Draws(7)
    draws.stream("other").bits()
    stream = draws.stream("link", "a", 3)
    assert [stream.bits(), *first] == [first[0]] * 3
    others = [Draws(8).stream("link", "a", 3), Draws(7).stream("link", "a", 4), Draws(7).stream("link", "a3")]
    assert first[0] not in [each.bits() for each in others]


def test_draws_are_the_same_in_every_process() -> None:
    code = "from sim.draws import Draws; s = Draws(1).stream('x', 2); print([s.bits() for _ in range(20)])"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(outputs) == 1


def test_ranges() -> None:
    stream = Draws(1).stream("ranges")
    uniform = [stream.uniform(2.0, 4.0) for _ in range(2000)]
    assert 2.0 <= min(uniform) < 2.01 < 3.99 < max(uniform) < 4.0
    assert {stream.integer(3, 5) for _ in range(100)} == {3, 4, 5}
    assert sum(stream.chance(0.25) for _ in range(4000)) == pytest.approx(1000, abs=120)
    assert not stream.chance(0.0)
    assert {stream.choice("abc") for _ in range(100)} == set("abc")


def test_weights_and_samples() -> None:
    stream = Draws(2).stream("weights")
    drawn = [stream.weighted([("a", 3.0), ("b", 1.0), ("c", 0.0)]) for _ in range(4000)]
    assert drawn.count("a") == pytest.approx(3000, abs=150)
    assert "c" not in drawn
    sample = stream.sample(range(10), 4)
    assert len(set(sample)) == 4
    assert sorted(stream.sample([1, 2], 5)) == [1, 2]


def test_a_generator_for_others_is_keyed_likewise() -> None:
    assert Draws(1).random("node", "a").random() == Draws(1).random("node", "a").random()
    assert Draws(1).random("node", "a").random() != Draws(1).random("node", "b").random()
