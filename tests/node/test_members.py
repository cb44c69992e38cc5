"""The view of the cluster: joining, restarting, dying, and what clients are told."""

import attrs

from dynacache.events import DatagramReceived, Note
from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberTable
from dynacache.types import Level
from dynacache.wire.messages import GET, MISS, TABLE, TOPOLOGY
from tests.fake_cluster import FakeCluster
from tests.placement.strategies import entry, table_of


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
    kind, rid, table, states, clock_ms, compressions, factors = cluster.pushed[-1]
    assert compressions == {}
    assert factors == {}
    assert (kind, rid) == (TOPOLOGY, 0)
    assert 0 <= cluster.now_s * 1000 - clock_ms <= 1_000
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


def test_an_entry_that_is_written_here_reaches_everyone() -> None:
    cluster = FakeCluster(3)
    members = cluster.nodes["n1"].members
    members.write_entry(members.table.entries["n3"].at_removal(1))
    cluster.perform("n1", members.shared.effects)
    cluster.run(0.1)
    assert {node.members.table.entries["n3"].removal for node in cluster.nodes.values()} == {1}
    assert len({node.shared.digest for node in cluster.nodes.values()}) == 1


def test_a_removal_and_how_far_its_member_had_come_are_part_of_the_digest() -> None:
    cluster = FakeCluster(3)
    members = cluster.nodes["n1"].members
    digests = [members.shared.digest]
    for written in (
        members.table.entries["n3"].at_removal(1),
        attrs.evolve(members.table.entries["n3"], version=5),
        members.table.entries["n3"].at_removal(2),
    ):
        members.write_entry(written)
        digests.append(members.shared.digest)
    assert len(set(digests)) == 4
    restarted = attrs.evolve(members.table.entries["n2"], generation=99, version=2)
    members.write_entry(restarted)
    assert members.shared.digest == digests[-1]


def test_liveness_in_words() -> None:
    cluster = FakeCluster(5)
    cluster.run(3.0)
    liveness = cluster.nodes["n1"].members.liveness
    cluster.stop("n4", 1.0)
    cluster.kill("n5")
    cluster.run(40.0)
    assert [liveness(name) for name in ("n1", "n2", "n4", "n5", "n9")] == ["alive", "alive", "stopped", "dead", "dead"]


def test_zones_that_cannot_hold_the_copies_are_told() -> None:
    cluster = FakeCluster(3)
    members = cluster.nodes["n1"].members
    members._warn_of_zones()
    lopsided = [entry("a", zone="a"), *(entry(f"b{index}", zone="b") for index in range(4))]
    members.placement = Placement.from_table(table_of(lopsided, replication_factor=4))
    members._warn_of_zones()
    told = [each for each in members.shared.effects.others if isinstance(each, Note)]
    assert [(each.event, each.level, each.fields) for each in told] == [
        ("placement.zone_violation", "warning", {"partitions": 1024})
    ]
