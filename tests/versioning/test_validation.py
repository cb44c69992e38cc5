"""Validation: any bytes are judged without an exception, and what is accepted is safe for every function."""

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.datatypes.reading import read
from dynacache.versioning import packed
from dynacache.versioning.context import make_context, parse_context
from dynacache.versioning.kernel import COUNTER, EXPIRED, REGISTER, State, Version
from dynacache.versioning.layout import ENTRY, HEADER, MANY, TOMBSTONE, VALUE, decode, encode
from dynacache.versioning.validation import DOT_LIMIT, is_well_formed
from tests.strategies import instants, record_lists, states

anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 2**64 - 1), st.floats(), st.binary(max_size=9)),
    lambda inner: st.lists(inner, max_size=9),
    max_leaves=20,
)


def many(payload: Any, entries: bytes = ENTRY.pack(1, 1, 5), times: tuple[int, int, int] = (0, 0, 0)) -> bytes:
    versions: bytes = msgpack.packb(payload)
    return HEADER.pack(0, MANY, 0, len(entries) // 16, 0, *times) + entries + versions


@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_raise(data: bytes) -> None:
    is_well_formed(data)


@given(st.integers(0, 4), st.integers(0, 3), st.binary(max_size=120))
def test_plausible_headers_never_raise(kind: int, count: int, rest: bytes) -> None:
    exercise(bytes([0, kind, 0, count, 0]) + rest)


@given(anything)
def test_any_msgpack_for_the_versions_of_many_never_raises(payload: Any) -> None:
    exercise(many(payload))


@given(record_lists(1), st.data())
def test_a_record_with_one_byte_changed_is_refused_or_safe(records: list[bytes], data: st.DataObject) -> None:
    record = bytearray(records[0])
    at = data.draw(st.integers(0, len(record) - 1))
    record[at] = data.draw(st.integers(0, 255))
    exercise(bytes(record))


@given(states(), instants)
def test_every_record_that_can_be_written_is_accepted(state: State, now_ms: int) -> None:
    record = encode(state, 0)
    assert is_well_formed(record)
    exercise(record, now_ms)


def exercise(record: bytes, now_ms: int = 3) -> None:
    """What is accepted must be safe for every function, and canonical."""
    if not is_well_formed(record):
        return
    assert encode(decode(record), 0) == record
    assert packed.merge(record, bytes(bytearray(record))) is record
    cleaned = packed.clean(record, now_ms)
    assert cleaned is None or is_well_formed(cleaned)
    assert is_well_formed(packed.touch(record, 2**64 - 1))
    read(record, now_ms)
    assert 0 <= packed.version_digest(record) < 2**64
    assert parse_context(make_context(record, 5), 5).clock == decode(record).context


def test_byte_0_must_be_clear() -> None:
    record = encode(State({(1, 1): 1}, frozenset(), {((1, 1), 1): Version(REGISTER, 0, 1, 0, 0, b"")}), packed.OWN_BASE)
    assert not is_well_formed(record)
    assert is_well_formed(packed.strip_local(record))


REFUSED: dict[str, object] = {
    "not bytes": "text",
    "too short": b"\x00" * 44,
    "no entries": HEADER.pack(0, VALUE, 0, 0, 0, 1, 0, 0) + b"x" * 20,
    "fewer entries than announced": HEADER.pack(0, VALUE, 0, 2, 0, 1, 0, 0) + ENTRY.pack(1, 1, 1),
    "index beyond the clock": HEADER.pack(0, VALUE, 0, 1, 1, 1, 0, 0) + ENTRY.pack(1, 1, 1),
    "unknown kind": HEADER.pack(0, 4, 0, 1, 0, 1, 0, 0) + ENTRY.pack(1, 1, 1),
    "unknown flag": HEADER.pack(0, VALUE, 32, 1, 0, 1, 0, 0) + ENTRY.pack(1, 1, 1),
    "a value that says it expired": HEADER.pack(0, VALUE, EXPIRED, 1, 0, 1, 0, 0) + ENTRY.pack(1, 1, 1),
    "n of 0": HEADER.pack(0, VALUE, 0, 1, 0, 1, 0, 0) + ENTRY.pack(1, 1, 0),
    "entries out of order": HEADER.pack(0, VALUE, 0, 2, 0, 1, 0, 0) + ENTRY.pack(2, 1, 1) + ENTRY.pack(1, 1, 1),
    "an actor twice": HEADER.pack(0, VALUE, 0, 2, 0, 1, 0, 0) + ENTRY.pack(1, 1, 1) * 2,
    "a tombstone with payload": HEADER.pack(0, TOMBSTONE, 0, 1, 0, 1, 0, 0) + ENTRY.pack(1, 1, 1) + b"x",
    "a tombstone that expires": HEADER.pack(0, TOMBSTONE, 0, 1, 0, 1, 9, 0) + ENTRY.pack(1, 1, 1),
    "versions that are no list": many({1: 2}),
    "a version too short": many([[0, 1, 1]]),
    "a version beyond the clock": many([[0, 6, REGISTER, 0, 0, 0, 0, b""]]),
    "a single value as MANY": many([[0, 5, REGISTER, 0, 0, 0, 0, b""]]),
    "a header of another time": many([[0, 4, REGISTER, 0, 7, 0, 0, b""]]),
    "trailing bytes": many([]) + b"\xc0",
    "a bool for a number": many([[0, 4, True, 0, 0, 0, 0, b""]]),
    "a cell that holds no number": many([[0, 4, COUNTER, 0, 0, 0, 0, b"\xa1x"]]),
    "a cell that holds infinity": many([[0, 4, COUNTER, 0, 0, 0, 0, msgpack.packb(float("inf"))]]),
    "a cell beyond 64 signed bits": many([[0, 4, COUNTER, 0, 0, 0, 0, msgpack.packb(2**63)]]),
    "more versions than the limit": many([[0, 1, REGISTER, 0, 0, 0, 0, b""]] * (DOT_LIMIT + 1)),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_canonical_is_refused(data: object) -> None:
    assert not is_well_formed(data)


def test_the_refused_ones_fail_for_their_own_reason() -> None:
    assert is_well_formed(HEADER.pack(0, VALUE, 0, 1, 0, 1, 0, 0) + ENTRY.pack(1, 1, 1))
    assert is_well_formed(HEADER.pack(0, TOMBSTONE, 0, 1, 0, 1, 0, 0) + ENTRY.pack(1, 1, 1))
    assert is_well_formed(many([[0, 4, REGISTER, 0, 0, 0, 0, b""]]))
    assert is_well_formed(many([[0, 4, COUNTER, 0, 0, 0, 0, msgpack.packb(2**63 - 1)]]))
