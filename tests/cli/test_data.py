"""The commands on keys, on a fake cluster."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from dynacache.cli import data
from dynacache.cli.output import Answer
from dynacache.errors import InvalidRequest
from dynacache.types import MissReason
from tests.cli.fakes import FakeClient


@pytest.fixture
def client() -> FakeClient:
    return FakeClient({b"text": "hello", b"raw": b"\x00\xff", b"list": [1, {"a": b"b"}], b"number": 7})


@pytest.mark.parametrize(
    ("text", "as_json", "expected"), [("7", False, "7"), ("7", True, 7), ('{"a": [null]}', True, {"a": [None]})]
)
def test_values_from_the_command_line(text: str, as_json: bool, expected: Any) -> None:
    assert data.value_from(text, as_json, None) == expected


def test_raw_files_are_stored_untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "value"
    path.write_bytes(b"\r\n\x00")
    assert data.value_from(None, False, str(path)) == b"\r\n\x00"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    assert data.value_from(None, False, "-") == b"\xff"


@pytest.mark.parametrize(
    ("text", "as_json", "raw_file"),
    [(None, False, None), ("a", False, "b"), (None, True, "b"), ("{", True, None), (None, False, "/does/not/exist")],
)
def test_contradictions_are_refused(text: str | None, as_json: bool, raw_file: str | None) -> None:
    with pytest.raises(InvalidRequest):
        data.value_from(text, as_json, raw_file)


@pytest.mark.parametrize(
    ("key", "text"), [("text", "hello"), ("raw", "\x00\\xff"), ("list", '[1, {"a": "b"}]'), ("number", "7")]
)
def test_get_prints_the_value(client: FakeClient, key: str, text: str) -> None:
    answer = data.get(client, key, "quorum", None)
    assert (answer.text, answer.exit_code) == (text, 0)
    assert answer.record == {"key": key, "found": True, "value": client.values[key.encode()]}
    assert client.calls == [("fetch", key, "quorum", False, False)]


@pytest.mark.parametrize(("key", "content"), [("raw", b"\x00\xff"), ("text", b"hello"), ("number", b"7")])
def test_get_writes_bytes_to_a_file(client: FakeClient, tmp_path: Path, key: str, content: bytes) -> None:
    assert data.get(client, key, None, str(tmp_path / "out")).exit_code == 0
    assert (tmp_path / "out").read_bytes() == content
    with pytest.raises(InvalidRequest, match="cannot write"):
        data.get(client, key, None, str(tmp_path / "no" / "out"))


@pytest.mark.parametrize("reason", list(MissReason))
def test_a_miss_has_exit_code_three_and_a_reason(client: FakeClient, reason: MissReason) -> None:
    client.miss_reason = reason
    for answer in (data.get(client, "x", None, None), data.ttl(client, "x", None), data.fetch(client, "x", None, True)):
        assert answer.exit_code == 3
        assert answer.record == {"key": "x", "found": False, "reason": reason.name.lower()}
        assert "'x' not found" in answer.complaint
        assert not answer.text


def set_answer(client: FakeClient, key: str, **flags: bool) -> Answer:
    options: dict[str, Any] = {"only_if_absent": False, "only_if_present": False} | flags
    return data.set_value(client, key, "v", ttl=None, level=None, **options)


def test_set_tells_whether_the_condition_held(client: FakeClient) -> None:
    assert set_answer(client, "new").exit_code == 0
    assert set_answer(client, "new", only_if_absent=True).exit_code == 3
    assert set_answer(client, "newer", only_if_absent=True).exit_code == 0
    assert set_answer(client, "newest", only_if_present=True).exit_code == 3
    assert set_answer(client, "new", only_if_present=True).record == {"key": "new", "applied": True}
    with pytest.raises(InvalidRequest):
        set_answer(client, "new", only_if_absent=True, only_if_present=True)


def test_the_other_commands(client: FakeClient) -> None:
    client.ttls[b"text"] = 12.5
    assert data.ttl(client, "text", None).text == "12.500"
    assert data.ttl(client, "raw", None).text == "never expires"
    assert data.touch(client, "text", 9.0, None).exit_code == 0
    assert data.touch(client, "none", 9.0, None).exit_code == 3
    assert data.exists(client, "text", None).exit_code == 0
    assert data.exists(client, "none", None).exit_code == 3
    assert data.increment(client, "count", 5, None, "all").record == {"key": "count", "value": 5}
    assert data.increment(client, "count", -2, None, "all").text == "3"
    assert data.delete(client, "text", None).exit_code == 0
    assert b"text" not in client.values


def test_mget_shows_what_is_there_and_what_is_not(client: FakeClient) -> None:
    answer = data.mget(client, ["text", "none", "number"], None)
    assert answer.record == {"found": {"text": "hello", "number": 7}, "missing": ["none"]}
    assert answer.tables[0].rows == (("text", "hello"), ("none", "(not found)"), ("number", "7"))
    assert data.mget(client, ["none"], None).exit_code == 3
    with pytest.raises(InvalidRequest, match="at least one KEY"):
        data.mget(client, [], None)


def test_fetch_shows_everything(client: FakeClient) -> None:
    client.siblings[b"text"] = ("hello", "hullo")
    answer = data.fetch(client, "text", None, True)
    record = answer.record
    assert record["version"] == "01ff"
    assert [sibling["value"] for sibling in record["siblings"]] == ["hello", "hullo"]
    assert record["receipt"]["level"] == "quorum"
    assert list(record["receipt"]["answered"]) == ["a", "b"]
    shown = answer.tables[0].rows
    assert shown[:3] == (("value", "hello"), ("concurrent", "hello"), ("concurrent", "hullo"))
    assert ("last updated", "1970-01-01 00:00:02.000+00:00") in shown
    assert ("time to live", "never expires") in shown
    assert ("answered", "a, b") in shown
    assert ("unrepaired", "no") in shown
