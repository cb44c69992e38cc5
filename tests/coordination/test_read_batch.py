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


def test_a_machine_that_is_owner_of_one_key_and_stand_in_for_another_is_repaired_as_owner() -> None:
    """Found by the simulator (seed 1147): the repair went out as a hint for a node that does not own the key."""
    cluster = FakeCluster(5)
    keys = [b"key %d" % index for index in range(200)]
    away, reader, peer = "n5", "n1", "n2"
    owned = next(key for key in keys if {reader, peer} < set(cluster.owners(key)) and away not in cluster.owners(key))
    stood_in = next(key for key in keys if reader in cluster.owners(key) and _stands_in(cluster, key, peer, away))
    cluster.ask(reader, [SET, owned, RAW, b"new", Level.ALL])
    cluster.kill(away)
    node = cluster.nodes[peer]
    node.engine.remove(cluster.partition(owned), owned)
    third = next(name for name in cluster.owners(owned) if name not in (reader, peer))
    cluster.cut_link(reader, third)
    cluster.ask_many(reader, [[GET, stood_in, Level.QUORUM, 0, 1], [GET, owned, Level.QUORUM]])
    assert cluster.record(peer, owned) is not None
    assert node.hints.counts() == {}


def _stands_in(cluster: FakeCluster, key: bytes, peer: str, away: str) -> bool:
    """Tell whether ``peer`` is the first fallback of the key while ``away`` is one of its owners."""
    placement = cluster.nodes[peer].members.placement
    partition = cluster.partition(key)
    return away in placement.owners(partition) and placement.preference(partition)[3] == peer
