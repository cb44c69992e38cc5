"""Contexts: bound to their key, canonical, and never anything but a Context or a clear error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.errors import InvalidContext
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.versioning.context import (
    CONTEXT_LIMIT_BYTES,
    CONTEXT_VERSION,
    Context,
    covers,
    covers_any,
    current,
    make_context,
    parse_context,
    reaches,
)
from dynacache.versioning.layout import decode
from tests.strategies import record_lists

KEY = 0x1234567890ABCDEF


def context_of(record: bytes | None) -> Context:
    return parse_context(make_context(record, KEY), KEY)


def write(old: bytes | None, issuer: ActorIssuer, time: int, context: Context | None = None) -> bytes:
    return packed.write(old, issuer, time << 16, 0, 0, b"\xc0", time, context)[1]


def test_a_token_of_one_entry_has_25_bytes() -> None:
    token = make_context(write(None, ActorIssuer(7), 1), KEY)
    assert len(token) == 25
    assert token[0] == CONTEXT_VERSION
    assert parse_context(token, KEY).clock == {(7, 1): 1}


def test_a_key_never_seen_has_an_empty_context() -> None:
    assert context_of(None) == Context({}, b"")


@given(record_lists(1))
def test_round_trip(records: list[bytes]) -> None:
    (record,) = records
    context = context_of(record)
    assert context.clock == decode(record).context
    assert covers(context, record)
    assert reaches(record, context)
    assert current(context, record)


@given(record_lists(2))
def test_comparisons_say_what_the_states_say(records: list[bytes]) -> None:
    context, record = context_of(records[0]), records[1]
    state = decode(record)
    assert covers(context, record) == all(context.clock.get(actor, 0) >= n for actor, n in state.dots)
    assert reaches(record, context) == all(state.context.get(actor, 0) >= n for actor, n in context.clock.items())
    assert current(context, record) == (covers(context, record) and reaches(record, context))


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda tail: make_context(None, KEY) + tail)))
def test_any_bytes_give_a_canonical_context_or_a_clear_error(token: bytes) -> None:
    try:
        context = parse_context(token, KEY)
    except InvalidContext:
        return
    assert list(context.clock) == sorted(context.clock)
    assert make_context(None, KEY) + context.packed == token


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (b"", "0 bytes, expected 9 to"),
        (b"\x01" * (CONTEXT_LIMIT_BYTES + 1), "expected 9 to 4089"),
        (b"\x02" + make_context(None, KEY)[1:], "format 2, expected format 1"),
        (make_context(None, KEY + 1), "another key"),
        (make_context(None, KEY) + b"x", "not a multiple of 16"),
        (make_context(None, KEY) + b"\x00" * 16, "counts from 0"),
        (make_context(None, KEY) + (b"\x00" * 15 + b"\x01") * 2, "canonical order"),
        (make_context(None, KEY) + b"\x02" * 16 + b"\x01" * 16, "canonical order"),
    ],
)
def test_what_is_wrong_with_a_token_is_named(token: bytes, message: str) -> None:
    with pytest.raises(InvalidContext, match=message):
        parse_context(token, KEY)


def test_what_is_not_bytes_is_refused() -> None:
    not_bytes: list[object] = ["text", 5, None]
    for token in not_bytes:
        with pytest.raises(InvalidContext, match="bytes"):
            parse_context(token, KEY)  # type: ignore[arg-type]


def test_a_version_is_current_only_while_nothing_newer_is_there() -> None:
    first = write(None, ActorIssuer(1), 1)
    seen = context_of(first)
    second = write(first, ActorIssuer(2), 2)
    assert current(seen, first)
    assert not current(seen, second)
    # A replica that has not yet seen what was read cannot say that it is still current.
    assert not current(context_of(second), first)
    assert current(context_of(second), second)


def test_a_touch_leaves_a_version_current() -> None:
    record = packed.write(None, ActorIssuer(1), 1, 500, 0, b"\xc0", 1)[1]
    assert current(context_of(record), packed.touch(record, 900))


def test_siblings_are_current_only_together() -> None:
    first, second = write(None, ActorIssuer(1), 1), write(None, ActorIssuer(2), 2)
    merged = packed.merge(first, second)
    assert not current(context_of(first), merged)
    assert current(context_of(merged), merged)


def test_covers_any_of_concurrent_versions() -> None:
    first, second = (packed.write(None, ActorIssuer(number), number, 0, 0, b"\xc0", 1)[1] for number in (1, 2))
    both = packed.merge(first, second)
    seen = parse_context(make_context(first, 5), 5)
    assert covers_any(seen, both)
    assert not covers(seen, both)
    assert covers_any(seen, first)
    assert not covers_any(seen, second)
