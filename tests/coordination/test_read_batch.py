"""Batches of questions: every item is answered once, whatever becomes of the peer."""

from dynacache.coordination.read_batch import ReadBatch
from dynacache.types import Level
from dynacache.wire.messages import GET, READ_REPLY, SET, VALUE
from tests.fake_cluster import FakeCluster

RAW = 1


def _asked(count: int) -> tuple[FakeCluster, list[int]]:
    """A cluster where n1 has asked n2 or n3 for some keys and waits."""
    cluster = FakeCluster(3)
    for index in range(count):
        cluster.ask("n1", [SET, b"key %d" % index, RAW, b"value", Level.ALL])
    cluster.paused = {"n2", "n3"}
    cluster.nodes["n1"].asker.hedges_left = 0.0
    before = cluster.next_rid
    cluster.ask_many("n1", [[GET, b"key %d" % index, Level.QUORUM, 1_000] for index in range(count)], 0.002)
    return cluster, list(range(before, before + count))


def _waiting(cluster: FakeCluster) -> ReadBatch:
    (batch,) = cluster.nodes["n1"].shared.pending.values()
    assert isinstance(batch, ReadBatch)
    return batch


def test_answers_of_the_wrong_number_count_as_none() -> None:
    cluster, rids = _asked(3)
    node = cluster.nodes["n1"]
    (request_id,) = node.shared.pending
    connection = _waiting(cluster).target.connection
    node.handle(cluster.instant("n1"), [(connection, [[READ_REPLY, request_id, 0, [True]]])])
    assert node.counters.malformed_messages == 1
    cluster.paused = set()
    cluster.run(1.5)
    assert all(cluster.replies[rid][0][0] == VALUE for rid in rids)


def test_the_budget_limits_hedging_at_first_and_not_for_ever() -> None:
    cluster, rids = _asked(5)
    cluster.paused = {_waiting(cluster).target.node_id}
    cluster.run(0.3)
    assert not any(rid in cluster.replies for rid in rids), "no tokens, no hedge"
    cluster.run(0.4)
    assert all(len(cluster.replies[rid]) == 1 for rid in rids), "after the replica timeout everyone is asked elsewhere"


def test_items_end_at_the_deadline() -> None:
    cluster, rids = _asked(2)
    cluster.run(1.5)
    assert all(len(cluster.replies[rid]) == 1 for rid in rids)
    assert cluster.nodes["n1"].shared.pending == {}


def test_a_late_answer_changes_nothing() -> None:
    cluster, rids = _asked(2)
    cluster.run(1.5)
    cluster.paused = set()
    cluster.run(1.0)
    assert all(len(cluster.replies[rid]) == 1 for rid in rids)
