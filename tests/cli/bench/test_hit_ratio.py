"""Reference caches do what they say, our policies hold what they may, and the measurement covers every case."""

import random
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.cli.bench.hit_ratio import POLICIES, Request, exact_lru, measure, optimum, play_engine

EXCERPT = Path(__file__).parent.parent.parent / "data" / "web07-excerpt.txt.xz"


def of(text: str) -> list[Request]:
    return [(letter.encode(), 1) for letter in text]


def test_exact_lru() -> None:
    assert exact_lru(of("abcabc"), 2) == 0
    assert exact_lru(of("abacab"), 2) == 2
    assert exact_lru([(b"a", 3), (b"b", 2), (b"a", 3), (b"b", 2), (b"c", 9)], 4) == 0
    assert exact_lru([(b"a", 3), (b"b", 2), (b"a", 3), (b"b", 2), (b"c", 9), (b"a", 3)], 5) == 3


def _best(keys: tuple[str, ...], capacity: int) -> int:
    """The most hits that any choice of what to hold can have, by trying all."""
    states: dict[frozenset[str], int] = {frozenset(): 0}
    for key in keys:
        later: dict[frozenset[str], int] = {}
        for held, hits in states.items():
            hits += key in held
            wider = held | {key}
            for count in range(min(capacity, len(wider)) + 1):
                for kept in combinations(sorted(wider), count):
                    if later.get(frozenset(kept), -1) < hits:
                        later[frozenset(kept)] = hits
        states = later
    return max(states.values())


@given(st.lists(st.sampled_from("abcde"), max_size=14), st.integers(1, 3))
def test_the_optimum_is_what_no_choice_can_beat(keys: list[str], capacity: int) -> None:
    assert optimum(of("".join(keys)), capacity) == _best(tuple(keys), capacity)


@pytest.mark.parametrize("policy", POLICIES)
def test_our_policies_reach_what_is_to_be_expected(policy: str) -> None:
    draws = random.Random(3)
    keys = [b"hot%d" % (draws.random() ** 2 * 30) if draws.random() < 0.6 else b"%d" % n for n in range(3_000)]
    requests = [(key, 1) for key in keys]
    hits = play_engine(requests, 40, policy)
    assert exact_lru(requests, 40) * (0.6 if policy in ("ttl", "random") else 0.97) < hits <= optimum(requests, 40)
    sized = [(key, 100 + 50 * (len(key) % 3)) for key in keys]
    assert 0 < play_engine(sized, 40 * 150, policy) <= len(requests) - len(set(keys))


def test_everything_fits() -> None:
    requests = of("abcabcabc")
    assert play_engine(requests, 3, "s3fifo") == exact_lru(requests, 3) == optimum(requests, 3) == 6


def test_a_measurement_covers_traces_units_and_systems(tmp_path: Path) -> None:
    sized = tmp_path / "sized.txt"
    sized.write_text("".join(f"{number * 7 % 50} {number % 50 + 1}\n" for number in range(400)))
    told: list[str] = []
    found = measure([EXCERPT, sized], told.append, limit=400, shares=(0.1,))
    cases = {(each.trace, each.unit) for each in found}
    assert cases == {("web07-excerpt", "entries"), ("sized", "entries"), ("sized", "bytes")}
    assert len(told) == 3
    for trace, unit in cases:
        systems = {each.system for each in found if (each.trace, each.unit) == (trace, unit)}
        assert {"optimum", "exact lru", *POLICIES} <= systems
    assert all(0 <= each.hit_ratio <= 1 and each.ns_per_access > 0 for each in found)


def test_what_is_no_trace_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        measure([tmp_path / "missing.txt"], lambda _: None)
