"""The turns of a node while entries expire, on few entries, in this process and in a child."""

from dynacache.cli.bench import expiry_turns
from dynacache.node.cleaning import DRAIN_S


def test_everything_expires_in_time_and_in_short_turns() -> None:
    figures = expiry_turns.run_here(3_000, 2.0)
    assert (figures.entries, figures.left) == (3_000, 0)
    assert 0 < figures.late_s <= DRAIN_S + 0.2
    assert 0 < figures.longest_turn_ms < 100
    assert figures.turns > 4 * 2_000
    assert figures.quiet_p99_ms > 0
    assert figures.meanwhile_p99_ms > 0
    assert all(each > 2**20 for each in figures.resident_bytes)


def test_a_child_tells_the_same_figures() -> None:
    figures = expiry_turns.measure(500, 1.0)
    assert (figures.entries, figures.left, len(figures.resident_bytes)) == (500, 0, 3)
