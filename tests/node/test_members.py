"""The view of the cluster: joining, restarting, dying, and what clients are told."""

from dynacache.events import DatagramReceived
from dynacache.placement.table import MemberTable
from dynacache.types import Level
from dynacache.wire.messages import GET, MISS, TABLE, TOPOLOGY
from tests.fake_cluster import FakeCluster


def _states(cluster: FakeCluster, name: str) -> dict[str, str]:
    return {row["node"]: row["state"] for row in cluster.ask(name, [48, "status"], 0.01)[2]["members"]}


def test_a_later_node_is_known_to_all_and_moves_nothing() -> None:
    cluster = FakeCluster(3)
    before = cluster.nodes["n1"].shared.digest
    cluster.join("n4")
    cluster.run(2.0)
    assert all(set(_states(cluster, name)) == {"n1", "n2", "n3", "n4"} for name in cluster.nodes)
    assert all(node.shared.digest == before for node in cluster.nodes.values())
    assert cluster.ask("n1", [48, "status"])[2]["members"][3]["partitions"] == 0


def test_a_killed_node_is_suspected_then_dead_while_requests_go_on() -> None:
    cluster = FakeCluster(5)
    cluster.run(3.0)
    cluster.kill("n5")
    cluster.run(5.0)
    assert all(_states(cluster, name)["n5"] in ("suspect", "dead") for name in cluster.nodes)
    assert cluster.ask("n1", [GET, b"key", Level.QUORUM])[0] == MISS
    cluster.run(25.0)
    assert all(_states(cluster, name)["n5"] == "dead" for name in cluster.nodes)
    cluster.restart("n5")
    cluster.run(5.0)
    assert all(_states(cluster, name)["n5"] == "alive" for name in cluster.nodes)


def test_clients_are_told_the_table_and_every_change() -> None:
    cluster = FakeCluster(3)
    cluster.pushed.clear()
    cluster.join("n4")
    cluster.run(1.0)
    kind, rid, table, states = cluster.pushed[-1]
    assert (kind, rid) == (TOPOLOGY, 0)
    assert set(MemberTable.from_wire(table).entries) == set(states) == {"n1", "n2", "n3", "n4"}


def test_a_table_of_another_cluster_is_refused() -> None:
    cluster = FakeCluster(3)
    node = cluster.nodes["n1"]
    other = MemberTable.of(b"x" * 16, 1024, 3, node.members.table.entries.values())
    connection = node.links.by_node["n2"].connection
    node.handle(cluster.instant("n1"), [(connection, [[TABLE, 0, other.to_wire()]])])
    assert node.members.table.cluster_id == b"c" * 16
    assert node.counters.malformed_messages == 1


def test_any_datagram_is_survived() -> None:
    cluster = FakeCluster(3)
    for payload in (b"", b"garbage", bytes(1400), bytes(range(256)) * 5):
        cluster.tell("n1", DatagramReceived(payload, ("elsewhere", 9)))
    assert _states(cluster, "n1")["n1"] == "alive"
