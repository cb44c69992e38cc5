"""Subscriptions at the client: what is asked of a node, what its answers mean, and who is talked to."""

from typing import Any

import pytest

from dynacache.client.routing import Endpoint
from dynacache.client.watching import (
    RETRY_LONGEST_S,
    Conversation,
    Conversations,
    EventsLost,
    KeyEvent,
    watch,
)
from dynacache.errors import ConnectionLost, InvalidRequest
from dynacache.types import KeyChange
from dynacache.wire.messages import DONE, EVENTS, HAPPENED, SUBSCRIBE, SUBSCRIBED

ALL = watch(b"", b"", None)


def conversation(**options: Any) -> Conversation:
    """One with a node called n1."""
    return Conversation(ALL, Endpoint(("host", 1), "n1"), **options)


def answer(one: Conversation, *reply: Any) -> list[KeyEvent | EventsLost]:
    """Ask the next question and answer it."""
    call = one.next_call()
    call.reply = [reply[0], 1, *reply[1:]]
    return one.answered(call, 0)


def fail(one: Conversation, error: Exception) -> list[KeyEvent | EventsLost]:
    """Ask the next question and let it fail."""
    call = one.next_call()
    call.error = error  # type: ignore[assignment]
    return one.answered(call, 0)


def test_it_subscribes_then_asks_and_says_what_it_took() -> None:
    one = conversation()
    assert one.next_call().message == [SUBSCRIBE, 0, b"", 15]
    assert answer(one, SUBSCRIBED, 77) == []
    assert one.next_call().message[:4] == [EVENTS, 0, 77, 0]
    told = answer(one, HAPPENED, 4, 2, [1, b"a", 5_000, 2, b"\0\0\0b", 6_000])
    assert told == [
        EventsLost("n1", 2),
        KeyEvent(KeyChange.SET, b"a", 5.0, "n1"),
        KeyEvent(KeyChange.DELETE, b"\0b", 6.0, "n1"),
    ]
    assert one.next_call().message[:4] == [EVENTS, 0, 77, 4]


def test_a_lost_answer_is_asked_for_again_and_loses_nothing() -> None:
    one = conversation()
    answer(one, SUBSCRIBED, 77)
    answer(one, HAPPENED, 4, 0, [])
    assert fail(one, ConnectionLost("gone")) == []
    assert one.pause_s > 0
    assert one.next_call().message[:4] == [EVENTS, 0, 77, 4]
    assert answer(one, HAPPENED, 5, 0, [1, b"a", 0]) == [KeyEvent(KeyChange.SET, b"a", 0.0, "n1")]
    assert one.pause_s == 0


def test_a_node_that_forgot_us_may_have_lost_anything() -> None:
    one = conversation()
    answer(one, SUBSCRIBED, 77)
    assert answer(one, HAPPENED, None, 0, []) == []
    assert answer(one, SUBSCRIBED, 78) == [EventsLost("n1", None)]
    assert one.next_call().message[:4] == [EVENTS, 0, 78, 0]


def test_a_node_reached_late_may_have_had_something_to_tell() -> None:
    one = conversation()
    fail(one, ConnectionLost("down"))
    assert answer(one, SUBSCRIBED, 1) == [EventsLost("n1", None)]
    assert answer(conversation(late=True), SUBSCRIBED, 1) == [EventsLost("n1", None)]


def test_pauses_grow_to_a_named_length() -> None:
    one, pauses = conversation(), []
    for _ in range(8):
        fail(one, ConnectionLost("down"))
        pauses.append(one.pause_s)
    assert pauses == sorted(pauses)
    assert pauses[-1] == RETRY_LONGEST_S


def test_what_can_never_work_is_raised() -> None:
    with pytest.raises(InvalidRequest, match="off"):
        fail(conversation(), InvalidRequest("key events are off"))


def test_a_malformed_answer_is_a_failure_of_that_node() -> None:
    for reply in ((DONE, True), (HAPPENED, 1, 0, [1, b"a"]), (SUBSCRIBED, "x"), (HAPPENED, 1)):
        one = conversation()
        assert answer(one, *reply) == []
        assert one.pause_s > 0


def test_members_that_come_and_go_are_followed() -> None:
    many = Conversations(ALL)
    n1, n2, n3 = (Endpoint((f"n{number}", 1)) for number in (1, 2, 3))
    begun, ended = many.follow((n1, n2))
    assert ([one.endpoint for one in begun], ended, [one.late for one in begun]) == ([n1, n2], [], [False, False])
    again, left = many.follow((n2, n3))
    assert ([one.endpoint for one in again], [one.endpoint for one in left]) == ([n3], [n1])
    assert again[0].late
    assert many.follow((n2, n3)) == ([], [])


def test_it_has_begun_when_whoever_can_be_reached_has_subscribed() -> None:
    many = Conversations(ALL)
    (first, second), _ = many.follow((Endpoint(("n1", 1)), Endpoint(("n2", 1))))
    assert (many.are_begun, many.have_failed, many.have_reached_one) == (False, False, False)
    fail(first, ConnectionLost("down"))
    assert not many.are_begun
    answer(second, SUBSCRIBED, 1)
    assert (many.are_begun, many.have_failed, many.have_reached_one) == (True, False, True)
    alone = Conversations(ALL)
    (only,), _ = alone.follow((Endpoint(("n1", 1)),))
    fail(only, ConnectionLost("down"))
    assert (alone.are_begun, alone.have_failed) == (False, True)


def test_what_a_caller_may_want() -> None:
    assert watch(b"", "user:", ["set", KeyChange.EVICT]).changes == KeyChange.SET | KeyChange.EVICT
    assert watch(b"", b"\0x", None).prefix == b"\0\0\0x"
    named = watch(b"\0\x04team", "user:", None)
    assert (named.prefix, named.plain(b"\0\x04teamuser:1")) == (b"\0\x04teamuser:", b"user:1")


@pytest.mark.parametrize(
    ("prefix", "changes", "text"),
    [
        (5, None, "prefix: got 5"),
        ("", [], "changes: got none"),
        ("", ["sets"], "changes: got 'sets', expected some of set, delete, expire, evict"),
        ("", [1], "changes: got 1"),
    ],
)
def test_what_nobody_can_want_is_refused(prefix: Any, changes: Any, text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        watch(b"", prefix, changes)
