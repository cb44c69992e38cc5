"""Lives of small clusters: every death is found, the load is flat, the same seed gives the same figures."""

import math

import attrs
import pytest

from sim.membership_scale import CRASH_S, PLAIN, SLOW_S, Life, combine, measure, percentile, repeats


@pytest.fixture(scope="module")
def lives() -> list[Life]:
    return [measure(10, seed) for seed in (1, 2)]


def test_every_death_is_found_by_all(lives: list[Life]) -> None:
    for life in lives:
        assert life.crashes == len(life.suspected_s) == len(life.dead_s) == len(life.buried_s) == 1
        assert life.suspected_s[0] + 4.0 <= life.dead_s[0] <= life.buried_s[0]
        assert life.suspected_s[0] < 5.0
        assert life.suspected_s[0] + 4.0 <= life.buried_s[0] < 30.0


def test_all_join_in_a_small_cluster(lives: list[Life]) -> None:
    assert {life.joined for life in lives} == {10}
    assert all(life.join_s < 5.0 for life in lives)


def test_a_life_lasts_120_seconds_after_joining(lives: list[Life]) -> None:
    assert [life.virtual_s for life in lives] == pytest.approx([120.0, 120.0])


def test_fair_weather_accuses_nobody(lives: list[Life]) -> None:
    assert [life.false_deaths_fair for life in lives] == [0, 0]
    assert [life.false_deaths_healthy for life in lives] == [0, 0]


def test_the_load_at_rest_does_not_grow_with_the_cluster(lives: list[Life]) -> None:
    larger = shortened(30, 5.0)
    assert larger.quiet.datagrams == pytest.approx(lives[0].quiet.datagrams, abs=0.1)
    assert larger.quiet.exchange_bytes > lives[0].quiet.exchange_bytes


def test_at_rest_there_are_probes_and_no_rumours(lives: list[Life]) -> None:
    for life in lives:
        assert life.quiet.probes == life.quiet.datagrams
        assert life.quiet.gossip == life.quiet.rumour_bytes == 0
        assert life.slow.probes + life.slow.gossip == pytest.approx(life.slow.datagrams)
        assert life.slow.probe_bytes + life.slow.rumour_bytes == pytest.approx(life.slow.datagram_bytes)


def test_what_an_event_costs_each_node_does_not_grow_with_the_cluster(lives: list[Life]) -> None:
    small, larger = combine(lives), combine([shortened(40, 5.0, CRASH_S, SLOW_S)])
    assert 5.0 < larger.datagrams_per_crash < 2 * small.datagrams_per_crash
    assert 1.0 < larger.datagrams_per_holdup < small.datagrams_per_holdup


def test_the_plain_protocol_has_neither_lifeguard_nor_last_calls() -> None:
    plain = measure(10, 1, PLAIN)
    assert plain.crashes == len(plain.buried_s) == 1
    assert plain.buried_s[0] - plain.suspected_s[0] == pytest.approx(4.0, abs=0.6)
    assert plain.holdups > 5


def test_slow_nodes_are_accused_and_cost_packets(lives: list[Life]) -> None:
    assert sum(life.false_suspicions_slow for life in lives) > 0
    assert all(life.slow.datagrams > life.quiet.datagrams for life in lives)


def test_the_same_seed_gives_the_same_figures(lives: list[Life]) -> None:
    assert measure(10, 1) == lives[0]


def test_a_large_cluster_is_settled_and_joined_by_a_tenth() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sim.membership_scale.COLD_LIMIT", 20)
        life = shortened(40, 0.5)
    assert life.joined == 4
    assert life.join_s < 10.0


def shortened(nodes: int, quiet_s: float, crash_s: float = 0.5, slow_s: float = 0.5) -> Life:
    """A life with shorter phases; the faulty ones are cut off where they are not looked at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sim.membership_scale.QUIET_S", quiet_s)
        patch.setattr("sim.membership_scale.CRASH_S", crash_s)
        patch.setattr("sim.membership_scale.SLOW_S", slow_s)
        return measure(nodes, 1)


def test_combine_adds_up(lives: list[Life]) -> None:
    summary = combine(lives)
    assert summary.lives == 2
    assert summary.crashes == 2
    assert summary.unburied == 0
    assert summary.buried_p99_s == max(each for life in lives for each in life.buried_s)
    assert summary.quiet.datagrams == pytest.approx(sum(life.quiet.datagrams for life in lives) / 2)


def test_combine_refuses_what_does_not_belong_together(lives: list[Life]) -> None:
    with pytest.raises(ValueError, match="expected one size"):
        combine([lives[0], attrs.evolve(lives[1], nodes=11)])
    with pytest.raises(ValueError, match="expected one size"):
        combine([])


def test_too_few_nodes_are_refused() -> None:
    with pytest.raises(ValueError, match="nodes: got 4, expected at least 5"):
        measure(4, 1)


def test_percentile() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(number) for number in range(1, 101)], 0.99) == 99.0
    assert percentile([7.0], 0.01) == 7.0
    assert math.isnan(percentile([], 0.5))


def test_small_clusters_live_more_often() -> None:
    assert [repeats(nodes) for nodes in (10, 100, 1_000)] == [20, 10, 1]
