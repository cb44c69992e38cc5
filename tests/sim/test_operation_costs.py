"""Costs of operations: messages and bytes are exact, computing comes from the clock that is handed in."""

import itertools

import pytest

from dynacache.types import Level
from sim.operation_costs import OperationCosts, entry_overhead_bytes, measure


def costs(**options: int | Level) -> OperationCosts:
    """Costs by a clock that ticks once each time it is read."""
    ticks = itertools.count()
    return measure(lambda: float(next(ticks)), operations=32, **{"nodes": 5, **options})  # type: ignore[arg-type]


def test_turns_and_messages_of_lone_operations() -> None:
    found = costs()
    assert (found.read.turns, found.read.messages) == (3.0, 2.0)
    assert (found.write.turns, found.write.messages) == (5.0, 4.0)
    assert found.read.computing_s == 3.0
    assert found.write.computing_s == 5.0


def test_a_read_at_one_is_answered_by_its_coordinator() -> None:
    found = costs(read_level=Level.ONE)
    assert (found.read.turns, found.read.messages, found.read.peer_bytes) == (1.0, 0.0, 0.0)


def test_values_travel_once_to_the_client_and_twice_between_nodes() -> None:
    small, large = costs(value_bytes=100), costs(value_bytes=1_100)
    assert large.read.client_bytes - small.read.client_bytes == pytest.approx(1_000, abs=8)
    assert large.read.peer_bytes - small.read.peer_bytes == pytest.approx(0, abs=8)
    assert large.write.client_bytes - small.write.client_bytes == pytest.approx(1_000, abs=8)
    assert large.write.peer_bytes - small.write.peer_bytes == pytest.approx(2_000, abs=16)


def test_a_batch_shares_turns_and_messages() -> None:
    alone, together = costs(), costs(batch=16)
    assert together.write.turns < alone.write.turns / 2
    assert together.read.messages < alone.read.messages


@pytest.mark.parametrize("nodes", [4, 12])
def test_an_operation_concerns_its_owners_alone(nodes: int) -> None:
    assert costs(nodes=nodes).write == costs(nodes=5).write


def test_an_entry_costs_less_than_the_budget() -> None:
    plain, expiring = (
        entry_overhead_bytes(entries_per_partition=100, expires=False),
        entry_overhead_bytes(entries_per_partition=100),
    )
    assert 50 < plain <= expiring < 300


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="batch: got 0"):
        costs(batch=0)
    with pytest.raises(ValueError, match="key_bytes: got 8"):
        costs(key_bytes=8)
