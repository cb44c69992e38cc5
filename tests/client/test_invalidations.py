"""Calls that invalidate: their messages, what may be repeated, and bad arguments."""

from typing import Any

import pytest

from dynacache.client.invalidations import appendix, tag_bytes, tags_field
from dynacache.client.options import Options
from dynacache.client.requests import Requests
from dynacache.client.results import read_fetched
from dynacache.errors import InvalidRequest
from dynacache.types import Level, MissReason
from dynacache.wire.epoch_names import FLUSH, PATTERN, TAG
from dynacache.wire.messages import DELETE, INVALIDATE, MISS, VALUE

REQUESTS = Requests(Options(), b"client-1")
SHOP = REQUESTS.of_namespace("shop")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (REQUESTS.invalidate_tag("red"), [INVALIDATE, 0, TAG, b"", b"red", 0, 0, True]),
        (SHOP.invalidate_tag(b"red", level="all"), [INVALIDATE, 0, TAG, b"shop", b"red", Level.ALL, 0, True]),
        (SHOP.invalidate_pattern("user:*", strict=False), [INVALIDATE, 0, PATTERN, b"shop", b"user:*", 0, 0, False]),
        (REQUESTS.flush(), [INVALIDATE, 0, FLUSH, b"", b"", 0, 0, True]),
    ],
)
def test_messages(call: Any, message: list[Any]) -> None:
    assert call.message == message
    assert message[call.timeout_position] == 0
    assert (call.key, call.repeatable, call.changes) == (None, True, True)


def test_a_key_and_a_version_are_deleted_under_an_operation_id() -> None:
    whole = REQUESTS.invalidate("k")
    assert whole.message[:8] == [DELETE, 0, b"k", 0, 0, 0, 0, None]
    part = SHOP.invalidate_version("k", b"v", level="one", timeout=3)
    assert part.message[:8] == [DELETE, 0, b"\x00\x04shopk", Level.ONE, 0, 0, 0, b"v"]
    assert whole.message[8] != part.message[8]
    assert part.repeatable
    assert part.timeout_s == 3


def test_tags_and_fill_stand_at_the_end_of_a_set() -> None:
    assert len(REQUESTS.set("k", 1).message) == 12
    tagged = REQUESTS.set("k", 1, tags=["b", b"a", "b"])
    assert tagged.message[11:] == [tagged.message[11], [b"a", b"b"]]
    assert tagged.repeatable
    assert REQUESTS.set("k", 1, tags=["a"], only_if_absent=True).message[9:] == [1, None, None, [b"a"]]
    filled = REQUESTS.set("k", 1, tags=["a"], fill=b"token")
    assert filled.message[9:] == [0, None, None, [b"a"], b"token"]
    assert not filled.repeatable
    assert REQUESTS.set("k", 1, fill=b"token").message[9:] == [0, None, None, None, b"token"]


@pytest.mark.parametrize(
    "bad", ["text", b"bytes", 5, [""], [None], ["x" * 129], [str(number) for number in range(65)], ["\ud800"]]
)
def test_bad_tags_are_refused_before_anything_is_sent(bad: Any) -> None:
    with pytest.raises(InvalidRequest, match="tag"):
        REQUESTS.set("k", 1, tags=bad)


def test_other_bad_arguments() -> None:
    for build in (
        lambda: REQUESTS.invalidate_pattern("x" * 1_025),
        lambda: REQUESTS.invalidate_tag(""),
        lambda: REQUESTS.invalidate_version("k", "text"),  # type: ignore[arg-type]
        lambda: REQUESTS.set("k", 1, fill=b"t", only_if_absent=True),
        lambda: REQUESTS.set("k", 1, fill="text"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidRequest, match="got"):
            build()


def test_wire_forms() -> None:
    assert tag_bytes("é") == "é".encode()
    assert tags_field(()) is None
    assert tags_field({"a": 1}) == [b"a"]
    assert appendix((), None, conditional=True) == []


def test_what_a_fetch_tells() -> None:
    missed = read_fetched([MISS, 1, MissReason.INVALIDATED, {"f": b"token"}], None, 0)
    assert (missed.miss_reason, missed.fill, missed.tags) == (MissReason.INVALIDATED, b"token", ())
    found = read_fetched([VALUE, 1, 0, b"\x01", {"g": [b"a"], "c": b"v", "b": 1, "t": 1, "e": 0}], None, 0)
    assert (found.tags, found.fill) == ((b"a",), None)
