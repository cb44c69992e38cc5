"""Drained, stopped, left: clients are told, hints are handed over, nothing is dropped that somebody may take."""

from dynacache.errors import NotReady
from dynacache.types import MEMBER_STOPPING, Level
from dynacache.wire.messages import COMMAND, DONE, ERROR, GET, REPORT, SET, TOPOLOGY, VALUE
from tests.fake_cluster import FakeCluster

RAW = 1


def drain(cluster: FakeCluster, name: str, undo: bool = False) -> None:
    cluster.ask(name, [COMMAND, "drain", {"node": name, "undo": undo}])


def test_a_drained_node_refuses_clients_and_tells_them_before() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL])
    cluster.pushed.clear()
    drain(cluster, "n1")
    told = [message[3]["n1"] for message in cluster.pushed if message[0] == TOPOLOGY]
    assert told[-1] == MEMBER_STOPPING
    reply = cluster.ask("n1", [GET, b"key"])
    assert (reply[0], reply[2]) == (ERROR, NotReady.code)
    assert cluster.ask("n1", [REPORT, "ready"])[2] == {
        "ready": False,
        "warming_partitions": 0,
        "reason": "the node is drained",
    }


def test_a_drained_node_stays_a_replica_with_its_place_until_it_serves_again() -> None:
    cluster = FakeCluster(3)
    drain(cluster, "n1")
    assert cluster.ask("n2", [SET, b"key", RAW, b"value", Level.ALL])[0] == DONE
    assert "n1" in cluster.holders(b"key")
    cluster.run(5.0)
    members = cluster.ask("n2", [REPORT, "status"])[2]["members"]
    assert [(row["state"], row["place"]) for row in members] == [("alive", "normal")] * 3
    assert "n1" not in cluster.stopped
    cluster.pushed.clear()
    drain(cluster, "n1", undo=True)
    assert cluster.ask("n1", [GET, b"key"])[0] == VALUE
    assert cluster.pushed[-1][3]["n1"] == 0


def test_hints_of_a_drained_node_find_another_holder_or_stay() -> None:
    cluster = FakeCluster(3)
    cluster.cut_link("n1", "n3")
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.QUORUM, 100], 0.3)
    hints = cluster.nodes["n1"].hints
    assert hints.counts() == {"n3": 1}
    cluster.cut_link("n1", "n2")
    drain(cluster, "n1")
    cluster.run(2.0)
    assert hints.counts() == {"n3": 1}, "nobody can take it, so it is kept"
    assert not cluster.nodes["n1"].closing.is_handed_over
    cluster.cut.discard(frozenset(("n1", "n2")))
    cluster.heal()
    cluster.run(10.0)
    assert hints.counts() == {}
    assert cluster.nodes["n1"].counters.hints_lost == 0
    assert "n3" in cluster.holders(b"key")
    assert cluster.nodes["n1"].closing.is_handed_over


def test_what_is_in_flight_is_finished_before_a_drain_is_done() -> None:
    cluster = FakeCluster(3, delay_s=0.2)
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL, 5_000], 0.0)
    closing = cluster.nodes["n1"].closing
    drain(cluster, "n1")
    assert not closing.is_handed_over
    cluster.run(2.0)
    assert cluster.replies[min(cluster.replies)][0][0] == DONE
    assert closing.is_handed_over


def test_a_stop_tells_clients_and_goes_on_from_a_drain() -> None:
    cluster = FakeCluster(3)
    drain(cluster, "n1")
    cluster.stop("n1", 2.0)
    drain(cluster, "n1", undo=True)
    assert cluster.nodes["n1"].gate.closed, "a stop is not taken back"
    assert cluster.ask("n1", [REPORT, "ready"])[2]["reason"] == "the node is stopping"
    cluster.run(2.5)
    assert "n1" in cluster.stopped
