"""The sans-IO connection against a scripted node: pipelining, matching, deadlines, limits, the end."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.client.protocol import TIMEOUT_LIMIT_MS
from dynacache.errors import AuthenticationFailed, NotReady, Overloaded, ProtocolError
from dynacache.wire.codec import frame_of_messages
from dynacache.wire.messages import ERROR, GET, PING, PONG, SET, STAMP, TIME, TOPOLOGY
from tests.client.fake_peer import FakePeer


def get(key: bytes = b"k") -> list[Any]:
    """A read, as the requests make it."""
    return [GET, 0, key, 0, 0, 0]


def test_nothing_but_the_hello_is_sent_before_the_hello_is_done() -> None:
    peer = FakePeer.pair()
    peer.protocol.submit(get(), 4, 0.0, 1.0, "token")
    first = peer.requests()
    assert len(first) == 1
    assert peer.requests() == []
    peer.protocol.receive(frame_of_messages(peer.acceptor.receive(first[0])), 0.0)
    assert peer.protocol.ready
    assert peer.acceptor.receive(peer.requests()[0]) == []
    assert peer.requests() == [[GET, 1, b"k", 0, 1000, 0]]
    assert not peer.protocol.has_data


def test_the_hello_needs_the_secret() -> None:
    peer = FakePeer.pair(secret="right", node_secret="wrong")
    with pytest.raises(AuthenticationFailed):
        peer.greet()


def test_a_refused_hello_says_why() -> None:
    peer = FakePeer.pair()
    peer.requests()
    with pytest.raises(NotReady, match="soon"):
        peer.answer([ERROR, 0, NotReady.code, "soon"])


def test_submissions_of_one_turn_leave_as_one_frame_and_replies_match_in_any_order() -> None:
    peer = FakePeer.greeted()
    for token in "abc":
        peer.protocol.submit(get(), 4, 0.0, 1.0, token)
    requests = peer.requests()
    assert peer.reader.frames == 3, "HELLO, PROOF, and one frame for all requests"
    replies = [[PONG, request[1]] for request in requests]
    answered = peer.answer(replies[2], replies[0]) + peer.answer(replies[1])
    assert [token for token, _ in answered] == ["c", "a", "b"]
    assert peer.protocol.in_flight == 0


def test_the_timeout_is_what_is_left() -> None:
    peer = FakePeer.greeted()
    peer.protocol.submit(get(), 4, 10.0, 10.25, "a")
    peer.protocol.submit(get(), 4, 10.0, 9.0, "b")
    peer.protocol.submit(get(), 4, 10.0, 1000.0, "c")
    peer.protocol.submit([PING, 0], 0, 10.0, 11.0, "d")
    requests = peer.requests()
    assert [request[4] for request in requests[:3]] == [250, 1, TIMEOUT_LIMIT_MS]
    assert requests[3] == [PING, 4]


def test_deadlines_end_requests_in_their_order_and_late_replies_are_dropped() -> None:
    peer = FakePeer.greeted()
    for token, deadline_s in (("a", 3.0), ("b", 1.0), ("c", 2.0)):
        peer.protocol.submit(get(), 4, 0.0, deadline_s, token)
    requests = peer.requests()
    assert peer.protocol.next_deadline() == 1.0
    assert peer.protocol.expire(0.9) == []
    assert peer.protocol.expire(2.0) == ["b", "c"]
    assert peer.protocol.next_deadline() == 3.0
    assert peer.answer([PONG, requests[1][1]]) == []
    assert peer.answer([PONG, requests[0][1]]) == [("a", [PONG, 1])]
    assert peer.protocol.next_deadline() == math.inf
    assert peer.protocol.expire(9.0) == []


def test_too_many_requests_in_flight_are_refused_unsent() -> None:
    peer = FakePeer.greeted(in_flight_limit=2)
    peer.protocol.submit(get(), 4, 0.0, 1.0, "a")
    peer.protocol.submit(get(), 4, 0.0, 1.0, "b")
    with pytest.raises(Overloaded):
        peer.protocol.submit(get(), 4, 0.0, 1.0, "c")
    assert len(peer.requests()) == 2
    assert [token for token, _ in peer.answer([PONG, 1])] == ["a"]
    peer.protocol.submit(get(), 4, 0.0, 1.0, "c")
    assert len(peer.requests()) == 1


def test_too_many_bytes_unsent_are_refused_but_one_request_always_fits() -> None:
    peer = FakePeer.greeted(unsent_limit_bytes=100)
    peer.protocol.submit(get(b"x" * 1000), 4, 0.0, 1.0, "a")
    with pytest.raises(Overloaded):
        peer.protocol.submit(get(), 4, 0.0, 1.0, "b")
    assert len(peer.requests()) == 1
    peer.protocol.submit(get(), 4, 0.0, 1.0, "b")
    assert len(peer.requests()) == 1


def test_the_end_tells_unknown_fates_from_requests_never_handed_out() -> None:
    peer = FakePeer.greeted()
    for token in "abc":
        peer.protocol.submit(get(), 4, 0.0, 1.0, token)
    peer.requests()
    peer.answer([PONG, 2])
    peer.protocol.submit(get(), 4, 0.0, 1.0, "d")
    assert peer.protocol.end() == (["a", "c"], ["d"])
    assert peer.protocol.end() == ([], [])
    assert peer.protocol.data_to_send(0.0) == b""


def test_before_the_hello_is_done_every_fate_is_known() -> None:
    peer = FakePeer.pair()
    peer.protocol.submit(get(), 4, 0.0, 1.0, "a")
    peer.requests()
    assert peer.protocol.end() == ([], ["a"])


def test_only_whole_messages_are_a_sign_of_life() -> None:
    peer = FakePeer.greeted()
    peer.protocol.submit(get(), 4, 0.0, 1.0, "a")
    request = peer.requests()[0]
    frame = frame_of_messages([[PONG, request[1]]])
    heard_s = peer.protocol.heard_s
    assert peer.protocol.receive(frame[:-1], 7.0) == []
    assert peer.protocol.heard_s == heard_s
    assert len(peer.protocol.receive(frame[-1:], 8.0)) == 1
    assert peer.protocol.heard_s == 8.0


def test_topology_is_kept_for_whoever_takes_it() -> None:
    peer = FakePeer.greeted()
    assert peer.answer([TOPOLOGY, 0, ["table"], {"n1": 0}]) == []
    assert peer.protocol.topology == (["table"], {"n1": 0})


def test_a_refusal_does_not_lose_the_answers_before_it() -> None:
    peer = FakePeer.greeted()
    peer.protocol.submit(get(), 4, 0.0, 1.0, "a")
    peer.requests()
    assert peer.answer([PONG, 1], [ERROR, 0, NotReady.code, "stopping"]) == [("a", [PONG, 1])]
    assert isinstance(peer.protocol.refusal, NotReady)


@pytest.mark.parametrize("message", [[PONG], [PONG, [1]], [PONG, 0], [TOPOLOGY, 0], [ERROR, 0, "x", "y"]])
def test_nonsense_is_the_peers_fault(message: list[Any]) -> None:
    peer = FakePeer.greeted()
    peer.protocol.submit(get(), 4, 0.0, 1.0, "token")
    peer.answer(message)
    assert isinstance(peer.protocol.refusal, ProtocolError)
    assert peer.protocol.in_flight == 1, "what was asked is still to be told its end"


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("submit"), st.floats(0, 5)),
            st.tuples(st.just("answer"), st.integers(1, 40)),
            st.tuples(st.just("expire"), st.floats(0, 5)),
            st.tuples(st.just("send"), st.none()),
        ),
        max_size=60,
    )
)
def test_every_token_comes_back_exactly_once(steps: list[tuple[str, Any]]) -> None:
    peer = FakePeer.greeted(in_flight_limit=8)
    submitted: list[int] = []
    returned: list[int] = []
    for what, argument in steps:
        if what == "submit":
            token = len(submitted)
            try:
                peer.protocol.submit(get(), 4, 0.0, argument, token)
            except Overloaded:
                continue
            submitted.append(token)
        elif what == "answer":
            returned += [token for token, _ in peer.answer([PONG, argument])]  # type: ignore[misc]
        elif what == "expire":
            returned += peer.protocol.expire(argument)
            assert peer.protocol.next_deadline() > argument
        else:
            peer.requests()
        assert peer.protocol.in_flight == len(submitted) - len(returned)
    unknown, unsent = peer.protocol.end()
    assert sorted(returned + unknown + unsent) == submitted


def test_answered_requests_leave_no_deadlines_behind() -> None:
    peer = FakePeer.greeted()
    for number in range(1, 5_001):
        peer.protocol.submit(get(), 4, 0.0, 1e9, number)
        peer.requests()
        peer.answer([PONG, number])
    assert len(peer.protocol._deadlines) < 1_000


def _set(number: int) -> list[Any]:
    return [SET, 0, b"key %d" % number, 1, b"value"]


def _told(peer: FakePeer, node_s: float, now_s: float) -> None:
    """Let a topology with the node's time arrive."""
    peer.now_s = now_s
    peer.answer([TOPOLOGY, 0, ["table"], {"n1": 0}, int(node_s * 1000)])


def test_a_frame_with_a_write_says_when_it_was_sent_by_the_nodes_clock() -> None:
    peer = FakePeer.greeted()
    peer.protocol.submit(_set(1), 0, 0.0, 1.0, "unstamped")
    assert [message[0] for message in peer.requests()] == [SET], "the node's time is not known yet"
    _told(peer, 5_000.0, 1.0)
    peer.now_s = 3.5
    peer.protocol.submit(get(), 4, 3.5, 9.0, "read")
    assert [message[0] for message in peer.requests()] == [GET], "a late read does no harm"
    for number in range(3):
        peer.protocol.submit(_set(number), 0, 3.5, 9.0, number)
    stamp, *rest = peer.requests()
    assert stamp == [STAMP, 0, 5_002_500, False]
    assert [message[0] for message in rest] == [SET] * 3
    assert peer.protocol.in_flight == 5


def test_the_quickest_message_tells_the_nodes_time_best() -> None:
    peer = FakePeer.greeted()
    _told(peer, 100.0, 10.0)
    _told(peer, 101.0, 14.0)
    peer.protocol.submit(_set(1), 0, 14.0, 20.0, "token")
    assert peer.requests()[0][2] == 104_000, "the second one had been three seconds on its way"


def test_the_nodes_time_is_asked_for_every_minute_and_old_knowledge_is_dropped() -> None:
    peer = FakePeer.greeted()
    _told(peer, 100.0, 10.0)
    peer.now_s = 70.0
    peer.protocol.submit(get(), 4, 70.0, 99.0, "token")
    assert peer.requests()[0] == [STAMP, 0, 160_000, True]
    peer.protocol.submit(_set(1), 0, 70.0, 99.0, "token")
    assert peer.requests()[0] == [STAMP, 0, 160_000, False], "asked once"
    peer.now_s = 101.0
    peer.answer([TIME, 0, 190_000])
    peer.protocol.submit(_set(2), 0, 101.0, 150.0, "token")
    assert peer.requests()[0][2] == 190_000, "two clocks drift apart: what was known is too old to hold against it"


@pytest.mark.parametrize("message", [[TIME, 0, "soon"], [TOPOLOGY, 0, [], {}, None]])
def test_a_time_that_is_none_teaches_nothing(message: list[Any]) -> None:
    peer = FakePeer.greeted()
    peer.answer(message)
    peer.protocol.submit(_set(1), 0, 0.0, 1.0, "token")
    assert peer.requests()[0][0] == SET
