"""Values come back as they went, or are refused before they go."""

import collections
import contextlib
import enum
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.client.values import (
    DEPTH_LIMIT,
    INTEGER_MAX,
    INTEGER_MIN,
    decode_value,
    encode_key,
    encode_value,
)
from dynacache.errors import InvalidRequest, ProtocolError
from dynacache.wire.messages import PAYLOAD_MSGPACK, PAYLOAD_RAW, VALUE_LIMIT_BYTES

TEXT = st.text(st.characters(codec="utf-8"))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(INTEGER_MIN, INTEGER_MAX)
    | st.floats(allow_nan=False)
    | TEXT
    | st.binary(max_size=50)
)
VALUES = st.recursive(
    SCALARS,
    lambda inside: st.lists(inside, max_size=5) | st.dictionaries(SCALARS, inside, max_size=5),
    max_leaves=20,
)


@given(VALUES)
def test_round_trip(value: Any) -> None:
    flags, payload = encode_value(value)
    assert decode_value(flags, payload) == value
    assert type(decode_value(flags, payload)) is type(value)


@given(st.binary())
def test_bytes_travel_untouched(value: bytes) -> None:
    assert encode_value(value) == (PAYLOAD_RAW, value)
    assert decode_value(PAYLOAD_RAW, value) is value


@given(st.integers() | st.floats() | st.sets(st.integers()) | st.dictionaries(st.tuples(st.integers()), st.none()))
def test_whatever_is_accepted_can_be_decoded(value: Any) -> None:
    try:
        flags, payload = encode_value(value)
    except InvalidRequest:
        return
    assert repr(decode_value(flags, payload)) == repr(value)


@given(st.binary(max_size=200))
def test_arbitrary_payloads_decode_or_are_refused(payload: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        decode_value(PAYLOAD_MSGPACK, payload)


class Colour(enum.IntEnum):
    """A subclass of int."""

    RED = 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, (2, 3)), [1, [2, 3]]),
        ({"a": (1,)}, {"a": [1]}),
        (collections.OrderedDict(a=1), {"a": 1}),
        (Colour.RED, 1),
        ([Colour.RED], [1]),
        (bytearray(b"x"), b"x"),
        (memoryview(b"xy"), b"xy"),
        ([bytearray(b"x")], [b"x"]),
    ],
)
def test_near_types_become_the_plain_one(value: Any, expected: Any) -> None:
    assert decode_value(*encode_value(value)) == expected


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (object(), "got object"),
        ({1, 2}, "got set"),
        ([{1}], "got set"),
        ({"a": [object()]}, "got object"),
        ({(1, 2): 3}, "key of a map"),
        (1j, "got complex"),
        (2**64, "integer"),
        ([-(2**63) - 1], "integer"),
        ("\ud800", "surrogates"),
        (["\ud800"], "surrogates"),
        (msgpack.ExtType(1, b""), "got ExtType"),
        ([msgpack.Timestamp(1)], "got Timestamp"),
        (b"x" * (VALUE_LIMIT_BYTES + 1), "at most"),
        ("x" * VALUE_LIMIT_BYTES, "at most"),
    ],
)
def test_what_would_not_come_back_is_refused(value: Any, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        encode_value(value)
    assert encode_value([1]) == (PAYLOAD_MSGPACK, b"\x91\x01"), "a refusal must not spoil the next value"


def test_the_largest_value_is_accepted() -> None:
    assert len(encode_value(b"x" * VALUE_LIMIT_BYTES)[1]) == VALUE_LIMIT_BYTES


def nested(depth: int) -> Any:
    """A value of this many lists inside one another."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_depth() -> None:
    assert decode_value(*encode_value(nested(DEPTH_LIMIT))) == nested(DEPTH_LIMIT)
    with pytest.raises(InvalidRequest, match="deep"):
        encode_value(nested(DEPTH_LIMIT + 1))
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidRequest, match="deep"):
        encode_value(endless)


def test_keys() -> None:
    assert encode_key("ä") == b"\xc3\xa4"
    assert encode_key(b"\xff") == b"\xff"
    assert encode_key("x" * 1024) == b"x" * 1024


@pytest.mark.parametrize("key", ["", b"", "x" * 1025, "ä" * 513, "\ud800", 7, None, bytearray(b"x")])
def test_bad_keys_are_refused(key: Any) -> None:
    with pytest.raises(InvalidRequest, match="a key"):
        encode_key(key)
