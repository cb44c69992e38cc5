"""The node composed: turns, stopping, wrong bytes from peers, clocks."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dynacache.events import Blocked, Close, Writable
from dynacache.types import Level
from dynacache.wire.messages import DONE, ERROR, GET, MISS, PEER_MESSAGES, SET, VALUE
from tests.fake_cluster import FakeCluster

RAW = 1


def test_a_stop_finishes_what_is_in_flight_then_announces() -> None:
    cluster = FakeCluster(3, delay_s=0.02)
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL], 0.0)
    cluster.stop("n1", 5.0)
    late = cluster.ask("n1", [SET, b"late", RAW, b"value", Level.ALL], 0.0)
    assert late[0] == ERROR
    cluster.run(3.0)
    assert cluster.replies[min(cluster.replies)][0][0] == DONE
    assert "n1" in cluster.stopped
    states = {row["node"]: row["state"] for row in cluster.ask("n2", [48, "status"])[2]["members"]}
    assert states == {"n1": "left", "n2": "alive", "n3": "alive"}
    places = {row["node"]: row["place"] for row in cluster.ask("n2", [48, "status"])[2]["members"]}
    assert places["n1"] == "normal", "stopping is not leaving"


def test_a_stop_ends_at_its_deadline_whatever_is_open() -> None:
    cluster = FakeCluster(3)
    cluster.paused = {"n2", "n3"}
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL, 60_000], 0.0)
    cluster.stop("n1", 1.0)
    cluster.run(0.9)
    assert "n1" not in cluster.stopped
    cluster.run(0.3)
    assert "n1" in cluster.stopped


def test_a_blocked_peer_counts_as_unreachable_until_it_drains() -> None:
    cluster = FakeCluster(3)
    connection = cluster.nodes["n1"].links.by_node["n2"].connection
    cluster.tell("n1", Blocked(connection))
    reply = cluster.ask("n1", [SET, b"key", RAW, b"value", Level.QUORUM])
    assert reply[0] == DONE
    assert cluster.nodes["n1"].hints.counts() == {"n2": 1}
    cluster.tell("n1", Writable(connection))
    assert cluster.ask("n1", [SET, b"other", RAW, b"value", Level.ALL])[0] == DONE


def test_a_stopped_member_is_not_waited_for() -> None:
    cluster = FakeCluster(5)
    cluster.stop("n2", 1.0)
    cluster.run(1.5)
    for index in range(30):
        assert cluster.ask("n1", [SET, b"key %d" % index, RAW, b"v", Level.QUORUM], 0.01)[0] == DONE
        assert cluster.ask("n3", [GET, b"key %d" % index, Level.QUORUM], 0.01)[0] == VALUE


def test_a_node_whose_clock_is_behind_still_serves_and_never_goes_back() -> None:
    cluster = FakeCluster(3)
    cluster.wall_offset_ms["n3"] = -400
    cluster.ask("n1", [SET, b"key", RAW, b"first", Level.ALL])
    assert cluster.ask("n3", [SET, b"key", RAW, b"second", Level.ALL])[0] == DONE
    assert cluster.ask("n1", [GET, b"key", Level.ALL])[3] == b"second"


_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-10, 2**64 - 1), st.binary(max_size=8), st.text(max_size=4))
_FIELDS = st.lists(st.one_of(_SCALARS, st.lists(_SCALARS, max_size=4)), max_size=8)
_CLUSTER = FakeCluster(3)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([*sorted(PEER_MESSAGES), 10, 32, 99]), _FIELDS)
def test_any_message_from_a_peer_closes_the_connection_at_worst(kind: int, fields: list[Any]) -> None:
    node = _CLUSTER.nodes["n1"]
    inbound = _CLUSTER.inbound("n1", "n2")
    effects = node.handle(_CLUSTER.instant("n1"), [(inbound, [[kind, *fields]])])
    assert all(each.connection == inbound for each in effects.others if isinstance(each, Close))
    _CLUSTER.run(0.001)
    assert _CLUSTER.ask("n1", [GET, b"key", Level.ONE])[0] == MISS
