"""What a node reports of its requests: hot keys at the node they were sent to, misses by reason and prefix."""

from typing import Any

import attrs

from dynacache.config import Config
from dynacache.config.observability import ObservabilityConfig
from dynacache.node.observed import REPORTED_PREFIXES_LIMIT
from dynacache.types import Level, MissReason
from dynacache.wire.messages import DELETE, GET, MISS, REPORT, SET
from tests.fake_cluster import FakeCluster


def report(cluster: FakeCluster, name: str, topic: str) -> dict[str, Any]:
    """One node's report."""
    told: dict[str, Any] = cluster.ask(name, [REPORT, topic], 0.0)[2]
    return told


def test_misses_are_counted_by_reason_and_prefix() -> None:
    cluster = FakeCluster()
    cluster.ask("n1", [SET, b"user:1", 0, b"v"])
    cluster.ask("n1", [DELETE, b"user:1"])
    cluster.ask("n1", [SET, b"page:1", 0, b"v", 3, 0, 1_000])
    cluster.run(3.0)
    for key, level in ((b"user:1", 1), (b"user:1", 2), (b"user:2", 2), (b"page:1", 1), (b"page:1", 2), (b"plain", 1)):
        assert cluster.ask("n1", [GET, key, level])[0] == MISS
    told = report(cluster, "n1", "misses")
    assert {name: count for name, count in told["by_reason"].items() if count} == {
        "deleted": 2,
        "never_written": 2,
        "expired": 2,
    }
    rows = {prefix: {name for name, count in by_reason.items() if count} for prefix, by_reason, _ in told["prefixes"]}
    assert rows == {b"user": {"deleted", "never_written"}, b"page": {"expired"}, b"": {"never_written"}}
    assert not any(told["other"].values())
    assert report(cluster, "n2", "misses")["by_reason"]["deleted"] == 0


def test_a_plain_value_that_expired_is_told_from_one_never_written() -> None:
    cluster = FakeCluster()
    cluster.ask("n2", [SET, b"brief", 0, b"v", Level.ALL, 0, 700])
    for seconds in (0.8, 5.0):
        cluster.run(seconds)
        for level in (Level.ONE, Level.QUORUM, Level.STRICT_QUORUM, Level.ALL):
            assert cluster.ask("n1", [GET, b"brief", level])[2] == MissReason.EXPIRED
    assert cluster.record("n1", b"brief") is None
    assert cluster.ask("n1", [GET, b"never", Level.QUORUM])[2] == MissReason.NEVER_WRITTEN


def test_rows_beyond_the_limit_are_reported_together() -> None:
    cluster = FakeCluster(1)
    cluster.ask_many("n1", [[GET, b"%d:x" % number] for number in range(REPORTED_PREFIXES_LIMIT + 30)])
    told = report(cluster, "n1", "misses")
    assert len(told["prefixes"]) == REPORTED_PREFIXES_LIMIT
    assert told["other"]["never_written"] == 30


def test_the_delimiter_is_an_option() -> None:
    config = attrs.evolve(Config(), observability=ObservabilityConfig(prefix_delimiter="/"))
    cluster = FakeCluster(1, config)
    cluster.ask("n1", [GET, b"a:b/c"])
    told = report(cluster, "n1", "misses")
    assert (told["delimiter"], told["prefixes"][0][0]) == ("/", b"a:b")


def test_hot_keys_are_told_by_the_node_that_was_asked() -> None:
    cluster = FakeCluster()
    for _ in range(40):
        cluster.ask_many("n2", [[GET, b"hot"] for _ in range(50)], 0.05)
    top = report(cluster, "n2", "hot")["keys"]
    assert top[0][0] == b"hot"
    assert 500 < top[0][1] < 1_500
    assert report(cluster, "n1", "hot")["keys"] == []
