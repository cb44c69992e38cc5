"""Messages from peers: the table of kinds, and what an unknown or broken message costs."""

from dynacache.events import Close, Note
from dynacache.types import Level
from dynacache.wire.messages import BIRTH, DELETE, DONE, ERROR, GET, PEER_MESSAGES, SET, VALUE
from tests.fake_cluster import FakeCluster


def test_every_kind_nodes_send_each_other_has_a_handler() -> None:
    kinds = set(FakeCluster(1).nodes["n1"].peer_messages.handlers)
    assert kinds == PEER_MESSAGES | {BIRTH}


def test_a_client_request_on_a_peers_connection_closes_it_with_a_note() -> None:
    cluster = FakeCluster(3)
    node = cluster.nodes["n1"]
    inbound = cluster.inbound("n1", "n2")
    effects = node.handle(cluster.instant("n1"), [(inbound, [[SET, 1, b"key", 1, b"value"]])])
    assert [each.connection for each in effects.others if isinstance(each, Close)] == [inbound]
    (note,) = [each for each in effects.others if isinstance(each, Note) and each.event == "message.malformed"]
    assert note.fields["peer"] == "n2"
    assert str(SET) in note.fields["reason"]


def test_a_forwarded_request_that_lay_too_long_does_not_undo_what_came_after_it() -> None:
    cluster = FakeCluster(5)
    owners = cluster.owners(b"key")
    outsider = min(set(cluster.nodes) - set(owners))
    cluster.paused = {owners[0]}
    assert cluster.ask(outsider, [DELETE, b"key", Level.QUORUM, 1_000], 2.0)[0] == ERROR
    cluster.run(4.0)
    assert cluster.ask(owners[1], [SET, b"key", 1, b"value", Level.QUORUM, 1_000], 1.0)[0] == DONE
    cluster.paused = set()
    cluster.run(5.0)
    assert cluster.nodes[owners[0]].counters.old_messages > 0
    assert [cluster.ask(name, [GET, b"key", Level.ALL])[0] for name in owners] == [VALUE] * 3
