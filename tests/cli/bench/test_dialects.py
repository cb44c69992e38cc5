"""Dialects: what is sent is what the protocols say, and the short cut never hides an answer that is not "served"."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.cli.bench.dialects import DynacacheDialect, FramesReader, RedisDialect, dialect_of
from dynacache.cli.bench.job import Job
from dynacache.cli.bench.stream import Request, payload_of
from dynacache.wire.codec import frame_of_messages, pack_message
from dynacache.wire.framing import FrameReader
from dynacache.wire.messages import DONE, ERROR, GET, MISS, PAYLOAD_RAW, SET, TOPOLOGY, VALUE, WRITE

JOB = Job("dynacache", (("127.0.0.1", 1),), value_bytes=10, read_level=2, write_level=4)
REDIS = attrs.evolve(JOB, dialect="redis")
READ, WRITTEN = Request(b"k", True), Request(b"k", False)
mixes = st.lists(st.booleans().map(lambda is_read: Request(b"key", is_read)), min_size=1, max_size=127)
sizes = st.sampled_from([0, 1, 10, 31, 32, 200, 255, 256, 300, 512, 5000, 70_000])


def answers(requests: list[Request], payload: bytes) -> list[list[object]]:
    return [
        [VALUE, rid, PAYLOAD_RAW, payload] if request.is_read else [DONE, rid, True]
        for rid, request in enumerate(requests, 1)
    ]


def test_a_batch_is_one_frame_of_requests() -> None:
    batch = DynacacheDialect(JOB).batch([READ, WRITTEN])
    assert FrameReader().feed(batch.data) == [[GET, 1, b"k", 2], [SET, 2, b"k", PAYLOAD_RAW, payload_of(JOB), 4]]
    assert batch.count == 2


@given(mixes, sizes)
def test_the_expected_length_is_that_of_the_answers(requests: list[Request], size: int) -> None:
    job = attrs.evolve(JOB, value_bytes=size)
    batch = DynacacheDialect(job).batch(requests)
    assert batch.reply_bytes == len(frame_of_messages(answers(requests, payload_of(job))))


@given(mixes, sizes, st.integers(0, 126), st.text(max_size=600), st.sampled_from(["error", "miss", "refused"]))
def test_no_bad_answer_passes_as_served(requests: list[Request], size: int, at: int, text: str, kind: str) -> None:
    job = attrs.evolve(JOB, value_bytes=size)
    dialect = DynacacheDialect(job)
    replies = answers(requests, payload_of(job))
    at %= len(replies)
    if requests[at].is_read == (kind == "refused") and kind != "error":
        return
    if kind == "error" and len(text) % 2:
        # The worst case: an error just as long as the answer in whose place it stands.
        text = "x" * max(0, len(pack_message(replies[at])) - len(pack_message([ERROR, 1, 50, "x" * 400])) + 400)
    bad: dict[str, list[object]] = {
        "error": [ERROR, at + 1, 50, text],
        "miss": [MISS, at + 1, 3],
        "refused": [DONE, at + 1, False],
    }
    replies[at] = bad[kind]
    data = frame_of_messages(replies)
    assert len(data) != dialect.batch(requests).reply_bytes or dialect.odd(data)


def test_frames_are_counted_by_what_they_hold() -> None:
    reader = FramesReader()
    frame = frame_of_messages([[TOPOLOGY, 0, [], {}], [VALUE, 3, 1, b""], [MISS, 4, 0], [DONE, 5, False]])
    assert reader.feed(frame[:7]) == []
    assert reader.feed(frame[7:]) == [(3, "ok"), (4, "miss"), (5, "failed")]
    with pytest.raises(ValueError, match="kind 1"):
        reader.feed(frame_of_messages([[WRITE, 0]]))


def test_redis_commands() -> None:
    payload = payload_of(JOB)
    batch = RedisDialect(REDIS).batch([READ, WRITTEN])
    write = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\n" + payload + b"\r\n*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n"
    assert batch.data == b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n" + write


@pytest.mark.parametrize(("wait", "kinds", "waits"), [("each", "rucuc", 2), ("batch", "ruuc", 1), ("none", "rww", 0)])
def test_where_redis_waits(wait: str, kinds: str, waits: int) -> None:
    batch = RedisDialect(attrs.evolve(REDIS, wait=wait)).batch([READ, WRITTEN, WRITTEN])
    assert (batch.kinds, batch.data.count(b"WAIT"), batch.count) == (kinds, waits, 3)


@given(mixes, sizes, st.sampled_from(["each", "batch", "none"]))
def test_the_expected_length_of_redis(requests: list[Request], size: int, wait: str) -> None:
    job = attrs.evolve(REDIS, value_bytes=size, wait=wait)
    dialect = RedisDialect(job)
    batch = dialect.batch(requests)
    value = b"$%d\r\n%b\r\n" % (size, payload_of(job))
    by_kind = {"r": value, "w": b"+OK\r\n", "u": b"+OK\r\n", "c": b":2\r\n"}
    data = b"".join(by_kind[kind] for kind in batch.kinds)
    assert batch.reply_bytes == len(data)
    assert not dialect.odd(data)
    reader = dialect.reader()
    reader.expect(batch)
    assert reader.feed(data) == [(0, "ok")] * len(requests)


@pytest.mark.parametrize("data", [b"+OK\r\n:0\r\n", b"-ERR\r\n:1\r\n", b"$-1\r\n"])
def test_redis_answers_that_need_a_closer_look(data: bytes) -> None:
    assert RedisDialect(REDIS).odd(data)


def test_an_unknown_dialect_is_named() -> None:
    with pytest.raises(ValueError, match="'esperanto'"):
        dialect_of(attrs.evolve(JOB, dialect="esperanto"))
