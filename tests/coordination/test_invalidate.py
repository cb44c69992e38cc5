"""Invalidation in a cluster: levels, partitions, repair that is silent again, limits, and the end of epochs."""

from typing import Any

import attrs
import pytest

from dynacache.config import Config, CoordinationConfig, StorageSettings
from dynacache.errors import InvalidRequest, Overloaded, UncertainError, error_from_code
from dynacache.types import Level, MissReason
from dynacache.wire.epoch_names import ALL_TAGS, FLUSH, PATTERN, TAG, epoch_name
from dynacache.wire.messages import (
    DELETE,
    DONE,
    ERROR,
    FLAG_METADATA,
    GET,
    INCREMENT,
    INVALIDATE,
    MISS,
    NUMBER,
    SET,
    TOUCH,
    VALUE,
)
from tests.fake_cluster import FakeCluster

RAW = 1


def put(cluster: FakeCluster, name: str, key: bytes, *tags: bytes, level: int = Level.ALL, ttl_ms: int = 0) -> None:
    reply = cluster.ask(name, [SET, key, RAW, b"v", level, 900, ttl_ms, 0, 0, None, None, list(tags) or None])
    assert reply[:1] == [DONE], reply


def invalidate(cluster: FakeCluster, name: str, kind: int, argument: bytes = b"", level: int = Level.QUORUM) -> Any:
    return cluster.ask(name, [INVALIDATE, kind, b"", argument, level, 900], 1.0)


def found(cluster: FakeCluster, name: str, key: bytes, level: int = Level.QUORUM) -> bool:
    return bool(cluster.ask(name, [GET, key, level])[0] == VALUE)


def test_each_kind_ends_what_it_concerns_and_nothing_else() -> None:
    for kind, argument, ended in (
        (TAG, b"red", {b"user:1"}),
        (PATTERN, b"user:*", {b"user:1", b"user:2"}),
        (FLUSH, b"", {b"user:1", b"user:2", b"item"}),
    ):
        cluster = FakeCluster(3)
        put(cluster, "n1", b"user:1", b"red", b"blue")
        put(cluster, "n2", b"user:2", b"blue")
        put(cluster, "n3", b"item")
        cluster.run(1.0)
        assert invalidate(cluster, "n2", kind, argument)[:1] == [DONE]
        for name in cluster.nodes:
            assert {key for key in (b"user:1", b"user:2", b"item") if not found(cluster, name, key)} == ended
        put(cluster, "n3", b"user:1", b"red")
        assert found(cluster, "n1", b"user:1")
        cluster.run(15.0)
        assert all(node.engine.is_swept for node in cluster.nodes.values())
        assert found(cluster, "n1", b"user:1"), "what was written later is not swept"


def test_within_the_window_a_write_is_a_miss_unless_told_otherwise() -> None:
    for strict in (True, False):
        cluster = FakeCluster(3)
        put(cluster, "n1", b"k", b"t")
        assert cluster.ask("n1", [INVALIDATE, TAG, b"", b"t", Level.QUORUM, 0, strict])[0] == DONE
        assert not found(cluster, "n1", b"k")
        put(cluster, "n1", b"k", b"t")
        assert found(cluster, "n1", b"k") is not strict


def test_a_quorum_read_after_a_quorum_invalidation_is_clean_whoever_is_asked() -> None:
    cluster = FakeCluster(3)
    put(cluster, "n1", b"k", b"t")
    cluster.run(1.0)
    cluster.cut_link("n1", "n3")
    assert invalidate(cluster, "n1", TAG, b"t")[:1] == [DONE]
    assert cluster.ask("n3", [GET, b"k", Level.QUORUM], 1.0)[0] == MISS


def test_a_cut_off_side_keeps_its_value_until_the_two_meet() -> None:
    cluster = FakeCluster(3)
    put(cluster, "n1", b"k", b"t")
    put(cluster, "n1", b"other")
    cluster.run(1.0)
    for other in ("n2", "n3"):
        cluster.cut_link("n1", other)
    assert invalidate(cluster, "n2", TAG, b"t")[:1] == [DONE]
    assert invalidate(cluster, "n1", TAG, b"u", Level.ALL)[:1] == [ERROR]
    assert isinstance(error_from_code(invalidate(cluster, "n1", TAG, b"u")[2], ""), UncertainError)
    assert found(cluster, "n1", b"k", Level.ONE), "available, and behind"
    cluster.heal()
    cluster.run(30.0)
    for name, node in cluster.nodes.items():
        assert not found(cluster, name, b"k")
        assert found(cluster, name, b"other")
        assert set(node.shared.catalogue.entries) == {epoch_name(TAG, b"", tag) for tag in (b"t", b"u")}
    assert cluster.holders(b"k") == []


def test_an_older_untagged_version_does_not_return_from_a_replica_that_missed_the_tagged_one() -> None:
    cluster = FakeCluster(3)
    put(cluster, "n1", b"k")
    cluster.run(1.0)
    for other in ("n1", "n2"):
        cluster.cut_link("n3", other)
    put(cluster, "n1", b"k", b"t", level=Level.QUORUM)
    cluster.run(1.0)
    for node in cluster.nodes.values():
        for target in list(node.hints.targets()):
            for key in list(node.hints.keys(target)):
                node.hints.remove(target, key)
    assert invalidate(cluster, "n1", TAG, b"t", Level.ONE)[:1] == [DONE]
    cluster.run(15.0)
    assert found(cluster, "n3", b"k", Level.ONE)
    cluster.heal()
    cluster.run(60.0)
    for name in cluster.nodes:
        assert not found(cluster, name, b"k")


def test_late_hints_do_not_bring_back_what_has_ended() -> None:
    cluster = FakeCluster(3)
    for other in ("n1", "n2"):
        cluster.cut_link("n3", other)
    put(cluster, "n1", b"k", b"t", level=Level.QUORUM)
    cluster.run(1.0)
    assert invalidate(cluster, "n2", TAG, b"t", Level.ONE)[:1] == [DONE]
    cluster.run(15.0)
    assert cluster.holders(b"k") == []
    assert sum(node.hints.counts().get("n3", 0) for node in cluster.nodes.values()) > 0
    cluster.heal()
    cluster.run(30.0)
    assert cluster.holders(b"k") == []
    assert not any(node.hints.counts() for node in cluster.nodes.values())


def test_a_restarted_node_learns_epochs_and_is_not_filled_with_what_has_ended() -> None:
    cluster = FakeCluster(3)
    for number in range(40):
        put(cluster, "n1", b"k%d" % number, b"t%d" % (number % 2))
    cluster.run(1.0)
    cluster.kill("n3")
    assert invalidate(cluster, "n1", TAG, b"t0", Level.ONE)[:1] == [DONE]
    cluster.restart("n3")
    cluster.run(60.0)
    assert cluster.nodes["n3"].engine.statistics().entries == 20
    assert cluster.nodes["n3"].shared.catalogue.digest == cluster.nodes["n1"].shared.catalogue.digest


def test_repair_is_silent_again_after_the_sweep() -> None:
    cluster = FakeCluster(3)
    for number in range(60):
        put(cluster, "n1", b"k%d" % number, *([b"t"] if number % 3 else []))
    for number in range(60):
        put(cluster, "n2", b"k%d" % number, b"t" if number % 2 else b"u")
    cluster.run(40.0)
    assert invalidate(cluster, "n1", TAG, b"t")[:1] == [DONE]
    cluster.run(60.0)

    def repaired() -> list[object]:
        return [
            (node.exchange.statistics()["records_sent"], node.exchange.statistics()["differences"])
            for node in cluster.nodes.values()
        ]

    before = repaired()
    cluster.run(60.0)
    assert repaired() == before
    for node in cluster.nodes.values():
        for partition in range(1024):
            assert node.engine.check_trees(partition)
        assert node.engine.usage() == node.engine.recount()
    roots = [node.engine.roots for node in cluster.nodes.values()]
    assert roots[0] == roots[1] == roots[2]


def test_nodes_that_know_different_epochs_do_not_play_ping_pong() -> None:
    cluster = FakeCluster(3)
    for number in range(30):
        put(cluster, "n1", b"k%d" % number, b"t")
    cluster.run(30.0)
    node = cluster.nodes["n1"]
    node.engine.epochs.raise_to(TAG, b"", b"t", node.shared.clock.last)
    node.engine.epochs_risen()
    before = sum(int(str(each.exchange.statistics()["records_sent"])) for each in cluster.nodes.values())
    cluster.run(120.0)
    after = sum(int(str(each.exchange.statistics()["records_sent"])) for each in cluster.nodes.values())
    assert node.engine.statistics().entries == 0
    assert after - before <= 30 * 2 * 13, "at most once an exchange and peer, never back and forth"
    cluster.nodes["n2"].shared.catalogue.merge(epoch_name(TAG, b"", b"t"), node.shared.clock.last, b"")
    cluster.run(60.0)
    last = sum(int(str(each.exchange.statistics()["records_sent"])) for each in cluster.nodes.values())
    cluster.run(60.0)
    assert last == sum(int(str(each.exchange.statistics()["records_sent"])) for each in cluster.nodes.values())


def test_counters_start_at_zero_after_an_invalidation() -> None:
    cluster = FakeCluster(3)
    for name in cluster.nodes:
        assert cluster.ask(name, [INCREMENT, b"n", 5, Level.ALL])[0] == NUMBER
    cluster.run(1.0)
    assert invalidate(cluster, "n1", PATTERN, b"n")[:1] == [DONE]
    cluster.run(1.0)
    for count, name in enumerate(cluster.nodes, 1):
        assert cluster.ask(name, [INCREMENT, b"n", 2, Level.ALL])[2] == 2 * count


def test_touching_keeps_the_tags_and_does_not_revive() -> None:
    cluster = FakeCluster(3)
    put(cluster, "n1", b"k", b"t", ttl_ms=60_000)
    for ttl_ms in (90_000, 30_000):
        assert cluster.ask("n2", [TOUCH, b"k", ttl_ms, Level.QUORUM])[2] is True
        assert cluster.ask("n1", [GET, b"k", Level.QUORUM, 0, FLAG_METADATA])[4]["g"] == [b"t"]
    cluster.run(1.0)
    assert invalidate(cluster, "n3", TAG, b"t")[:1] == [DONE]
    assert cluster.ask("n1", [TOUCH, b"k", 90_000, Level.QUORUM])[2] is False
    assert not found(cluster, "n2", b"k")


def test_an_invalidated_version_goes_and_newer_ones_stay() -> None:
    cluster = FakeCluster(3)
    put(cluster, "n1", b"k")
    first = cluster.ask("n1", [GET, b"k", Level.QUORUM, 0, FLAG_METADATA])[4]["c"]
    put(cluster, "n1", b"k")
    assert cluster.ask("n2", [DELETE, b"k", Level.QUORUM, 0, 0, 0, first])[2] is False
    assert found(cluster, "n3", b"k")
    second = cluster.ask("n1", [GET, b"k", Level.QUORUM, 0, FLAG_METADATA])[4]["c"]
    assert cluster.ask("n2", [DELETE, b"k", Level.QUORUM, 0, 0, 0, second])[2] is True
    assert not found(cluster, "n3", b"k")


# Limits and time.


def small(**settings: int) -> Config:
    return Config(
        coordination=CoordinationConfig(**settings),
        storage=StorageSettings(limit_bytes=64 * 1024 * 1024),
    )


def test_too_many_tags_are_folded_and_end_too_much_never_too_little() -> None:
    cluster = FakeCluster(3, small(tag_epochs_limit=8))
    put(cluster, "n1", b"old", b"whatever")
    put(cluster, "n1", b"untagged")
    cluster.run(1.0)
    for number in range(12):
        assert invalidate(cluster, f"n{1 + number % 3}", TAG, b"t%d" % number)[:1] == [DONE]
        cluster.run(0.01)
    cluster.run(10.0)
    digests = {node.shared.catalogue.digest for node in cluster.nodes.values()}
    assert len(digests) == 1
    for name, node in cluster.nodes.items():
        assert node.engine.epochs.tag_count <= 8
        assert node.engine.epochs.get(ALL_TAGS, b"") > 0
        assert not found(cluster, name, b"old")
        assert found(cluster, name, b"untagged")


def test_who_acknowledges_a_tag_that_was_folded_at_once_knows_the_fold() -> None:
    cluster = FakeCluster(3, config=small(tag_epochs_limit=2))
    put(cluster, "n1", b"k", b"now")
    for tag in (b"x", b"y"):
        assert cluster.ask("n1", [INVALIDATE, TAG, b"", tag, Level.ALL], 0.01)[0] == DONE
    message = [INVALIDATE, TAG, b"", b"now", Level.ALL, 900, False]  # dated before the others, so it is the oldest
    reply = cluster.ask("n1", message, 0.01)
    assert reply[:1] == [DONE]
    assert all(node.engine.epochs.get(ALL_TAGS, b"") for node in cluster.nodes.values())
    assert not any(found(cluster, name, b"k", Level.ONE) for name in cluster.nodes)


def test_one_pattern_too_many_is_refused_and_one_known_is_not() -> None:
    cluster = FakeCluster(3, small(pattern_epochs_limit=2))
    for glob in (b"a*", b"b*", b"a*"):
        assert invalidate(cluster, "n1", PATTERN, glob)[:1] == [DONE]
    refused = invalidate(cluster, "n2", PATTERN, b"c*")
    assert refused[2] == Overloaded.code
    assert "128" not in refused[3]
    node = cluster.nodes["n3"]
    for number in range(20):
        node.shared.clock.last += 1
        node.shared.catalogue.merge(epoch_name(PATTERN, b"", b"x%d" % number), node.shared.clock.last, b"")
    assert len(node.engine.epochs.patterns(b"")) <= 8
    assert node.engine.epochs.get(FLUSH, b"") > 0


def test_a_flush_takes_the_place_of_what_it_includes() -> None:
    cluster = FakeCluster(3)
    for kind, argument in ((TAG, b"t"), (PATTERN, b"x*"), (FLUSH, b"")):
        cluster.run(0.1)
        assert invalidate(cluster, "n1", kind, argument)[:1] == [DONE]
    cluster.run(5.0)
    for node in cluster.nodes.values():
        assert list(node.shared.catalogue.entries) == [epoch_name(FLUSH, b"")]
        assert node.engine.epochs.count == 1


def test_epochs_retire_everywhere_and_do_not_come_back() -> None:
    config = Config()
    storage = attrs.evolve(config.storage, gc_grace_max_ms=3_700_000)
    cluster = FakeCluster(3, attrs.evolve(config, storage=storage))
    for node in cluster.nodes.values():
        node.invalidator.retention_ms = 60_000
    assert invalidate(cluster, "n1", TAG, b"t")[:1] == [DONE]
    cluster.run(50.0)
    assert all(node.engine.epochs for node in cluster.nodes.values())
    cluster.run(40.0)
    for node in cluster.nodes.values():
        assert not node.engine.epochs
        assert not node.shared.catalogue.entries
        assert not node.shared.catalogue.merge(epoch_name(TAG, b"", b"t"), 1 << 16, b""), "too old to be taken again"


def test_an_epoch_does_not_retire_where_a_copy_is_stale() -> None:
    """Seed 716: with all nodes apart for longer than the grace limit, only one knew the epoch, and forgot it."""
    cluster = FakeCluster(1, copies=1)
    assert invalidate(cluster, "n1", TAG, b"t")[:1] == [DONE]
    node = cluster.nodes["n1"]
    node.invalidator.retention_ms = 60_000
    node.engine.stale.add(3)
    node.shared.now_ms += 90_000
    node.invalidator.tick()
    assert node.engine.epochs
    assert node.shared.catalogue.merge(epoch_name(TAG, b"", b"u"), node.shared.now_ms - 70_000 << 16, b"")
    node.engine.stale.clear()
    node.invalidator.tick()
    assert not node.engine.epochs
    assert not node.shared.catalogue.merge(epoch_name(TAG, b"", b"v"), node.shared.now_ms - 70_000 << 16, b"")


def test_an_epoch_that_retires_makes_nobody_sweep_again() -> None:
    cluster = FakeCluster(1, copies=1)
    node = cluster.nodes["n1"]
    node.invalidator.retention_ms = 60_000
    assert invalidate(cluster, "n1", TAG, b"t")[:1] == [DONE]
    cluster.run(30.0)
    assert invalidate(cluster, "n1", TAG, b"u")[:1] == [DONE]
    cluster.run(20.0)
    sweeps = node.engine.sweeps
    cluster.run(35.0)
    assert [name for name, _ in node.shared.catalogue.entries.items()] == [epoch_name(TAG, b"", b"u")]
    assert node.engine.sweeps == sweeps


def test_what_a_wrong_clock_has_dated_is_forgotten_with_the_catalogue() -> None:
    cluster = FakeCluster(1, copies=1)
    assert invalidate(cluster, "n1", TAG, b"t")[:1] == [DONE]
    node = cluster.nodes["n1"]
    node.catalogue_sync.forget_after(0)
    assert not node.engine.epochs


@pytest.mark.parametrize(
    "fields",
    [
        [1, b"", b"t"],
        [TAG, b"", b""],
        [TAG, b"", b"x" * 129],
        [TAG, "text", b"t"],
        [TAG, b"n" * 65, b"t"],
        [TAG, b"No name", b"t"],
        [PATTERN, b"", b"x" * 1_025],
        [FLUSH, b"", b"something"],
        [TAG, b"", b"t", 5],
        [TAG, b"", b"t", 2, -1],
        [TAG, b"", b"t", 2, 0, True, 1],
        [],
    ],
)
def test_bad_requests_get_a_clear_error_and_change_nothing(fields: list[Any]) -> None:
    cluster = FakeCluster(1, copies=1)
    reply = cluster.ask("n1", [INVALIDATE, *fields])
    assert reply[2] == InvalidRequest.code
    assert "got" in reply[3]
    assert not cluster.nodes["n1"].shared.catalogue.entries


@pytest.mark.parametrize("tags", ["text", [b""], [1], [b"%d" % number for number in range(65)]])
def test_bad_tags_are_refused(tags: Any) -> None:
    cluster = FakeCluster(1, copies=1)
    for flags in (0, FLAG_METADATA):
        reply = cluster.ask("n1", [SET, b"k", RAW, b"v", 0, 0, 0, flags, 0, None, None, tags])
        assert reply[2] == InvalidRequest.code
    assert cluster.ask("n1", [GET, b"k"])[2] == MissReason.NEVER_WRITTEN
