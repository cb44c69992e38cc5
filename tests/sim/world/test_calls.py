"""Operations as calls: what the wire carries, and what follows an answer."""

from typing import Any

import pytest

from dynacache.client.options import Options
from dynacache.client.requests import Requests
from dynacache.wire.epoch_names import FLUSH, PATTERN, TAG
from dynacache.wire.messages import (
    COMMAND,
    DELETE,
    GET,
    INVALIDATE,
    MISS,
    PAYLOAD_SLIDING,
    REPORTED,
    SCAN,
    SCANNED,
    SET,
    VALUE,
)
from sim.history import OperationKind
from sim.workload import Operation
from sim.world.calls import PAGE_KEYS, first_call, following


def operation(kind: OperationKind, key: bytes = b"k", **given: Any) -> Operation:
    return Operation(7, 0.0, 0, kind, key, {"level": 2, **given})


def requests() -> Requests:
    return Requests(Options(), bytes(8))


def first(kind: OperationKind, **given: Any) -> list[Any]:
    return first_call(requests(), operation(kind, **given), kind, b"seen").message


@pytest.mark.parametrize(
    ("kind", "argument", "expected"),
    [
        (OperationKind.INVALIDATE_TAG, {"tag": b"t"}, [TAG, b"", b"t"]),
        (OperationKind.INVALIDATE_PATTERN, {"pattern": b"k*"}, [PATTERN, b"", b"k*"]),
        (OperationKind.FLUSH, {}, [FLUSH, b"", b""]),
    ],
)
def test_an_invalidation_names_what_it_concerns(
    kind: OperationKind, argument: dict[str, Any], expected: list[Any]
) -> None:
    assert first(kind, **argument) == [INVALIDATE, 0, *expected, 2, 0]


def test_tags_stand_behind_the_operation_id() -> None:
    message = first(OperationKind.SET, value=b"v", tags=[b"a", b"b"])
    assert (message[0], message[12], len(message)) == (SET, [b"a", b"b"], 13)
    assert len(first(OperationKind.SET, value=b"v")) <= 12
    assert first(OperationKind.SET_IF_ABSENT, value=b"v", tags=[b"a"])[12] == [b"a"]


def test_a_version_is_invalidated_whatever_else_there_is() -> None:
    message = first(OperationKind.INVALIDATE_VERSION)
    assert (message[0], message[6], message[7]) == (DELETE, 0, b"seen")


def test_a_fill_is_a_read_and_after_a_pause_a_write_with_the_token_of_its_miss() -> None:
    filling = operation(OperationKind.FILL, value=b"v", tags=[b"a"], think_s=1.5)
    call = first_call(requests(), filling, OperationKind.FILL, None)
    assert call.message[0] == GET
    call.reply = [VALUE, 0, 1, b"other"]
    assert following(requests(), filling, call) is None
    call.reply = [MISS, 0, 1, {}]
    assert following(requests(), filling, call) is None
    call.reply = [MISS, 0, 1, {"f": b"token"}]
    step = following(requests(), filling, call)
    assert step is not None
    assert (step[0].message[0], step[0].message[12:], step[1]) == (SET, [[b"a"], b"token"], 1.5)
    step[0].reply = [VALUE, 0, 1, b""]
    assert following(requests(), filling, step[0]) is None


def test_a_scan_goes_on_with_its_cursor_until_there_is_none() -> None:
    scan = operation(OperationKind.SCAN, key=b"", prefix=b"k")
    call = first_call(requests(), scan, OperationKind.SCAN, None)
    assert call.message == [SCAN, 0, b"", b"k", None, PAGE_KEYS, 0]
    call.reply = [SCANNED, 0, b"cursor", [b"k1", b"k2"]]
    step = following(requests(), scan, call)
    assert step is not None
    assert (step[0].message[2], step[1]) == (b"cursor", 0.0)
    step[0].reply = [SCANNED, 0, b"", [b"k3"]]
    assert following(requests(), scan, step[0]) is None
    assert step[0].result(0) == [b"k1", b"k2", b"k3"]


def test_settings_are_ordered_of_the_namespace_named() -> None:
    changing = operation(OperationKind.CONFIGURE, b"", settings={"sliding": True}, namespace=b"s1")
    call = first_call(requests(), changing, OperationKind.CONFIGURE, None)
    assert call.message[0] == COMMAND
    assert call.message[3] == {"name": "s1", "options": {"sliding": True}, "write_level": 2}
    call.reply = [REPORTED, 0, {"name": "s1", "version": 77}]
    assert call.result(0) == 77


def test_a_sliding_value_says_so() -> None:
    plain = first(OperationKind.SET, value=b"v", ttl_s=1.5)
    sliding = first(OperationKind.SET, value=b"v", ttl_s=1.5, sliding=True)
    assert sliding[3] == plain[3] | PAYLOAD_SLIDING
    assert first(OperationKind.SET_IF_ABSENT, value=b"v", ttl_s=1.5, sliding=True)[3] & PAYLOAD_SLIDING
