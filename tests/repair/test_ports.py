"""The node's adapter is what the repair cores were promised."""

from dynacache.repair.ports import RepairPort
from tests.fake_cluster import FakeCluster


def test_the_nodes_adapter_keeps_the_protocol() -> None:
    port: RepairPort = FakeCluster(3).nodes["n1"].repair_port
    assert port.node_id == "n1"
    assert port.hybrid >> 16 == port.now_ms
    assert port.placement.digest
    assert port.is_up("n2")
    assert not port.is_up("n9")
