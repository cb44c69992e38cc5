"""Cursors: what is packed is unpacked, they are bounded, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.errors import InvalidRequest
from dynacache.wire.cursors import CURSOR_LIMIT_BYTES, pack_cursor, unpack_cursor
from dynacache.wire.messages import KEY_LIMIT_BYTES


@given(partition=st.integers(0, 65_535), after=st.binary(max_size=KEY_LIMIT_BYTES))
def test_there_and_back(partition: int, after: bytes) -> None:
    cursor = pack_cursor(partition, after)
    assert unpack_cursor(cursor) == (partition, after)
    assert len(cursor) <= CURSOR_LIMIT_BYTES


def test_an_empty_cursor_is_the_beginning() -> None:
    assert unpack_cursor(b"") == (0, b"")


@pytest.mark.parametrize("cursor", [None, "text", b"\x01", b"\x02\0\0\0\0", pack_cursor(0, b"x" * 2_000), 7])
def test_others_are_refused(cursor: object) -> None:
    with pytest.raises(InvalidRequest, match="cursor: got"):
        unpack_cursor(cursor)  # type: ignore[arg-type]
