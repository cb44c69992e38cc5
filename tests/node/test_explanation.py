"""What a node tells of one key: true, complete, and without touching it."""

import msgpack

from dynacache.node.explanation import explain
from dynacache.types import Level
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.wire.messages import DELETE, ERROR, GET, REPORT, SET
from tests.fake_cluster import FakeCluster

RAW = 1


def test_a_copy_is_told_with_its_clock_and_expiry() -> None:
    cluster = FakeCluster(5, repair=False)
    owners = cluster.owners(b"key")
    cluster.ask(owners[0], [SET, b"key", RAW, b"value", Level.ALL, 0, 60_000])
    told = cluster.ask(owners[1], [REPORT, "explain", b"key"])[2]
    assert told["owners"] == owners
    assert told["role"] == "owner"
    assert (told["warming"], told["stale"], told["hints"], told["last_miss"]) == (False, False, [], None)
    record = told["copy"]["record"]
    assert record["found"] is True
    assert record["expire_ms"] - record["updated_ms"] == 60_000
    assert [each["kind"] for each in record["versions"]] == ["value"]
    assert record["versions"][0]["payload_bytes"] == 5
    assert len(record["context"]) == 1
    (other,) = sorted(set(cluster.nodes) - set(owners))[:1]
    assert explain(cluster.nodes[other], b"key")["role"] == "not an owner"
    assert explain(cluster.nodes[other], b"key")["copy"]["held"] is False


def test_a_delete_an_eviction_and_a_miss_are_told() -> None:
    cluster = FakeCluster(3, repair=False)
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL])
    cluster.ask("n1", [DELETE, b"key", Level.ALL])
    cluster.run(2.0)
    cluster.ask("n1", [GET, b"key", Level.QUORUM])
    told = explain(cluster.nodes["n1"], b"key")
    assert told["copy"]["record"]["tombstone_age_ms"] > 1_900
    assert told["last_miss"]["reason"] == "deleted"
    cluster.ask("n1", [SET, b"gone", RAW, b"value", Level.ALL])
    engine = cluster.nodes["n1"].engine
    engine.set_limit(engine.usage().total_bytes - 1)
    engine.collect(engine._now_ms)
    copy = explain(cluster.nodes["n1"], b"gone")["copy"]
    assert (copy["held"], copy["evicted"]) == (False, True)
    assert copy["evicted_version_ms"] > 0


def test_siblings_and_hints_are_told() -> None:
    cluster = FakeCluster(3, repair=False)
    cluster.cut_link("n1", "n3")
    cluster.cut_link("n2", "n3")
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.QUORUM, 100], 0.2)
    node = cluster.nodes["n1"]
    other = packed.write(None, ActorIssuer(77), node.shared.clock.last, 0, RAW, b"other", 1)[1]
    node.shared.merge(cluster.partition(b"key"), b"key", other)
    told = explain(node, b"key")
    assert len(told["copy"]["record"]["versions"]) == 2
    assert [hint["target"] for hint in told["hints"]] == ["n3"]
    assert told["hints"][0]["counted"] is False
    assert msgpack.unpackb(msgpack.packb(told)) == told, "it can travel"


def test_looking_changes_nothing() -> None:
    cluster = FakeCluster(3, repair=False)
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL, 0, 1_000])
    cluster.nodes["n1"].shared.now_ms += 5_000
    before = cluster.nodes["n1"].engine.statistics()
    assert explain(cluster.nodes["n1"], b"key")["copy"]["record"]["found"] is False
    assert cluster.nodes["n1"].engine.statistics() == before


def test_a_key_must_be_named() -> None:
    cluster = FakeCluster(1)
    for message in ([REPORT, "explain"], [REPORT, "explain", "text"], [REPORT, "explain", b""]):
        reply = cluster.ask("n1", message)
        assert reply[0] == ERROR
        assert "expected a key" in reply[3]
