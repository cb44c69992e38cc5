"""The messages of the birth exchange: what is sent arrives, and nothing else gets in."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.membership.birth_messages import (
    MAX_CANDIDATES,
    Asking,
    BirthMessage,
    Known,
    Lock,
    Numbers,
    Promise,
    Refused,
    Standing,
    decode,
    encode,
)
from dynacache.placement.birth_record import BirthRecord, Candidate
from dynacache.placement.checks import WireValueError

A = Candidate("a", 1, "10.0.0.1", 7400, "east", 1)
B = Candidate("b", 2, "10.0.0.2", 7400, "", 2)
ROUND = (("a", 1), ("b", 2))
LOCK = Lock(ROUND, (A, B))
NUMBERS = Numbers(2, 1024, 3)
RECORD = BirthRecord.of_candidates([A, B], 1024, 3)

MESSAGES: list[BirthMessage] = [
    Standing("a", NUMBERS, (A,), None, None),
    Standing("a", NUMBERS, (A, B), Promise(ROUND, None), None),
    Standing("a", NUMBERS, (A, B), Promise(ROUND, LOCK), LOCK),
    Asking("c"),
    Known("a", RECORD, RECORD.first_table([A, B])),
    Refused("no"),
]

objects = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=15,
)


@pytest.mark.parametrize("message", MESSAGES)
def test_what_is_sent_arrives(message: BirthMessage) -> None:
    assert decode(msgpack.unpackb(msgpack.packb(encode(message)))) == message


@pytest.mark.parametrize("message", MESSAGES)
def test_a_later_release_may_add_keys(message: BirthMessage) -> None:
    assert decode({**encode(message), "more": 1}) == message


@given(objects)
def test_anything_else_is_refused(wire: object) -> None:
    with pytest.raises(WireValueError):
        decode(wire)


@given(st.sampled_from(MESSAGES), st.data())
def test_a_message_with_one_value_exchanged_is_refused_or_valid(message: BirthMessage, data: st.DataObject) -> None:
    wire = msgpack.unpackb(msgpack.packb(encode(message)))
    target, key = wire, data.draw(st.sampled_from(sorted(wire)))
    while isinstance(target[key], list) and target[key] and data.draw(st.booleans()):
        target = target[key]
        key = data.draw(st.integers(0, len(target) - 1))
    target[key] = data.draw(objects)
    try:
        found = decode(wire)
    except WireValueError:
        return
    assert decode(encode(found)) == found


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"kind": "unheard of"}, "kind of birth message: got 'unheard of'"),
        ({"kind": ["standing"]}, "kind of birth message"),
        ({"node": 5}, "node id: got 5"),
        ({"numbers": [0, 1024, 3]}, "founders: got 0"),
        ({"numbers": [2, 1000, 3]}, "partition count: got 1000"),
        ({"numbers": [2, 1024, 10]}, "replication factor: got 10"),
        ({"candidates": []}, "candidates: got"),
        ({"candidates": [A.to_wire(), A.to_wire()]}, "candidates: expected different node ids"),
        ({"candidates": [None] * (MAX_CANDIDATES + 1)}, "candidates: got list of length"),
        ({"promise": [[], None]}, "round: got"),
        ({"promise": [[["b", 2], ["a", 1]], None]}, "round: expected different node ids in their order"),
        ({"lock": [[["a", 1]], []]}, "candidates: got"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, object], named: str) -> None:
    with pytest.raises(WireValueError, match=f"^{named}"):
        decode({**encode(MESSAGES[2]), **changes})


def test_record_and_table_must_belong_together() -> None:
    other = BirthRecord.of_candidates([A], 1024, 3)
    with pytest.raises(WireValueError, match="member table: of cluster"):
        decode({**encode(MESSAGES[4]), "table": other.first_table([A]).to_wire()})
