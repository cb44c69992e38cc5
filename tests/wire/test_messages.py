"""The numbers of the wire: unique, unchanged, and inside their limits."""

from dynacache.wire import messages

KINDS = {
    "WRITE": 1,
    "WRITE_ACK": 2,
    "READ": 3,
    "READ_REPLY": 4,
    "FORWARD": 5,
    "FORWARD_REPLY": 6,
    "STALE_TABLE": 7,
    "TABLE": 8,
    "MEMBERSHIP": 9,
    "BIRTH": 10,
    "FENCE": 11,
    "FENCED": 12,
    "COMPARE": 13,
    "COMPARED": 14,
    "ENTRIES": 15,
    "DIFFERENCES": 16,
    "RECORDS": 17,
    "PULL": 18,
    "PAGE": 19,
    "HELLO": 20,
    "WELCOME": 21,
    "PROOF": 22,
    "CLOCK": 23,
    "CLOCKED": 24,
    "CATALOGUE": 25,
    "CATALOGUE_TAKEN": 26,
    "CATALOGUE_PULL": 27,
    "CATALOGUE_PAGE": 28,
    "TOUCHED": 29,
    "GET": 32,
    "SET": 33,
    "DELETE": 34,
    "TOUCH": 35,
    "INCREMENT": 36,
    "INVALIDATE": 37,
    "REPORT": 48,
    "PING": 49,
    "COMMAND": 50,
    "STAMP": 51,
    "VALUE": 64,
    "MISS": 65,
    "DONE": 66,
    "NUMBER": 67,
    "ERROR": 68,
    "REPORTED": 69,
    "PONG": 70,
    "TOPOLOGY": 71,
    "TIME": 72,
    "SCAN": 40,
    "SUBSCRIBE": 41,
    "EVENTS": 42,
    "SCANNED": 76,
    "SUBSCRIBED": 77,
    "HAPPENED": 78,
}


def test_a_number_is_never_changed() -> None:
    assert {name: getattr(messages, name) for name in KINDS} == KINDS


def test_a_number_is_never_used_twice() -> None:
    assert len(set(KINDS.values())) == len(KINDS)


def test_kinds_of_requests_and_peers_do_not_overlap() -> None:
    assert not messages.CLIENT_REQUESTS & messages.PEER_MESSAGES
    assert set(KINDS.values()) >= messages.CLIENT_REQUESTS | messages.PEER_MESSAGES


def test_the_largest_values_fit_a_frame_in_pairs() -> None:
    largest = messages.VALUE_LIMIT_BYTES + messages.KEY_LIMIT_BYTES
    assert 2 * largest < messages.FRAME_LIMIT_BYTES


def test_flags_are_single_bits() -> None:
    flags = [value for name, value in vars(messages).items() if name.startswith("FLAG_")]
    assert sorted(flags) == [1 << position for position in range(len(flags))]
