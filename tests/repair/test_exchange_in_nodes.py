"""Exchange in whole nodes: replicas that drifted apart become equal again without a client touching a key."""

from typing import Any

import attrs

from dynacache.config import Config
from dynacache.config.hints import HintConfig
from dynacache.config.repair import RepairConfig
from dynacache.config.storage import StorageSettings
from dynacache.types import Level
from dynacache.wire.messages import COMPARE, COMPARED, DELETE, DIFFERENCES, DONE, ENTRIES, GET, RECORDS, SET, VALUE
from tests.fake_cluster import FakeCluster

RAW = 1
KINDS = {COMPARE, COMPARED, ENTRIES, DIFFERENCES, RECORDS}
QUICK = RepairConfig(exchange_interval_s=2.0, confirm_s=1.0)


def _cluster(**sections: Any) -> FakeCluster:
    return FakeCluster(3, config=attrs.evolve(Config(repair=QUICK), **sections))


def _set(cluster: FakeCluster, at: str, keys: list[bytes], value: bytes, level: Level = Level.QUORUM) -> None:
    for reply in cluster.ask_many(at, [[SET, key, RAW, value, level] for key in keys]):
        assert reply[0] == DONE


def _drop_hints(cluster: FakeCluster) -> None:
    """Lose every hint, so that repair alone can help."""
    for node in cluster.nodes.values():
        for target, key, _ in list(node.hints.items()):
            node.hints.remove(target, key)


def _roots(cluster: FakeCluster) -> list[list[int]]:
    return [list(node.engine.roots) for node in cluster.nodes.values()]


def _apart(cluster: FakeCluster, name: str) -> None:
    for other in cluster.nodes:
        if other != name:
            cluster.cut_link(name, other)


def _traffic(cluster: FakeCluster) -> list[int]:
    return [content[0] for _, _, _, content in cluster.seen if isinstance(content, list) and content[0] in KINDS]


def test_writes_and_deletes_missed_behind_a_cut_are_repaired_without_reads() -> None:
    cluster = _cluster()
    keys = [b"key %d" % index for index in range(120)]
    _set(cluster, "n1", keys, b"old")
    cluster.run(10)
    _apart(cluster, "n3")
    cluster.run(0.5)
    _set(cluster, "n1", keys[:60], b"new")
    for reply in cluster.ask_many("n2", [[DELETE, key, Level.QUORUM] for key in keys[60:80]]):
        assert reply[0] == DONE
    _drop_hints(cluster)
    roots = _roots(cluster)
    assert roots[0] == roots[1] != roots[2]
    cluster.heal()
    cluster.run(15)
    roots = _roots(cluster)
    assert roots[0] == roots[1] == roots[2]
    assert cluster.ask("n3", [GET, keys[0], Level.ONE])[3] == b"new"
    assert all((cluster.record("n3", key) or b"")[1:] == (cluster.record("n1", key) or b"")[1:] for key in keys)
    statistics = [node.statistics() for node in cluster.nodes.values()]
    assert sum(each["exchange_records_received"] for each in statistics) >= 80  # type: ignore[misc]


def test_both_sides_of_a_split_worked_and_conflicts_are_counted() -> None:
    cluster = _cluster()
    keys = [b"key %d" % index for index in range(40)]
    _set(cluster, "n1", keys, b"old")
    cluster.run(5)
    _apart(cluster, "n3")
    cluster.run(0.5)
    _set(cluster, "n1", keys, b"majority")
    _set(cluster, "n3", keys, b"minority", Level.ONE)
    _drop_hints(cluster)
    cluster.heal()
    cluster.run(15)
    roots = _roots(cluster)
    assert roots[0] == roots[1] == roots[2]
    winners = {cluster.ask(name, [GET, key, Level.ONE])[3] for key in keys for name in cluster.nodes}
    assert winners == {b"minority"}
    conflicts = [node.statistics()["exchange_conflicts_merged"] for node in cluster.nodes.values()]
    assert sum(conflicts) >= len(keys)  # type: ignore[arg-type]


def test_a_healthy_cluster_at_rest_compares_one_digest_per_pair_and_interval() -> None:
    cluster = _cluster()
    _set(cluster, "n1", [b"key %d" % index for index in range(200)], b"value", Level.ALL)
    cluster.run(10)
    cluster.seen.clear()
    cluster.run(20)
    kinds = _traffic(cluster)
    assert set(kinds) == {COMPARE, COMPARED}
    assert 24 <= kinds.count(COMPARE) <= 36


def test_under_load_nothing_is_transferred() -> None:
    cluster = _cluster()
    keys = [b"key %d" % index for index in range(300)]
    cluster.run(5)
    cluster.seen.clear()
    for step in range(20):
        _set(cluster, "n1", keys, b"value %d" % step)
        cluster.run(0.3)
    assert RECORDS not in _traffic(cluster)
    assert sum(node.exchange.ground.counters.records_sent for node in cluster.nodes.values()) == 0


def test_a_delete_is_reaped_early_everywhere_and_a_late_value_does_not_come_back() -> None:
    storage = StorageSettings(gc_grace_min_ms=20_000, gc_grace_max_ms=200_000)
    cluster = _cluster(storage=storage, hints=HintConfig(lifetime_ms=10_000), coordination=_short())
    keys = [b"key %d" % index for index in range(30)]
    _set(cluster, "n1", keys, b"value", Level.ALL)
    late = cluster.record("n1", keys[0])
    assert late is not None
    for reply in cluster.ask_many("n1", [[DELETE, key, Level.QUORUM] for key in keys]):
        assert reply[0] == DONE
    cluster.run(90)
    assert all(node.engine.statistics().tombstones == 0 for node in cluster.nodes.values())
    roots = _roots(cluster)
    assert roots[0] == roots[1] == roots[2]
    node = cluster.nodes["n3"]
    assert node.shared.not_superseded(cluster.partition(keys[0]), keys[0], late) is None


def _short() -> Any:
    config = Config().coordination
    return attrs.evolve(config, longest_timeout_ms=5_000)


def test_a_suspended_machine_comes_back_stale_and_is_caught_up() -> None:
    storage = StorageSettings(gc_grace_min_ms=20_000, gc_grace_max_ms=100_000)
    cluster = _cluster(storage=storage, hints=HintConfig(lifetime_ms=10_000), coordination=_short())
    keys = [b"key %d" % index for index in range(20)]
    _set(cluster, "n1", keys, b"value", Level.ALL)
    cluster.run(5)
    cluster.paused.add("n3")
    _apart(cluster, "n3")
    for reply in cluster.ask_many("n1", [[DELETE, key, Level.QUORUM] for key in keys[:10]]):
        assert reply[0] == DONE
    _drop_hints(cluster)
    cluster.run(150)
    _drop_hints(cluster)
    assert all(cluster.record("n1", key) is None for key in keys[:10])
    cluster.paused.clear()
    node = cluster.nodes["n3"]
    cluster.perform("n3", node.handle(cluster.instant("n3"), [], []))
    assert len(node.engine.stale) == 1024
    cluster.heal()
    cluster.run(40)
    assert not node.engine.stale
    for name in cluster.nodes:
        assert all(cluster.record(name, key) is None for key in keys[:10]), "deleted long ago"
    assert [cluster.ask("n3", [GET, key, Level.ONE])[0] for key in keys[10:]] == [VALUE] * 10


def test_repair_now_is_answered_in_progress() -> None:
    cluster = _cluster()
    cluster.nodes["n1"].exchange.repair_now()
    progress = cluster.nodes["n1"].exchange.progress()
    assert progress["requested_partitions"] == 2 * 1024
    cluster.run(3)
    assert cluster.nodes["n1"].exchange.progress()["requested_partitions"] == 0
