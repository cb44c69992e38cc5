"""The gate: every message gets one answer, and nothing it carries can break the node."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dynacache.errors import InvalidRequest, LevelNotAvailable, NotReady
from dynacache.events import Close
from dynacache.types import Level
from dynacache.wire.messages import DONE, ERROR, GET, PING, PONG, SET, VALUE, WRITE
from tests.fake_cluster import CLIENT, FakeCluster

RAW = 1
CLUSTER = FakeCluster(3)


def test_ping() -> None:
    assert CLUSTER.ask("n1", [PING])[0] == PONG


def test_the_plain_path_and_the_parsed_path_give_the_same_errors() -> None:
    reply = CLUSTER.ask("n1", [SET, b"", RAW, b"value"])
    assert (reply[0], reply[2]) == (ERROR, InvalidRequest.code)
    assert "key: got 0 bytes" in reply[3]
    reply = CLUSTER.ask("n1", [GET, b"key", Level.STRONG])
    assert (reply[0], reply[2]) == (ERROR, LevelNotAvailable.code)


def test_a_peer_message_from_a_client_is_refused() -> None:
    reply = CLUSTER.ask("n1", [WRITE, 0, 0, 100, None, []])
    assert (reply[0], reply[2]) == (ERROR, InvalidRequest.code)


def test_one_bad_message_in_a_batch_spares_the_others() -> None:
    replies = CLUSTER.ask_many("n1", [[SET, b"a", RAW, b"1"], [SET, 5, RAW, b"1"], [GET, b"a", Level.QUORUM]])
    assert [reply[0] for reply in replies] == [DONE, ERROR, VALUE]


def test_without_a_request_id_the_connection_is_closed() -> None:
    node = CLUSTER.nodes["n1"]
    effects = node.handle(CLUSTER.instant("n1"), [(CLIENT, [[GET]])])
    assert any(isinstance(each, Close) and each.connection == CLIENT for each in effects.others)


def test_a_retried_set_reuses_its_version() -> None:
    message = [SET, b"retried", RAW, b"value", Level.QUORUM, 0, 0, 0, 0, None, b"operation"]
    assert CLUSTER.ask("n2", list(message))[0] == DONE
    record = CLUSTER.record("n2", b"retried")
    assert CLUSTER.ask("n2", list(message))[0] == DONE
    assert CLUSTER.record("n2", b"retried") == record
    assert CLUSTER.nodes["n2"].counters.retried_operations == 1


def test_a_stopping_node_refuses_definitely() -> None:
    cluster = FakeCluster(3)
    cluster.nodes["n1"].gate.stop()
    for message in ([GET, b"key", Level.ONE], [SET, b"key", RAW, b"value"]):
        reply = cluster.ask("n1", message)
        assert (reply[0], reply[2]) == (ERROR, NotReady.code)
    assert cluster.holders(b"key") == []


_RID = 10**9
_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-10, 2**40), st.binary(max_size=8), st.text(max_size=4))
_FIELDS = st.lists(st.one_of(_SCALARS, st.lists(_SCALARS, max_size=3)), max_size=12)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([GET, SET, 34, 35, 36, 48, 49, 1, 3, 5, 99, -1]), _FIELDS)
def test_any_fields_at_all_get_one_answer_or_none_and_never_an_exception(kind: int, fields: list[Any]) -> None:
    before = CLUSTER.now_s
    effects = CLUSTER.nodes["n1"].handle(CLUSTER.instant("n1"), [(CLIENT, [[kind, _RID, *fields]])])
    CLUSTER.perform("n1", effects)
    CLUSTER.run(0.01)
    assert CLUSTER.now_s >= before
    assert len(CLUSTER.replies.pop(_RID, [])) <= 1
    assert CLUSTER.ask("n1", [PING], 0.0)[0] == PONG
