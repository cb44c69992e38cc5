"""Everybody is probed once a round, newcomers too; the timeout follows the network."""

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from dynacache.config.membership import MembershipConfig
from dynacache.membership.probes import Probe, ProbeOrder, RoundTrips
from dynacache.membership.state import Member


@given(st.integers(0, 2**32), st.sets(st.integers(0, 50), min_size=1, max_size=20))
def test_each_member_comes_once_a_round(seed: int, numbers: set[int]) -> None:
    order = ProbeOrder(random.Random(seed))
    names = [str(number) for number in sorted(numbers)]
    for name in [*names, *names]:
        order.add(name)
    for _ in range(3):
        assert sorted(str(order.next(lambda _: True)) for _ in names) == sorted(names)


def test_rounds_differ() -> None:
    order = ProbeOrder(random.Random(1))
    for number in range(10):
        order.add(str(number))
    rounds = [[order.next(lambda _: True) for _ in range(10)] for _ in range(5)]
    assert all(first != second for first, second in itertools.pairwise(rounds))


def test_the_longest_gap_is_two_rounds() -> None:
    order = ProbeOrder(random.Random(1))
    for number in range(10):
        order.add(str(number))
    turns = [order.next(lambda _: True) for _ in range(1_000)]
    places = [place for place, turn in enumerate(turns) if turn == "3"]
    assert max(b - a for a, b in itertools.pairwise(places)) <= 19


def test_the_unwanted_drop_out_and_may_come_back() -> None:
    order = ProbeOrder(random.Random(1))
    for name in "abc":
        order.add(name)
    assert {order.next(lambda name: name != "b") for _ in range(6)} == {"a", "c"}
    assert len(order) == 2
    order.add("b")
    assert {order.next(lambda _: True) for _ in range(6)} == {"a", "b", "c"}
    assert order.next(lambda _: False) is None
    assert len(order) == 0


def test_a_newcomer_does_not_repeat_or_skip_the_others() -> None:
    for seed in range(50):
        order = ProbeOrder(random.Random(seed))
        for name in "abcd":
            order.add(name)
        turns = [order.next(lambda _: True) for _ in range(2)]
        order.add("new")
        turns += [order.next(lambda _: True) for _ in range(2)]
        assert len([turn for turn in turns if turn != "new"]) == len({turn for turn in turns if turn != "new"})


def test_the_timeout_follows_the_round_trips_within_its_bounds() -> None:
    round_trips = RoundTrips(MembershipConfig())
    assert round_trips.timeout_s == 0.5
    for _ in range(15):
        round_trips.add(0.06)
    assert round_trips.timeout_s == 0.5
    round_trips.add(0.06)
    assert abs(round_trips.timeout_s - 0.18) < 1e-9
    for _ in range(128):
        round_trips.add(0.001)
    assert round_trips.timeout_s == 0.1
    for _ in range(128):
        round_trips.add(3.0)
    assert round_trips.timeout_s == 0.5


def test_a_probe_knows_its_next_step() -> None:
    probe = Probe(Member("a", "10.0.0.1", 7000, 1), 1, 0.0, 0.5, 1.0, relays={"b": True, "c": False})
    assert probe.next_deadline_s == 0.5
    probe.is_indirect = True
    assert probe.next_deadline_s == 1.0
    assert probe.missing_nacks == 1
