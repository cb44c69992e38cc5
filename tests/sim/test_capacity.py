"""The arithmetic of capacity, on round numbers."""

import attrs
import pytest

from dynacache.config.hints import HintConfig
from sim.capacity import Machine, Workload, nodes_for, plan
from sim.operation_costs import Cost, OperationCosts

READ = Cost(10e-6, 5e-6, 5e-6, turns=2.0, messages=2.0, client_bytes=1_000.0, peer_bytes=100.0)
WRITE = Cost(20e-6, 40e-6, 20e-6, turns=4.0, messages=4.0, client_bytes=1_000.0, peer_bytes=2_000.0)
COSTS = OperationCosts(1, 16, 100, 900, "quorum", "quorum", READ, WRITE)
WORKLOAD = Workload(peak_per_s=100_000.0)
MACHINE = Machine(memory_bytes=64_000_000_000, memory_share=0.75, skew=1.25, turn_s=10e-6, core_share=0.6)


def test_the_mean_of_a_day() -> None:
    assert Workload().mean_per_s == pytest.approx(57_870, abs=1)


def test_computing_of_a_node() -> None:
    # 0.8 x (20 + 2 x 10) + 0.2 x (80 + 4 x 10) = 56 microseconds, 100,000 times a second, over 16 nodes.
    found = plan(16, WORKLOAD, MACHINE, COSTS, COSTS, 200.0)
    assert found.core_use == pytest.approx(0.35)
    assert found.core_use_busiest == pytest.approx(0.4375)
    assert found.requests_per_node_s == 6_250
    assert found.loss.core_use_busiest == pytest.approx(0.4375 * 16 / 15)


def test_memory_holds_three_copies() -> None:
    found = plan(16, WORKLOAD, MACHINE, COSTS, COSTS, 200.0)
    assert found.entry_bytes == 1_200
    assert found.entries == pytest.approx(16 * 48e9 / 1_200 / 3)
    assert found.payload_bytes == pytest.approx(found.entries * 1_000)
    assert found.loss.copies_bytes == pytest.approx(48e9)


def test_traffic_between_nodes_passes_two_cards() -> None:
    found = plan(16, WORKLOAD, MACHINE, COSTS, COSTS, 200.0)
    assert found.client_bits_per_node_s == pytest.approx(8 * 100_000 * 1_000 / 16)
    assert found.peer_bits_per_node_s == pytest.approx(2 * 8 * (80_000 * 100 + 20_000 * 2_000) / 16)
    assert found.messages_per_node_s == pytest.approx((80_000 * 2 + 20_000 * 4) / 16)


def test_hints_fill_by_bytes_or_by_number() -> None:
    roomy = HintConfig(target_limit_bytes=2**40, limit_bytes=2**40, target_limit_count=1_000)
    found = plan(16, WORKLOAD, MACHINE, COSTS, COSTS, 200.0, hints=roomy)
    assert found.loss.hints_per_s == pytest.approx(20_000 * 3 / 16)
    assert found.loss.hints_full_after_s == pytest.approx(15 * 1_000 / 3_750)
    tight = attrs.evolve(roomy, target_limit_bytes=1_000_000)
    found = plan(16, WORKLOAD, MACHINE, COSTS, COSTS, 200.0, hints=tight)
    assert found.loss.hints_full_after_s == pytest.approx(15_000_000 / (3_750 * 1_400))


def test_hints_do_not_outlive_their_life() -> None:
    endless = HintConfig(target_limit_bytes=2**50, limit_bytes=2**50, target_limit_count=2**40, lifetime_ms=60_000)
    assert plan(16, WORKLOAD, MACHINE, COSTS, COSTS, 200.0, hints=endless).loss.hints_full_after_s == 60.0


def test_nodes_for_data_and_for_the_peak() -> None:
    by_memory, by_core = nodes_for(1e12, WORKLOAD, MACHINE, COSTS, 200.0)
    assert by_memory == 75  # 1.2 TB, three times, by 48 GB
    assert by_core == 13  # 5.6 cores x 1.25 / 0.6 = 11.7, and one may be lost
    assert nodes_for(1.0, Workload(peak_per_s=1.0), MACHINE, COSTS, 200.0) == (1, 4)


def test_a_cluster_has_more_nodes_than_copies() -> None:
    with pytest.raises(ValueError, match="nodes: got 3, expected more than the 3 copies"):
        plan(3, WORKLOAD, MACHINE, COSTS, COSTS, 200.0)
