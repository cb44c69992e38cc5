"""Log lines are JSON, complete, without keys, and never block whoever writes them."""

import io
import json
import os
import time

import pytest

from dynacache.events import Note
from dynacache.runtime.logs import LogWriter


def lines_of(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_note_is_one_json_line() -> None:
    stream = io.StringIO()
    log = LogWriter(stream, context={"node": "a"})
    log.write(Note("peer.unreachable", {"peer": "b", "reason": 'said "no"\n', "raw": b"\xff"}, "warning"))
    log.close()
    (line,) = lines_of(stream)
    assert line.pop("time_ms") == pytest.approx(time.time() * 1000, abs=5000)
    assert line == {
        "event": "peer.unreachable",
        "level": "warning",
        "node": "a",
        "peer": "b",
        "reason": 'said "no"\n',
        "raw": "b'\\xff'",
    }


def test_lower_levels_are_left_out() -> None:
    stream = io.StringIO()
    log = LogWriter(stream, level="warning")
    for level in ("debug", "info", "warning", "error", "unheard of"):
        log.write(Note(level, {}, level))
    log.close()
    assert [line["event"] for line in lines_of(stream)] == ["warning", "error"]


def test_keys_are_never_written() -> None:
    stream = io.StringIO()
    log = LogWriter(stream)
    log.write(Note("one", {"key": b"secret"}))
    log.write(Note("two", {"key": b"secret", "keys": [b"secret"]}))
    log.close()
    assert "secret" not in stream.getvalue()
    first, second = lines_of(stream)
    assert str(first["key"]).startswith("hash:")
    assert first["key"] == second["key"]


def test_odd_fields_do_not_end_the_thread() -> None:
    stream = io.StringIO()
    log = LogWriter(stream)
    log.write(Note("one", {"event": "mine", "object": object(), "level": 3}))
    log.write(Note("two", {}))
    log.close()
    assert [line["event"] for line in lines_of(stream)] == ["one", "two"]


def test_a_pipe_that_nobody_reads_blocks_nobody() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        log = LogWriter(stream, limit_count=100)
        began_s = time.monotonic()
        for number in range(5000):
            log.write(Note("flood", {"number": number, "padding": "x" * 200}))
        assert time.monotonic() - began_s < 1
        assert log.dropped > 3000
        drained = b""
        with os.fdopen(reading, "rb", buffering=0) as reader:
            while b"log.dropped" not in drained:
                log.write(Note("after", {}))
                drained += reader.read(65536) or b""
            log.close()
            stream.flush()


def test_a_reader_that_has_gone_is_survived() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w", buffering=1)
    log = LogWriter(stream)
    for _ in range(3):
        log.write(Note("lost", {}))
    log.close()
    assert log.dropped >= 1
    with pytest.raises(BrokenPipeError):
        stream.close()
