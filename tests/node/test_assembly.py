"""Parts are made of the node's own configuration."""

from random import Random

from dynacache.node.assembly import closing_of, quarantine_of, swim_of, transfer_of
from dynacache.types import Instant
from tests.fake_cluster import FakeCluster


def test_each_part_belongs_to_the_node_it_was_made_for() -> None:
    cluster = FakeCluster(1)
    node = cluster.nodes["n1"]
    assert closing_of(node).shared is node.shared
    assert quarantine_of(node, Instant(cluster.now_s, 1)).shared is node.shared
    assert transfer_of(node).port is node.repair_port
    assert swim_of(node, node.members.table, Random(1)).statistics() is not None
