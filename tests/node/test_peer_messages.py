"""Messages from peers: the table of kinds, and what an unknown or broken message costs."""

from dynacache.events import Close, Note
from dynacache.wire.messages import BIRTH, PEER_MESSAGES, SET
from tests.fake_cluster import FakeCluster


def test_every_kind_nodes_send_each_other_has_a_handler() -> None:
    kinds = set(FakeCluster(1).nodes["n1"].peer_messages._table_of_kinds)
    assert kinds == PEER_MESSAGES | {BIRTH}


def test_a_client_request_on_a_peers_connection_closes_it_with_a_note() -> None:
    cluster = FakeCluster(3)
    node = cluster.nodes["n1"]
    inbound = next(number for number, peer in node._peers.items() if not peer.outbound and peer.node_id == "n2")
    effects = node.handle(cluster._instant("n1"), [(inbound, [[SET, 1, b"key", 1, b"value"]])])
    assert [each.connection for each in effects.others if isinstance(each, Close)] == [inbound]
    (note,) = [each for each in effects.others if isinstance(each, Note) and each.event == "malformed_message"]
    assert note.fields["peer"] == "n2"
    assert str(SET) in note.fields["reason"]
