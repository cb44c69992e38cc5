"""Every message reads back as it was written; anything else reads as None."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.membership.messages import (
    ACK,
    CLAIM,
    NACK,
    PING,
    PING_REQUEST,
    PULL,
    PUSH,
    Ack,
    Exchange,
    Nack,
    Ping,
    PingRequest,
    claim_fields,
    encode_claim,
    exchange_payload,
    read_claim,
    read_message,
    read_messages,
    read_stream,
)
from dynacache.membership.state import Claim, Member, NodeState
from tests.membership.strategies import members

MEMBER = Member("a", "10.0.0.1", 7000, generation=5)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=14) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=30,
)


@given(members(wide=True))
def test_claims_read_back(member: Member) -> None:
    assert read_message(msgpack.unpackb(encode_claim(member, "source"))) == Claim(member, "source")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([PING, 7, "a"], Ping(7, "a")),
        ([PING_REQUEST, 7, "a", "10.0.0.1", 7000], PingRequest(7, "a", "10.0.0.1", 7000)),
        ([ACK, 7], Ack(7)),
        ([NACK, 7], Nack(7)),
    ],
)
def test_fields_that_a_later_release_appends_are_ignored(fields: list[object], message: object) -> None:
    assert read_message(fields) == message
    assert read_message([*fields, {"later": 1}]) == message
    assert read_message(fields[:-1]) is None


def test_fields_appended_to_a_claim_are_ignored() -> None:
    assert read_claim([*claim_fields(MEMBER, "x"), "later"]) == Claim(MEMBER, "x")


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [99, 1],
        [PING, -1, "a"],
        [PING, 2**32, "a"],
        [PING, True, "a"],
        [PING, 1, ""],
        [PING, 1, "x" * 65],
        [PING, 1, b"a"],
        [PING_REQUEST, 1, "a", "h" * 256, 1],
        [PING_REQUEST, 1, "a", "h", 65_536],
        [PING_REQUEST, 1, "a", "h", True],
        [ACK, "1"],
        [ACK, True],
        ["1", 1],
        (ACK, 1),
        "text",
    ],
)
def test_what_is_out_of_limits_reads_as_none(fields: object) -> None:
    assert read_message(fields) is None


@pytest.mark.parametrize("position", range(12))
@pytest.mark.parametrize("value", [None, -1, "x" * 256, b"bytes", True, 2**70, [], 1.5])
def test_a_claim_with_one_bad_field_reads_as_none(position: int, value: object) -> None:
    fields = claim_fields(MEMBER, "x")
    fields[position] = value
    assert read_message([CLAIM, *fields]) is None


@pytest.mark.parametrize("position", [0, 2, 3, 5, 7, 9, 10, 11])
def test_what_equals_a_known_claim_in_other_types_reads_as_none(position: int) -> None:
    ones = Member("a", "10.0.0.1", 1, generation=1, incarnation=1, state=NodeState.LEFT, stopped=True)
    fields = claim_fields(ones, "x")
    assert read_claim(fields) == Claim(ones, "x")
    assert read_claim([*fields[:position], float(str(fields[position])), *fields[position + 1 :]]) is None
    assert read_claim(fields) == Claim(ones, "x")


def test_a_record_is_the_same_object_whoever_says_it() -> None:
    claims = [read_claim(claim_fields(MEMBER, source)) for source in ("x", "y")]
    assert all(claims)
    assert len({id(claim.member) for claim in claims if claim is not None}) == 1


def test_the_messages_of_a_datagram_are_read_in_order_and_the_rest_counted() -> None:
    claim = [CLAIM, *claim_fields(MEMBER, "x")]
    lists: list[object] = [[PING, 1, "a"], claim, [True, *claim[1:]], [CLAIM, 1], [*claim, "later"], "text", [ACK, 2]]
    found = [Ping(1, "a"), Claim(MEMBER, "x"), Claim(MEMBER, "x"), Ack(2)]
    assert read_messages(lists) == (found, 3)


@given(ANYTHING)
def test_nothing_raises(value: object) -> None:
    read_message(value)
    read_claim(value)
    read_stream(value, 10)


@given(st.sampled_from([PING, PING_REQUEST, ACK, NACK, CLAIM, PUSH, PULL]), st.lists(ANYTHING, max_size=13))
def test_nothing_raises_behind_a_known_kind(kind: int, fields: list[object]) -> None:
    read_message([kind, *fields])
    read_stream([kind, *fields], 10)


@pytest.mark.parametrize("is_answer", [False, True])
def test_tables_read_back_and_count_what_is_refused(is_answer: bool) -> None:
    payload = exchange_payload(b"cluster", [(MEMBER, "x")], is_answer=is_answer)
    assert read_stream(payload, 1) == Exchange(b"cluster", [Claim(MEMBER, "x")], is_answer)
    table = payload[2]
    assert isinstance(table, list)
    table.append(["nonsense"])
    assert read_stream(payload, 2) == Exchange(b"cluster", [Claim(MEMBER, "x")], is_answer, refused=1)
    assert read_stream(payload, 1) is None


@pytest.mark.parametrize("payload", [[PUSH], [PUSH, "text", []], [PUSH, b"c" * 65, []], [PUSH, b"c", None], None, [[]]])
def test_malformed_tables_read_as_none(payload: object) -> None:
    assert read_stream(payload, 10) is None
