"""Subscriptions of the synchronous client: every node is listened to, troubles are survived, nothing is left behind."""

import time
from collections.abc import Iterator

import pytest

import dynacache
from dynacache.errors import InvalidRequest, UnavailableError
from dynacache.wire.messages import EVENTS, SUBSCRIBE
from tests.runtime.clients.fake_node import ANSWER, HANG_UP, FakeCluster


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster(3) as three:
        yield three


def taken(events: dynacache.Subscription, count: int) -> list[dynacache.KeyEvent | dynacache.EventsLost]:
    """So many items."""
    found = [events.get(5) for _ in range(count)]
    assert None not in found
    return [each for each in found if each is not None]


def test_every_node_is_listened_to(cluster: FakeCluster) -> None:
    with dynacache.Client(cluster.addresses) as client, client.subscribe("k") as events:
        for number, node in enumerate(cluster.nodes):
            node.told += [b"k%d" % number, b"also"]
        found = taken(events, 6)
        assert {(each.node, each.key) for each in found if isinstance(each, dynacache.KeyEvent)} == {
            (node.node_id, key) for node in cluster.nodes for key in node.told
        }
        assert events.get(0.05) is None
    assert all(node.requests[0][0] == SUBSCRIBE and node.requests[0][2] == b"k" for node in cluster.nodes)
    assert events.get(0.05) is None


def test_it_can_be_iterated_and_closed_from_within(cluster: FakeCluster) -> None:
    with dynacache.Client(cluster.addresses) as client:
        events = client.subscribe()
        cluster.nodes[1].told += [b"a", b"b"]
        found = []
        for each in events:
            found.append(each)
            if len(found) == 2:
                events.close()
        assert [each.key for each in found if isinstance(each, dynacache.KeyEvent)] == [b"a", b"b"]


def test_a_connection_that_ends_loses_nothing(cluster: FakeCluster) -> None:
    hung_up: list[str] = []

    def behave(node: object, message: list[object]) -> str:
        if message[0] == EVENTS and len(hung_up) < 2:
            hung_up.append("x")
            return HANG_UP
        return ANSWER

    cluster.behaviour = behave
    with dynacache.Client(cluster.addresses) as client, client.subscribe() as events:
        cluster.nodes[0].told.append(b"a")
        (found,) = taken(events, 1)
        assert isinstance(found, dynacache.KeyEvent)
        assert len(hung_up) == 2


def test_a_node_that_is_down_is_waited_for_and_told_of(cluster: FakeCluster) -> None:
    cluster.nodes[2].stop()
    with dynacache.Client(cluster.addresses[:2]) as client, client.subscribe() as events:
        cluster.nodes[2].start()
        cluster.nodes[2].told.append(b"a")
        first, second = taken(events, 2)
        assert first == dynacache.EventsLost("n2", None)
        assert isinstance(second, dynacache.KeyEvent)


def test_what_can_never_work_is_raised_and_leaves_no_connection(cluster: FakeCluster) -> None:
    cluster.behaviour = lambda node, message: [InvalidRequest.code, "off"] if message[0] == SUBSCRIBE else ANSWER
    with dynacache.Client(cluster.addresses) as client:
        with pytest.raises(InvalidRequest, match="off"):
            client.subscribe()
        with pytest.raises(InvalidRequest, match="changes"):
            client.subscribe(changes=["sets"])
        assert client.set("still", "works")


def test_no_node_at_all_is_an_error(cluster: FakeCluster) -> None:
    with dynacache.Client(cluster.addresses) as client:
        for node in cluster.nodes:
            node.stop()
        started_s = time.monotonic()
        with pytest.raises(UnavailableError):
            client.subscribe(timeout=2)
        assert time.monotonic() - started_s < 10
