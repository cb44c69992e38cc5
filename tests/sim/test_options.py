"""Options: every seed gives a configuration that nodes accept; what is fixed is fixed and moves nothing else."""

import attrs
import pytest

from dynacache.storage.engine import Engine
from sim.draws import Draws
from sim.node_config import config
from sim.options import Options, draw, write_quorum


def test_every_seed_gives_options_that_nodes_accept() -> None:
    seen_nodes = set()
    for seed in range(200):
        options = draw(seed)
        seen_nodes.add(options.nodes)
        assert 3 <= options.nodes <= 9
        assert 1 <= options.replication_factor <= options.nodes
        storage = config(options).storage
        if seed < 40:
            Engine(storage, options.partition_count, Draws(seed).random("engine"))
    assert seen_nodes == {3, 4, 5, 6, 7, 9}


def test_a_fixed_option_changes_no_other() -> None:
    drawn = attrs.asdict(draw(17))
    fixed = attrs.asdict(draw(17, nodes=9))
    assert fixed.pop("nodes") == 9
    drawn.pop("nodes")
    assert fixed == drawn


def test_the_replication_factor_follows_the_nodes() -> None:
    assert draw(1, nodes=3, replication_factor=5).replication_factor == 3


def test_an_option_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match="unheard_of"):
        draw(1, unheard_of=1)


@pytest.mark.parametrize(("factor", "quorum"), [(1, 1), (2, 2), (3, 2), (5, 3)])
def test_quorums(factor: int, quorum: int) -> None:
    assert write_quorum(Options(replication_factor=factor)) == quorum


def test_an_absence_is_long_and_quiet() -> None:
    absences = [options for options in map(draw, range(300)) if options.duration_s == 100.0]
    assert 3 <= len(absences) <= 30
    for options in absences:
        assert set(options.fault_kinds) == {"crash", "stop", "join", "memory"}
        assert (options.loss_rate, options.duplicate_rate, options.reorder_rate) == (0.0, 0.0, 0.0)


def test_a_full_store_evicts_and_keeps_what_does_not_expire() -> None:
    full = [options for options in map(draw, range(300)) if options.keys == 200]
    assert full
    for options in full:
        assert (options.storage_limit_bytes, options.ttl_share) == (160_000, 0.0)
        assert options.eviction != "noeviction"
    assert {options.eviction for options in full} >= {"s3fifo", "lru"}
