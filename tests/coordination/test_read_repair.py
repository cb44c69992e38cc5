"""Read repair brings the merged version to those who have less, and to nobody else."""

from dynacache.types import Level
from dynacache.wire.messages import GET, SET, WRITE
from tests.fake_cluster import FakeCluster

RAW = 1


def _n3_missed(cluster: FakeCluster) -> None:
    """n3 misses a write, and its hint is thrown away."""
    for name in ("n1", "n2"):
        cluster.cut_link(name, "n3")
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.QUORUM, 100], 0.3)
    cluster.nodes["n1"].hints.remove("n3", b"key")
    cluster.heal()
    cluster.run(0.05)
    assert cluster.record("n3", b"key") is None


def test_a_replica_that_missed_a_write_gets_it_from_a_read_at_all() -> None:
    cluster = FakeCluster(3)
    _n3_missed(cluster)
    cluster.ask("n1", [GET, b"key", Level.ALL])
    assert cluster.record("n3", b"key") is not None
    assert cluster.nodes["n1"].counters.read_repairs == 1


def test_a_read_at_the_replica_that_missed_it_repairs_its_own_copy() -> None:
    cluster = FakeCluster(3)
    _n3_missed(cluster)
    assert cluster.ask("n3", [GET, b"key", Level.QUORUM])[3] == b"value"
    assert cluster.record("n3", b"key") is not None


def test_repair_that_cannot_finish_leaves_a_marked_answer_at_quorum() -> None:
    cluster = FakeCluster(3)
    _n3_missed(cluster)
    full = cluster.nodes["n3"].engine
    full.set_limit(1)
    cluster.kill("n2")
    reply = cluster.ask("n1", [GET, b"key", Level.QUORUM, 300, 2], 0.6)
    assert reply[3] == b"value"
    assert reply[4]["r"]["unrepaired"] is True
    assert cluster.nodes["n1"].counters.unrepaired_reads == 1


def test_equal_copies_cause_no_repair() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL])
    cluster.seen.clear()
    cluster.ask("n2", [GET, b"key", Level.ALL])
    assert not [content for *_, content in cluster.seen if content[0] == WRITE]
