"""Hints come to their owners, slowly and once; old ones are offered before they end."""

import attrs

from dynacache.config import Config, CoordinationConfig, HintConfig, StorageSettings
from dynacache.placement.table import MemberState
from dynacache.types import Level
from dynacache.versioning import packed
from dynacache.wire.messages import DONE, SET, WRITE
from tests.fake_cluster import FakeCluster

RAW = 1


def _with_hints(config: Config | None = None, count: int = 20) -> tuple[FakeCluster, int]:
    """A cluster of three in which n3 missed ``count`` writes."""
    cluster = FakeCluster(3, config or Config(), repair=False)
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


def _ends(cluster: FakeCluster, name: str) -> dict[str, int]:
    """How many hints of a node have ended, by reason."""
    counters = cluster.nodes[name].counters.snapshot()
    reasons = ("delivered", "offered", "superseded", "expired", "lost")
    return {reason: counters[f"hints_{reason}"] for reason in reasons if counters[f"hints_{reason}"]}


def test_a_hint_is_offered_to_the_live_owners_before_its_end() -> None:
    hints = HintConfig(lifetime_ms=4_000)
    cluster, _ = _with_hints(attrs.evolve(Config(), hints=hints), count=2)
    cluster.run(2.0)
    assert cluster.nodes["n1"].hints.counts() == {"n3": 2}
    cluster.run(1.5)
    assert cluster.nodes["n1"].hints.counts() == {}
    assert _ends(cluster, "n1") == {"offered": 2}, "two of three owners hold it"


def test_hints_whose_target_owns_nothing_any_more_go_to_the_present_owners() -> None:
    cluster = FakeCluster(5, repair=False)
    key = next(key for key in (b"key %d" % number for number in range(100)) if "n1" not in cluster.owners(key))
    owners = cluster.owners(key)
    away = owners[-1]
    fallback = "n1"
    node = cluster.nodes[fallback]
    cluster.ask(owners[0], [SET, key, RAW, b"value", Level.ALL])
    record = cluster.record(away, key)
    assert record is not None
    cluster.kill(away)
    for name in owners[:-1]:
        cluster.nodes[name].engine.remove(cluster.partition(key), key)
    node.hints.add(away, cluster.partition(key), key, record, node.shared.now_ms, counted=True)
    cluster.set_state(away, MemberState.REMOVED)
    cluster.run(1.0)
    assert node.hints.counts() == {}
    assert _ends(cluster, fallback) == {"offered": 1}
    assert set(cluster.holders(key)) >= set(cluster.owners(key)) - {fallback}


def test_a_hint_that_a_write_under_way_leaves_after_the_owners_changed_is_looked_at_too() -> None:
    cluster, _ = _with_hints(attrs.evolve(Config(), coordination=CoordinationConfig(longest_timeout_ms=5_000)), count=1)
    replay, store = cluster.nodes["n1"].replay, cluster.nodes["n1"].hints
    ((_, key, hint),) = list(store.items())
    replay.table_changed()
    cluster.run(1.0)
    assert store.add("gone", hint.partition, key, hint.record, cluster.nodes["n1"].shared.now_ms, counted=False)
    cluster.run(3.0)
    assert "gone" in store.counts()
    cluster.run(3.0)
    assert "gone" not in store.counts(), "it waited for the last quarter of its life (seed 5)"


def test_an_owner_to_be_takes_the_hints_it_held_for_others() -> None:
    cluster = FakeCluster(4, repair=False)
    cluster.join("n5")
    cluster.run(0.2)
    node = cluster.nodes["n5"]
    key = b"key"
    cluster.ask("n1", [SET, key, RAW, b"value", Level.ALL])
    record = next(cluster.record(name, key) for name in cluster.holders(key))
    assert record is not None
    keys = [b"key %d" % number for number in range(50)]
    for each in keys:
        partition = cluster.partition(each)
        target = cluster.owners(each)[0]
        node.hints.add(target, partition, each, packed.strip_local(record), node.shared.now_ms, counted=True)
    cluster.set_state("n5", MemberState.JOINING)
    cluster.run(0.3)
    mine = [each for each in keys if "n5" in node.members.placement.write_owners(cluster.partition(each))]
    assert mine
    assert all(cluster.record("n5", each) is not None for each in mine)


def test_a_hint_whose_value_has_expired_ends_without_being_sent() -> None:
    cluster = FakeCluster(3, repair=False)
    cluster.cut_link("n1", "n3")
    cluster.cut_link("n2", "n3")
    assert cluster.ask("n1", [SET, b"key", RAW, b"value", Level.QUORUM, 100, 1_000], 0.3)[0] == DONE
    cluster.run(2.0)
    cluster.heal()
    cluster.run(8.0)
    assert _ends(cluster, "n1") == {"expired": 1}
    assert "n3" not in cluster.holders(b"key")


def test_a_hint_that_this_owner_knows_to_be_overwritten_ends_as_superseded() -> None:
    cluster, _ = _with_hints(count=1)
    node = cluster.nodes["n1"]
    key, partition = b"key 0", cluster.partition(b"key 0")
    ((_, _, hint),) = list(node.hints.items())
    time = packed.HEADER.unpack_from(hint.record)[5] + 1
    node.engine.remove(partition, key)
    fingerprint = node.engine.fingerprint(partition, key)
    node.engine.witness(partition, fingerprint, 2, time, (node.shared.now_ms // 1000) + 10_000, True)
    cluster.heal()
    cluster.run(6.0)
    assert _ends(cluster, "n1") == {"superseded": 1}


def test_nothing_is_sent_after_the_lifetime() -> None:
    """A holder that was suspended wakes with hints whose tombstones may have been reaped meanwhile."""
    hints = HintConfig(lifetime_ms=4_000)
    cluster, count = _with_hints(attrs.evolve(Config(), hints=hints))
    for _, _, hint in cluster.nodes["n1"].hints.items():
        hint.stored_ms -= 10_000
        hint.counted = True
    cluster.heal()
    cluster.seen.clear()
    cluster.run(8.0)
    assert _ends(cluster, "n1") == {"lost": count}
    assert not any(content[0] == WRITE for source, _, _, content in cluster.seen if source == "n1")
    assert len(cluster.nodes["n1"].engine.dirty) == count, "repair visits these partitions first"


def test_what_is_listed_of_hints() -> None:
    cluster, count = _with_hints()
    node = cluster.nodes["n1"]
    (row,) = node.replay.listing()
    assert (row["target"], row["hints"], row["next_replay_s"]) == ("n3", count, None)
    assert row["bytes"] == node.hints.total_bytes
    cluster.heal()
    cluster.run(1.0)
    (row,) = node.replay.listing()
    assert 3.0 < row["next_replay_s"] < 4.1


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
