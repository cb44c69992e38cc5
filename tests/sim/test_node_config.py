"""The configuration of a run's nodes: what the options say, within what the product accepts."""

from sim.cluster import SimulatedCluster
from sim.node_config import config
from sim.options import Options


def test_tombstones_outlive_hints_however_short_their_grace() -> None:
    for grace_ms in (1, 24 * 60 * 60 * 1000):
        settings = config(Options(tombstone_grace_ms=grace_ms, hint_lifetime_ms=20_000))
        assert settings.storage.gc_grace_max_ms == max(grace_ms, settings.storage.gc_grace_min_ms)
        assert settings.storage.gc_grace_min_ms > settings.hints.lifetime_ms


def test_queues_of_events_are_as_short_as_drawn() -> None:
    cluster = SimulatedCluster.start(1, subscribers=1, event_queue_limit=5, subscription_idle_s=3.0)
    events = [machine.node.observed.key_events for machine in cluster.world.machines.values() if machine.node]
    assert {(each.queue_limit_count, each.batch_limit_count, each.idle_limit_s) for each in events} == {(5, 1_024, 3.0)}
    assert config(cluster.options).observability.key_events
    assert not config(Options()).observability.key_events
