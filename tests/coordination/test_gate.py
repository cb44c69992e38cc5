"""The gate: every message gets one answer, and nothing it carries can break the node."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dynacache.errors import InvalidRequest, LevelNotAvailable, NotReady
from dynacache.events import Close
from dynacache.types import Level
from dynacache.wire.messages import COMMAND, DONE, ERROR, GET, PING, PONG, REPORTED, SET, STAMP, TIME, VALUE, WRITE
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


def test_what_was_stopped_may_go_on_unless_its_clock_is_in_doubt() -> None:
    cluster = FakeCluster(3)
    gate = cluster.nodes["n1"].gate
    gate.stop()
    gate.resume()
    assert cluster.ask("n1", [SET, b"key", RAW, b"value"])[0] == DONE
    gate.stop()
    cluster.nodes["n1"].shared.clock_safe = False
    gate.resume()
    assert (gate.stopping, gate.closed) == (False, True)


def test_an_order_is_taken_from_clients_and_never_from_a_forward() -> None:
    cluster = FakeCluster(3)
    assert cluster.ask("n1", [COMMAND, "repair"])[0] == REPORTED
    node = cluster.nodes["n1"]
    node.gate.serve(-1, [[COMMAND, 1, "repair"]], 1)
    ((_, _, code, _),) = node.shared.effects.sends[-1]
    assert code == InvalidRequest.code


_RID = 10**9
_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-10, 2**40), st.binary(max_size=8), st.text(max_size=4))
_FIELDS = st.lists(st.one_of(_SCALARS, st.lists(_SCALARS, max_size=3)), max_size=12)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([GET, SET, 34, 35, 36, 48, 49, 50, 1, 3, 5, 99, -1]), _FIELDS)
def test_any_fields_at_all_get_one_answer_or_none_and_never_an_exception(kind: int, fields: list[Any]) -> None:
    before = CLUSTER.now_s
    effects = CLUSTER.nodes["n1"].handle(CLUSTER.instant("n1"), [(CLIENT, [[kind, _RID, *fields]])])
    CLUSTER.perform("n1", effects)
    CLUSTER.run(0.01)
    assert CLUSTER.now_s >= before
    assert len(CLUSTER.replies.pop(_RID, [])) <= 1
    assert CLUSTER.ask("n1", [PING], 0.0)[0] == PONG


def _send(cluster: FakeCluster, *messages: Any) -> list[Any]:
    """Hand n1 one turn's messages of one client; return what it sends back at once."""
    effects = cluster.nodes["n1"].handle(cluster.instant("n1"), [(CLIENT, list(messages))])
    return [list(each) for each in effects.sends.get(CLIENT, [])]


def test_what_was_sent_too_long_ago_is_refused_until_the_next_stamp() -> None:
    cluster = FakeCluster(1)
    now_ms = int(cluster.now_s * 1000)
    replies = _send(
        cluster,
        [SET, 1, b"before", RAW, b"value"],
        [STAMP, 0, now_ms - 5_001, False],
        [SET, 2, b"late", RAW, b"value"],
        [GET, 3, b"late"],
        [STAMP, 0, now_ms - 5_000, False],
        [SET, 4, b"in time", RAW, b"value"],
    )
    assert [(reply[0], reply[1]) for reply in replies] == [(ERROR, 2), (ERROR, 3), (DONE, 1), (DONE, 4)]
    assert {reply[2] for reply in replies if reply[0] == ERROR} == {NotReady.code}
    assert cluster.holders(b"late") == []
    assert cluster.nodes["n1"].counters.late_requests == 2


def test_a_stamp_holds_for_its_own_turn_alone() -> None:
    cluster = FakeCluster(1)
    _send(cluster, [STAMP, 0, 0, False])
    assert _send(cluster, [SET, 1, b"key", RAW, b"value"])[0][0] == DONE


def test_a_node_tells_its_time_when_it_is_asked() -> None:
    cluster = FakeCluster(1)
    now_ms = int(cluster.now_s * 1000)
    assert _send(cluster, [STAMP, 0, now_ms, True]) == [[TIME, 0, now_ms]]
    assert _send(cluster, [STAMP, 0, None, True]) == [[TIME, 0, now_ms]]


def test_a_stamp_without_sense_dates_nothing() -> None:
    cluster = FakeCluster(1)
    for stamp in ([STAMP], [STAMP, 0], [STAMP, 0, "x"], [STAMP, 0, -(2**70), 0], [STAMP, 0, 2**63, 0]):
        replies = _send(cluster, stamp, [SET, 1, b"key", RAW, b"value"])
        assert replies[0][0] == (ERROR if stamp[2:3] == [-(2**70)] else DONE)


def test_a_write_that_lay_in_a_connection_does_not_undo_what_came_after_it() -> None:
    """Found by the simulator: a client gave a set up, sent it elsewhere, and wrote again; then the first one came."""
    cluster = FakeCluster(3)
    stamp = [STAMP, 0, int(cluster.now_s * 1000), False]
    cluster.run(6.0)
    assert cluster.ask("n2", [SET, b"key", RAW, b"later", Level.ALL])[0] == DONE
    (reply,) = _send(cluster, stamp, [SET, 1, b"key", RAW, b"earlier", Level.ALL])
    assert (reply[0], reply[2]) == (ERROR, NotReady.code)
    assert cluster.ask("n3", [GET, b"key", Level.ALL])[3] == b"later"
