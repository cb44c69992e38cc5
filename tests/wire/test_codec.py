"""Encoding loses nothing, sharing changes nothing, and no bytes at all can raise anything but ProtocolError."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.errors import ProtocolError
from dynacache.wire import codec
from dynacache.wire.codec import LENGTH_BYTES, frame_of_messages, frame_of_packed, messages_of_body, pack_message
from dynacache.wire.framing import FrameReader
from dynacache.wire.messages import MESSAGE_LIMIT_COUNT
from tests.wire.strategies import batches


@given(batches)
def test_a_frame_is_a_length_and_one_array(batch: list[list[object]]) -> None:
    frame = frame_of_messages(batch)
    assert int.from_bytes(frame[:LENGTH_BYTES], "big") == len(frame) - LENGTH_BYTES
    assert messages_of_body(frame[LENGTH_BYTES:]) == batch
    assert messages_of_body(memoryview(frame)[LENGTH_BYTES:]) == batch


@given(batches)
def test_packed_one_by_one_gives_the_same_frame(batch: list[list[object]]) -> None:
    assert frame_of_packed([pack_message(message) for message in batch], len(batch)) == frame_of_messages(batch)


@pytest.mark.parametrize("count", [15, 16, 17, 65_535])
def test_array_headers_of_every_size(count: int) -> None:
    batch = [[7]] * count
    frame = frame_of_packed([pack_message([7])] * count, count)
    assert frame == frame_of_messages(batch)
    assert messages_of_body(frame[LENGTH_BYTES:]) == batch


def test_more_messages_than_a_frame_holds_leave_as_several_frames() -> None:
    batch = [[7, number] for number in range(MESSAGE_LIMIT_COUNT + 1)]
    reader = FrameReader()
    assert reader.feed(frame_of_messages(batch)) == batch
    assert reader.frames == 2


def test_more_bytes_than_a_frame_holds_leave_as_several_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "FRAME_LIMIT_BYTES", 100)
    batch = [[7, bytes((number,)) * 60] for number in range(5)]
    reader = FrameReader(limit_bytes=100)
    assert reader.feed(frame_of_messages(batch)) == batch
    assert reader.frames == 5
    with pytest.raises(ValueError, match="at most 100"):
        frame_of_messages([[7, bytes(101)]])


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_a_protocol_error(body: bytes) -> None:
    try:
        messages = messages_of_body(body)
    except ProtocolError:
        return
    assert all(type(message) is list and type(message[0]) is int for message in messages)


@given(st.recursive(st.integers() | st.binary() | st.text(), st.lists))
def test_any_value_is_messages_or_a_protocol_error(value: object) -> None:
    try:
        body = pack_message(value)
    except OverflowError:
        return
    try:
        assert messages_of_body(body) == value
    except ProtocolError:
        assert not isinstance(value, list) or any(
            not isinstance(message, list) or not message or not isinstance(message[0], int) for message in value
        )


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xc1", id="never used"),
        pytest.param(b"\x91", id="cut short"),
        pytest.param(b"\x90\x90", id="two values"),
        pytest.param(b"\xc0", id="nil"),
        pytest.param(b"\x81\x01\x02", id="map"),
        pytest.param(b"\x91\x01", id="message is not an array"),
        pytest.param(b"\x91\x90", id="message is empty"),
        pytest.param(b"\x91\x91\xa1a", id="kind is text"),
        pytest.param(b"\x91\x91\xc3", id="kind is true"),
        pytest.param(b"\x91\x92\x01\xa1\xff", id="text is not UTF-8"),
        pytest.param(b"\x91\x92\x01\xd4\x05\x00", id="extension"),
        pytest.param(b"\x91\x92\x01\x81\x90\x01", id="list as a map's key"),
        pytest.param(b"\xdd\xff\xff\xff\xff", id="array of four billion"),
        pytest.param(b"\xdf\xff\xff\xff\xff", id="map of four billion"),
        pytest.param(b"\xc6\xff\xff\xff\xff", id="bytes of four billion"),
        pytest.param(b"\x91" * 100_000, id="deeply nested"),
        pytest.param(pack_message([[7]] * (MESSAGE_LIMIT_COUNT + 1)), id="too many messages"),
    ],
)
def test_malformed_bodies(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        messages_of_body(body)


def test_a_timestamp_becomes_an_integer() -> None:
    body = msgpack.packb([[7, msgpack.Timestamp(1, 5)]])
    assert messages_of_body(body) == [[7, 1_000_000_005]]
