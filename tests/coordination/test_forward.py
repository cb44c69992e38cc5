"""Requests for keys held elsewhere: forwarded, answered once, never applied twice."""

import pytest

from dynacache.errors import ConnectionLost, NotEnoughReplicas, NotReady, error_from_code
from dynacache.types import Level
from dynacache.wire.messages import DONE, ERROR, FORWARD, GET, INCREMENT, MISS, NUMBER, SET, VALUE
from tests.fake_cluster import FakeCluster

RAW = 1
KEY = b"key"


def _outsider(cluster: FakeCluster) -> str:
    return min(set(cluster.nodes) - set(cluster.owners(KEY)))


def test_any_node_serves_any_key() -> None:
    cluster = FakeCluster(5)
    outsider = _outsider(cluster)
    assert cluster.ask(outsider, [SET, KEY, RAW, b"value", Level.QUORUM])[0] == DONE
    assert sorted(cluster.holders(KEY)) == sorted(cluster.owners(KEY))
    assert cluster.ask(outsider, [GET, KEY, Level.QUORUM])[3] == b"value"
    assert cluster.ask(outsider, [GET, b"none at all", Level.QUORUM])[0] == MISS


def test_a_batch_is_forwarded_in_one_message_to_each_node() -> None:
    cluster = FakeCluster(5)
    outsider = _outsider(cluster)
    cluster.seen.clear()
    replies = cluster.ask_many(outsider, [[GET, KEY, Level.QUORUM] for _ in range(20)])
    assert all(reply[0] == MISS for reply in replies)
    assert sum(content[0] == FORWARD for *_, content in cluster.seen) == 1


def test_a_read_goes_to_the_next_node_when_the_link_ends() -> None:
    cluster = FakeCluster(5)
    outsider = _outsider(cluster)
    owners = cluster.owners(KEY)
    cluster.ask(owners[0], [SET, KEY, RAW, b"value", Level.ALL])
    cluster.paused = {owners[0]}
    cluster.ask(outsider, [GET, KEY, Level.QUORUM], 0.01)
    cluster.cut_link(outsider, owners[0])
    cluster.run(0.2)
    assert cluster.replies[max(cluster.replies)][0][:1] == [VALUE]


def test_an_increment_of_unknown_fate_is_not_repeated() -> None:
    cluster = FakeCluster(5)
    outsider = _outsider(cluster)
    owners = cluster.owners(KEY)
    cluster.paused = {owners[0]}
    cluster.ask(outsider, [INCREMENT, KEY, 1, Level.QUORUM], 0.01)
    cluster.cut_link(outsider, owners[0])
    cluster.run(0.1)
    reply = cluster.replies[max(cluster.replies)][0]
    assert (reply[0], reply[2]) == (ERROR, ConnectionLost.code)
    assert ConnectionLost.definite is False


def test_a_set_under_an_operation_id_is_sent_to_the_next_node() -> None:
    cluster = FakeCluster(5)
    outsider = _outsider(cluster)
    owners = cluster.owners(KEY)
    cluster.paused = {owners[0]}
    cluster.ask(outsider, [SET, KEY, RAW, b"value", Level.QUORUM, 0, 0, 0, 0, None, b"operation"], 0.01)
    cluster.cut_link(outsider, owners[0])
    cluster.run(1.0)
    assert cluster.replies[max(cluster.replies)][0][0] == DONE


def test_without_any_owner_a_fallback_coordinates() -> None:
    cluster = FakeCluster(5)
    outsider = _outsider(cluster)
    for owner in cluster.owners(KEY):
        cluster.cut_link(outsider, owner)
    assert cluster.ask(outsider, [SET, KEY, RAW, b"value", Level.ONE, 100], 0.3)[0] == DONE


def test_requests_are_not_passed_in_circles() -> None:
    cluster = FakeCluster(5)
    outsider = cluster.nodes[_outsider(cluster)]
    hops = outsider.shared.settings.forward_hops
    with pytest.raises(NotReady, match="forwarded 2 times"):
        outsider.forwarder.forward(1, [GET, 1, KEY, Level.QUORUM], 100, hops)


def test_nobody_left_is_a_definite_error() -> None:
    cluster = FakeCluster(3)
    cluster.join("n4")
    cluster.run(1.0)
    for name in ("n1", "n2", "n3"):
        cluster.cut_link("n4", name)
    reply = cluster.ask("n4", [INCREMENT, KEY, 1, Level.QUORUM])
    assert (reply[0], reply[2]) == (ERROR, NotEnoughReplicas.code)


def test_a_joined_node_owns_nothing_and_forwards() -> None:
    cluster = FakeCluster(3)
    cluster.join("n4")
    cluster.run(1.0)
    assert cluster.ask("n4", [INCREMENT, KEY, 2, Level.QUORUM])[0] == NUMBER
    assert cluster.ask("n1", [INCREMENT, KEY, 3, Level.QUORUM])[2] == 5
    assert "n4" not in cluster.holders(KEY)


@pytest.mark.parametrize("operation", [[INCREMENT, KEY, 1, Level.QUORUM], [SET, KEY, RAW, b"v"], [GET, KEY]])
def test_a_request_refused_for_a_stale_table_is_sent_again_and_answered_once(operation: list[object]) -> None:
    cluster = FakeCluster(5)
    outsider = _outsider(cluster)
    node = cluster.nodes[outsider]
    right = node.shared.digest
    node.shared.digest = 1
    cluster.ask(outsider, list(operation), 0.0005)
    node.shared.digest = right
    cluster.run(3.0)
    assert [reply[0] in (NUMBER, DONE, MISS) for reply in cluster.replies[max(cluster.replies)]] == [True]
    assert node.shared.pending == {}


@pytest.mark.parametrize("operation", [[INCREMENT, KEY, 1, Level.QUORUM], [GET, KEY, Level.QUORUM]])
def test_a_table_that_never_agrees_ends_in_one_answer(operation: list[object]) -> None:
    cluster = FakeCluster(5)
    outsider = _outsider(cluster)
    node = cluster.nodes[outsider]
    node.shared.digest = 1
    cluster.ask(outsider, list(operation), 3.0)
    assert [reply[0] for reply in cluster.replies[max(cluster.replies)]] == [ERROR]
    assert node.shared.pending == {}


def test_a_write_that_may_have_been_applied_is_never_called_refused() -> None:
    """The first try reaches an owner, whose link then ends; what the second try meets cannot make it definite."""
    for refuse in (True, False):
        cluster = FakeCluster(5)
        outsider = _outsider(cluster)
        owners = cluster.owners(KEY)
        cluster.paused = {owners[0]}
        message = [SET, KEY, RAW, b"value", Level.QUORUM, 1_000, 0, 0, 0, None, b"operation"]
        cluster.ask(outsider, message, 0.01)
        for owner in owners[1:]:
            if refuse:
                cluster.nodes[owner].gate.stopping = True
            else:
                cluster.cut_link(outsider, owner)
        cluster.cut_link(outsider, owners[0])
        cluster.run(3.0)
        (reply,) = cluster.replies[max(cluster.replies)]
        assert reply[0] == DONE or (reply[0] == ERROR and not error_from_code(reply[2], "").definite)


def test_an_owner_that_serves_nobody_is_passed_over() -> None:
    cluster = FakeCluster(5)
    outsider = _outsider(cluster)
    first = cluster.owners(KEY)[0]
    cluster.nodes[first].gate.stop()
    assert cluster.ask(outsider, [INCREMENT, KEY, 2, Level.QUORUM])[0] == NUMBER
    for owner in cluster.owners(KEY)[1:]:
        cluster.nodes[owner].gate.stop()
    for fallback in cluster.nodes:
        cluster.nodes[fallback].gate.stop()
    cluster.nodes[outsider].gate.resume()
    reply = cluster.ask(outsider, [INCREMENT, KEY, 2, Level.QUORUM])
    assert (reply[0], reply[2]) == (ERROR, NotReady.code), "with nobody else to ask, the refusal is passed on"
