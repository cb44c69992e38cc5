"""Answers of Redis: counted once, as what they are, however the bytes are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.cli.bench.batch import Batch
from dynacache.cli.bench.resp import RespReader

REPLIES = {"r": [b"$3\r\nabc\r\n", b"$0\r\n\r\n", b"$-1\r\n", b"-ERR no\r\n"], "w": [b"+OK\r\n", b"-ERR full\r\n"]}
OUTCOMES = {b"$3\r\nabc\r\n": "ok", b"$0\r\n\r\n": "ok", b"$-1\r\n": "miss", b"+OK\r\n": "ok"}


def reader_for(kinds: str) -> RespReader:
    reader = RespReader()
    reader.expect(Batch(b"", 0, 0, kinds))
    return reader


@given(st.data())
def test_any_cut_gives_the_same_outcomes(data: st.DataObject) -> None:
    kinds = data.draw(st.text("rw", min_size=1, max_size=8))
    replies = [data.draw(st.sampled_from(REPLIES[kind])) for kind in kinds]
    stream = b"".join(replies)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)))))
    reader = reader_for(kinds)
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += reader.feed(stream[start:end])
    assert found == [(0, OUTCOMES.get(reply, "failed")) for reply in replies]


def test_a_write_is_done_when_its_wait_has_answered() -> None:
    reader = reader_for("ucuc")
    assert reader.feed(b"+OK\r\n") == []
    assert reader.feed(b":1\r\n+OK\r\n") == [(0, "ok")]
    assert reader.feed(b":2\r\n") == [(0, "ok")]


def test_a_write_that_no_replica_confirms_has_failed() -> None:
    assert reader_for("uc").feed(b"+OK\r\n:0\r\n") == [(0, "failed")]
    assert reader_for("uc").feed(b"-OOM\r\n:1\r\n") == [(0, "failed")]
    assert reader_for("uc").feed(b"+OK\r\n-ERR\r\n") == [(0, "failed")]


def test_one_wait_ends_all_writes_before_it() -> None:
    assert reader_for("uuruc").feed(b"+OK\r\n-OOM\r\n$-1\r\n+OK\r\n:2\r\n") == [
        *[(0, "miss"), (0, "ok"), (0, "failed"), (0, "ok")]
    ]


@pytest.mark.parametrize("data", [b"*1\r\n", b"hello\r\n", b"\r\n"])
def test_other_forms_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="unexpected answer"):
        reader_for("r").feed(data)


def test_an_answer_too_many_is_refused() -> None:
    with pytest.raises(ValueError, match="unexpected answer"):
        reader_for("w").feed(b"+OK\r\n+OK\r\n")
