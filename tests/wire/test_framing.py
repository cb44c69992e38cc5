"""Any cutting of a stream gives the same messages; over-long and malformed frames are refused at once."""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.errors import FrameTooLarge, ProtocolError
from dynacache.wire.codec import frame_of_messages
from dynacache.wire.framing import FrameReader
from tests.wire.strategies import batches


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """The stream in pieces, cut at the given places."""
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(edges)]


@given(st.lists(batches, max_size=5), st.lists(st.integers(0, 10**6), max_size=12))
def test_any_cutting_gives_the_same_messages(frames: list[list[list[object]]], places: list[int]) -> None:
    stream = b"".join(map(frame_of_messages, frames))
    reader = FrameReader()
    received = [message for piece in cut(stream, places) for message in reader.feed(piece)]
    assert received == [message for frame in frames for message in frame]
    assert reader.frames == len(frames)
    assert reader.pending_bytes == 0


@given(batches)
def test_byte_by_byte(batch: list[list[object]]) -> None:
    stream = frame_of_messages(batch) * 2
    reader = FrameReader()
    assert [message for byte in stream for message in reader.feed(bytes((byte,)))] == batch * 2


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_any_bytes_are_messages_or_a_protocol_error(pieces: list[bytes]) -> None:
    reader = FrameReader(limit_bytes=64)
    try:
        for piece in pieces:
            reader.feed(piece)
            assert reader.pending_bytes <= 64 + 4
    except ProtocolError:
        pass


def test_pending_bytes_tell_a_frame_that_is_not_complete() -> None:
    frame = frame_of_messages([[7, b"x" * 100]])
    reader = FrameReader()
    assert reader.feed(frame + frame[:10]) == [[7, b"x" * 100]]
    assert (reader.frames, reader.pending_bytes) == (1, 10)
    assert reader.feed(frame[10:]) == [[7, b"x" * 100]]
    assert (reader.frames, reader.pending_bytes) == (2, 0)


@pytest.mark.parametrize("before", [b"", frame_of_messages([[7]])])
@pytest.mark.parametrize("body", [b"", bytes(1001)])
def test_an_oversized_frame_is_refused_from_its_header(before: bytes, body: bytes) -> None:
    reader = FrameReader(limit_bytes=1000)
    with pytest.raises(FrameTooLarge, match=r"1001 bytes.* 1000"):
        reader.feed(before + (1001).to_bytes(4, "big") + body)
    assert reader.pending_bytes == 0


def test_an_oversized_header_in_two_reads() -> None:
    reader = FrameReader(limit_bytes=1000)
    assert reader.feed(b"\xff\xff") == []
    with pytest.raises(FrameTooLarge):
        reader.feed(b"\xff\xff")


def test_the_limit_can_be_raised() -> None:
    frame = frame_of_messages([[7, bytes(2000)]])
    reader = FrameReader(limit_bytes=1000)
    reader.limit_bytes = 4000
    assert reader.feed(frame) == [[7, bytes(2000)]]


def test_a_malformed_frame_after_a_good_one() -> None:
    with pytest.raises(ProtocolError):
        FrameReader().feed(frame_of_messages([[7]]) + b"\x00\x00\x00\x01\xc1")


def test_a_large_frame_in_small_reads_costs_linear_time() -> None:
    frame = frame_of_messages([[7, bytes(16 * 1024 * 1024)]])
    reader = FrameReader()
    started = time.perf_counter()
    received = [message for start in range(0, len(frame), 4096) for message in reader.feed(frame[start : start + 4096])]
    # Quadratic copying would move 32 GiB here, which takes many times as long on any machine.
    assert time.perf_counter() - started < 2
    assert len(received[0][1]) == 16 * 1024 * 1024


@given(st.lists(batches, max_size=5), st.lists(st.integers(0, 10**6), max_size=12))
def test_one_frame_at_a_time(frames: list[list[list[object]]], places: list[int]) -> None:
    reader = FrameReader()
    received = []
    for piece in cut(b"".join(map(frame_of_messages, frames)), places):
        messages = reader.feed_one(piece)
        while messages is not None:
            received.append(messages)
            messages = reader.feed_one(b"")
    assert received == frames
    assert reader.pending_bytes == 0


def test_the_limit_rises_between_two_frames_of_one_read() -> None:
    large = frame_of_messages([[7, bytes(200)]])
    reader = FrameReader(limit_bytes=100)
    assert reader.feed_one(frame_of_messages([[22]]) + large) == [[22]]
    reader.limit_bytes = 1000
    assert reader.feed(b"") == [[7, bytes(200)]]
    assert reader.feed(large) == [[7, bytes(200)]]
    reader.limit_bytes = 100
    with pytest.raises(FrameTooLarge):
        reader.feed_one(large[:4])
