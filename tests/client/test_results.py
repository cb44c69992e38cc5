"""Replies of the wire as values."""

from typing import Any

import pytest

from dynacache.client import results
from dynacache.client.results import Fetched, Receipt, Sibling, Written, error_of
from dynacache.errors import NotReady, ProtocolError, UncertainError
from dynacache.types import Level, MissReason
from dynacache.wire.messages import DONE, ERROR, MISS, NUMBER, PONG, REPORTED, VALUE

NOW_MS = 1_000_000
RECEIPT = {
    "asked": ["n1", "n2", "n3"],
    "answered": ["n1", "n2"],
    "unknown": ["n3"],
    "stood_in": ["n4"],
    "level": 2,
    "coordinator": "n1",
    "unrepaired": True,
    "degraded": False,
}


def test_value_and_miss() -> None:
    assert results.read_value([VALUE, 1, 0, b"\x07"], None, NOW_MS) == 7
    assert results.read_value([MISS, 1, 0], "default", NOW_MS) == "default"


def test_found() -> None:
    assert results.read_found([VALUE, 1, 1, b""], None, NOW_MS) is True
    assert results.read_found([MISS, 1, 4], None, NOW_MS) is False


def test_ttl() -> None:
    assert results.read_ttl([VALUE, 1, 1, b"", {"e": NOW_MS + 1500}], None, NOW_MS) == 1.5
    assert results.read_ttl([VALUE, 1, 1, b"", {"e": 0}], None, NOW_MS) is None
    assert results.read_ttl([MISS, 1, 0], None, NOW_MS) == 0.0


def test_a_returned_entry_never_has_a_ttl_of_zero() -> None:
    assert results.read_ttl([VALUE, 1, 1, b"", {"e": NOW_MS - 50}], None, NOW_MS) == results.TTL_MINIMUM_S


def test_fetched() -> None:
    metadata = {
        "c": b"v",
        "t": 2500,
        "b": 1500,
        "e": NOW_MS + 10_000,
        "r": RECEIPT,
        "s": [[1, b"a", 2500], [0, b"\x01", 2000]],
    }
    assert results.read_fetched([VALUE, 1, 1, b"a", metadata], None, NOW_MS) == Fetched(
        value=b"a",
        found=True,
        version=b"v",
        created_at=1.5,
        last_updated=2.5,
        ttl=10.0,
        siblings=(Sibling(b"a", 2.5), Sibling(1, 2.0)),
        receipt=Receipt("n1", Level.QUORUM, ("n1", "n2", "n3"), ("n1", "n2"), ("n3",), ("n4",), True, False),
    )


@pytest.mark.parametrize("reason", list(MissReason))
def test_a_miss_has_its_reason(reason: MissReason) -> None:
    fetched = results.read_fetched([MISS, 1, int(reason)], "default", NOW_MS)
    assert (fetched.value, fetched.found, fetched.miss_reason) == ("default", False, reason)


def test_a_reason_of_a_later_release_reads_as_unknown() -> None:
    assert results.read_fetched([MISS, 1, 99], None, NOW_MS).miss_reason is MissReason.UNKNOWN


def test_written() -> None:
    assert results.read_written([DONE, 1, True], None, NOW_MS) == Written(True)
    assert not results.read_written([DONE, 1, False], None, NOW_MS)
    metadata = {"c": b"v", "p": [1, b"old"], "r": RECEIPT}
    written = results.read_written([DONE, 1, True, metadata], None, NOW_MS)
    assert (written.version, written.previous, bool(written)) == (b"v", b"old", True)
    assert written.receipt is not None
    assert written.receipt.coordinator == "n1"


def test_previous() -> None:
    assert results.read_previous([DONE, 1, True, {"p": [0, b"\x07"]}], None, NOW_MS) == 7
    assert results.read_previous([DONE, 1, True, {"p": None}], "default", NOW_MS) == "default"
    assert results.read_previous([DONE, 1, True], "default", NOW_MS) == "default"


def test_the_rest() -> None:
    assert results.read_applied([DONE, 1, False], None, NOW_MS) is False
    assert results.read_number([NUMBER, 1, -7], None, NOW_MS) == -7
    assert results.read_report([REPORTED, 1, {"a": 1}], None, NOW_MS) == {"a": 1}
    results.read_nothing([PONG, 1], None, NOW_MS)


def test_what_a_receipt_does_not_tell_is_empty() -> None:
    receipt = results.read_fetched([VALUE, 1, 1, b"", {"r": {"coordinator": "n1", "level": 99}}], None, NOW_MS).receipt
    assert receipt == Receipt("n1", None, (), (), (), (), False, False)


DECODERS = [
    *(results.read_applied, results.read_fetched, results.read_found, results.read_nothing, results.read_number),
    *(results.read_previous, results.read_report, results.read_ttl, results.read_value, results.read_written),
]


@pytest.mark.parametrize("decode", DECODERS)
def test_a_reply_of_another_kind_is_refused(decode: Any) -> None:
    with pytest.raises(ProtocolError, match="does not fit"):
        decode([12, 1, 0, b""], None, NOW_MS)


def test_errors() -> None:
    assert error_of([DONE, 1, True]) is None
    error = error_of([ERROR, 1, NotReady.code, "soon"])
    assert type(error) is NotReady
    assert str(error) == "soon"
    assert type(error_of([ERROR, 1, 9999, "new"])) is UncertainError
    assert type(error_of([ERROR, 1])) is UncertainError
    assert type(error_of([ERROR, 1, "code", "text"])) is UncertainError
