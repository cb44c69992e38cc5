"""Fill tokens: bound to their key, given back as made, and nothing else is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.errors import InvalidContext
from dynacache.versioning.context import make_context, parse_context
from dynacache.versioning.fill_tokens import FILL_TOKEN_LIMIT_BYTES, make_fill_token, parse_fill_token
from tests.strategies import record_lists

prints = st.integers(0, 2**64 - 1)


@given(record_lists(1), prints, prints)
def test_a_token_gives_back_time_and_context(records: list[bytes], fingerprint: int, time: int) -> None:
    for record in (records[0], None):
        token = make_fill_token(record, fingerprint, time)
        assert len(token) <= FILL_TOKEN_LIMIT_BYTES
        fill = parse_fill_token(token, fingerprint)
        assert fill.time == time
        assert fill.context == parse_context(make_context(record, fingerprint), fingerprint)
        with pytest.raises(InvalidContext, match="fill: got the token of a miss of another key"):
            parse_fill_token(token, fingerprint ^ 1)
        with pytest.raises(InvalidContext):
            parse_context(token, fingerprint)


@pytest.mark.parametrize(
    "token", [None, "text", b"", b"\x81", make_context(None, 5) + bytes(8), b"\x81" + bytes(9_000)]
)
def test_anything_else_is_refused(token: object) -> None:
    with pytest.raises(InvalidContext):
        parse_fill_token(token, 5)
