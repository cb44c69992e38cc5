"""Hints come to their owners, slowly and once; old ones are offered before they end."""

import attrs

from dynacache.config import Config, HintConfig, StorageSettings
from dynacache.types import Level
from dynacache.wire.messages import DONE, SET
from tests.fake_cluster import FakeCluster

RAW = 1


def _with_hints(config: Config | None = None, count: int = 20) -> tuple[FakeCluster, int]:
    """A cluster of three in which n3 missed ``count`` writes."""
    cluster = FakeCluster(3, config or Config())
    cluster.cut_link("n1", "n3")
    cluster.cut_link("n2", "n3")
    for index in range(count):
        assert cluster.ask("n1", [SET, b"key %d" % index, RAW, b"value", Level.QUORUM, 100], 0.15)[0] == DONE
    assert cluster.nodes["n1"].hints.counts() == {"n3": count}
    return cluster, count


def test_hints_wait_until_the_target_has_settled() -> None:
    cluster, count = _with_hints()
    cluster.heal()
    cluster.run(4.5)
    assert cluster.nodes["n1"].hints.counts() == {"n3": count}
    cluster.run(2.0)
    assert cluster.nodes["n1"].hints.counts() == {}
    assert all(cluster.record("n3", b"key %d" % index) for index in range(count))


def test_replay_keeps_to_its_rate() -> None:
    hints = HintConfig(replay_bytes_per_s=1_000, replay_batch_count=5)
    cluster, count = _with_hints(attrs.evolve(Config(), hints=hints))
    cluster.heal()
    cluster.run(5.3)
    assert 0 < cluster.nodes["n1"].counters.hints_delivered < count
    cluster.run(5.0)
    assert cluster.nodes["n1"].hints.counts() == {}


def test_a_hint_that_changed_under_way_stays() -> None:
    cluster, _ = _with_hints(count=1)
    store = cluster.nodes["n1"].hints
    ((_, key, hint),) = list(store.items())
    assert not store.delivered("n3", key, b"an older record")
    assert store.delivered("n3", key, hint.record)


def test_a_hint_at_its_end_is_offered_to_the_live_owners() -> None:
    hints = HintConfig(lifetime_ms=3_000)
    cluster, _ = _with_hints(attrs.evolve(Config(), hints=hints), count=2)
    cluster.run(5.0)
    assert cluster.nodes["n1"].hints.counts() == {}
    assert cluster.nodes["n1"].counters.hints_lost == 0, "two of three owners hold it"


def test_a_counted_hint_that_reaches_too_few_owners_is_counted_as_lost() -> None:
    config = attrs.evolve(Config(), hints=HintConfig(lifetime_ms=3_000))
    cluster = FakeCluster(5, config)
    owners = cluster.owners(b"key")
    (fallback, *_) = sorted(set(cluster.nodes) - set(owners))
    for owner in owners:
        for name in cluster.nodes:
            if name != owner:
                cluster.cut_link(owner, name)
    assert cluster.ask(fallback, [SET, b"key", RAW, b"value", Level.ONE, 100], 0.3)[0] == DONE
    cluster.run(8.0)
    assert sum(node.counters.hints_lost for node in cluster.nodes.values()) > 0
    assert any(note.event == "hint.lost" for _, note in cluster.notes)


def test_a_stopping_node_hands_its_hints_over_without_waiting() -> None:
    cluster, count = _with_hints()
    cluster.heal()
    cluster.run(0.1)
    cluster.stop("n1", 5.0)
    cluster.run(2.0)
    assert "n1" in cluster.stopped
    assert all(cluster.record("n3", b"key %d" % index) for index in range(count))


def test_a_last_offer_that_finds_no_room_at_home_ends_the_hint_and_no_node() -> None:
    storage = StorageSettings(limit_bytes=16 << 20, eviction="noeviction")
    hints = HintConfig(lifetime_ms=3_000)
    cluster, count = _with_hints(attrs.evolve(Config(), hints=hints, storage=storage), 5)
    engine = cluster.nodes["n1"].engine
    for index in range(count):
        engine.remove(cluster.partition(b"key %d" % index), b"key %d" % index)
    engine.set_limit(1)
    cluster.run(5.0)
    assert cluster.nodes["n1"].hints.counts() == {}
    assert len(engine.dirty) == count


def test_what_a_stop_cannot_hand_over_in_time_is_told() -> None:
    cluster, count = _with_hints()
    cluster.heal()
    cluster.run(0.1)
    cluster.paused = {"n3"}
    cluster.stop("n1", 0.5)
    cluster.run(3.0)
    assert "n1" in cluster.stopped
    told = [note.fields for name, note in cluster.notes if name == "n1" and note.event == "hints.left"]
    assert told == [{"hints": count, "counted": 0}]
