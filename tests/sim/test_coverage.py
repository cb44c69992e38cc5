"""Branches that many seeds must reach are named, and missed by name."""

from sim.coverage import EXPECTED, unreached


def test_what_was_never_reached_is_named_with_its_meaning() -> None:
    everything = dict.fromkeys(EXPECTED, 1)
    assert unreached(everything) == []
    assert unreached(everything | {"store evict": 0}) == ["store evict (eviction)"]
    assert len(unreached({})) == len(EXPECTED) >= 20
