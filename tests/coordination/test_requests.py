"""A request is checked field by field; the error names the field, the value and what was expected."""

import pytest

from dynacache.coordination.requests import parse
from dynacache.errors import DynacacheError, InvalidRequest, LevelNotAvailable
from dynacache.types import Level
from dynacache.wire.messages import DELETE, GET, INCREMENT, SET, TOUCH


def test_defaults_are_filled_in() -> None:
    request = parse([GET, 1, b"key"], Level.ONE, 1_000, 60_000)
    assert (request.level, request.timeout_ms, request.flags, request.context) == (1, 1_000, 0, None)


def test_every_field_is_taken() -> None:
    message = [SET, 7, b"key", 1, b"value", 3, 500, 9_000, 16, 3, b"context", b"operation"]
    request = parse(message, Level.QUORUM, 1_000, 60_000)
    assert (request.payload, request.level, request.timeout_ms, request.ttl_ms) == (b"value", 3, 500, 9_000)
    assert (request.flags, request.condition, request.context) == (16, 3, b"context")
    assert request.operation_id == b"operation"


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ([GET, 1, b""], "key: got 0 bytes"),
        ([GET, 1, b"x" * 1025], "key: got 1025 bytes"),
        ([GET, 1, "text"], "key: got 'text'"),
        ([GET, 1, b"key", 9], "level: got 9"),
        ([GET, 1, b"key", True], "level: got True"),
        ([GET, 1, b"key", 1, -5], "timeout_ms: got -5"),
        ([GET, 1, b"key", 1, 60_001], "timeout_ms: got 60001"),
        ([GET, 1, b"key", 1, 0, 0, None, 1], "message 32: got 8 fields"),
        ([SET, 1, b"key", 1], "payload: got nothing"),
        ([SET, 1, b"key", 1, "text"], "payload: got 'text'"),
        ([SET, 1, b"key", 2, b""], "payload_flags: got 2"),
        ([SET, 1, b"key", 1, b"", 0, 0, -2], "ttl_ms: got -2"),
        ([SET, 1, b"key", 1, b"", 0, 0, 0, 0, 3], "context: got nothing"),
        ([SET, 1, b"key", 1, b"", 0, 0, 0, 0, 4], "condition: got 4"),
        ([DELETE, 1, b"key", 0, 0, 0, 0, None, b"x" * 33], "operation_id: got 33 bytes"),
        ([TOUCH, 1, b"key", 1.5], "ttl_ms: got 1.5"),
        ([INCREMENT, 1, b"key"], "delta: got nothing"),
        ([INCREMENT, 1, b"key", True], "delta: got True"),
    ],
)
def test_a_bad_field_is_named(message: list[object], named: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(message, Level.ONE, 1_000, 60_000)
    assert named in str(caught.value)
    assert "expected" in str(caught.value)


def test_strong_names_the_mode() -> None:
    with pytest.raises(LevelNotAvailable, match="mode causal"):
        parse([GET, 1, b"key", int(Level.STRONG)], Level.ONE, 1_000, 60_000)
    assert issubclass(LevelNotAvailable, DynacacheError)
