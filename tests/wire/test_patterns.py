"""Glob patterns: they match what a naive matcher matches, and no pattern takes long."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.errors import InvalidRequest
from dynacache.wire.patterns import PATTERN_LIMIT_BYTES, compile_pattern, literal_prefix

_PIECES = st.sampled_from([b"*", b"?", b"a", b"b", b":", b"\\*", b"\\?", b"[ab]", b"[^a]", b"[a-c]", b"[c-a]", b"["])
_KEYS = st.binary(max_size=8) | st.text("abc:*?[", max_size=8).map(str.encode)


def naive(pattern: bytes, key: bytes) -> bool:
    """The meaning, by recursion over the pattern."""
    if not pattern:
        return not key
    head, rest = pattern[:1], pattern[1:]
    if head == b"*":
        return any(naive(rest, key[skip:]) for skip in range(len(key) + 1))
    if not key and head != b"[":
        return False
    if head == b"?":
        return naive(rest, key[1:])
    if head == b"\\" and rest:
        return key[:1] == rest[:1] and naive(rest[1:], key[1:])
    if head == b"[":
        matched, rest = _in_set(rest, key[:1])
        return bool(key) and matched and naive(rest, key[1:])
    return key[:1] == head and naive(rest, key[1:])


def _in_set(rest: bytes, byte: bytes) -> tuple[bool, bytes]:
    inverted = rest[:1] == b"^"
    rest = rest[inverted:]
    found = False
    while rest and rest[:1] != b"]":
        if rest[:1] == b"\\" and len(rest) > 1:
            rest = rest[1:]
        if rest[1:2] == b"-" and len(rest) > 2:
            low, high = sorted((rest[:1], rest[2:3]))
            found |= low <= byte <= high
            rest = rest[3:]
        else:
            found |= byte == rest[:1]
            rest = rest[1:]
    return found != inverted, rest[1:]


@given(pattern=st.lists(_PIECES, min_size=1, max_size=6).map(b"".join), key=_KEYS)
def test_it_matches_what_the_naive_matcher_matches(pattern: bytes, key: bytes) -> None:
    assert bool(compile_pattern(pattern)(key)) == naive(pattern, key)


@given(pattern=st.lists(_PIECES, min_size=1, max_size=6).map(b"".join), key=_KEYS)
def test_what_matches_begins_with_the_literal_prefix(pattern: bytes, key: bytes) -> None:
    if compile_pattern(pattern)(key):
        assert key.startswith(literal_prefix(pattern))


@pytest.mark.parametrize(
    ("pattern", "matched", "refused"),
    [
        (b"user:*", b"user:1", b"use"),
        (b"h?llo", b"hello", b"hllo"),
        (b"h[^e]llo", b"hallo", b"hello"),
        (b"a\\*b", b"a*b", b"axb"),
        (b"*", b"\n\x00", b""),
        (b"x[]y", b"", b"xy"),
    ],
)
def test_examples(pattern: bytes, matched: bytes, refused: bytes) -> None:
    assert matched == b"" or compile_pattern(pattern)(matched)
    assert refused == b"" or not compile_pattern(pattern)(refused)


def test_many_stars_take_no_longer_than_the_lengths_multiply_to() -> None:
    hostile = b"*a" * 500 + b"b"
    key = b"a" * 1_024
    started_s = time.perf_counter()
    assert not compile_pattern(hostile)(key)
    assert time.perf_counter() - started_s < 2


@pytest.mark.parametrize("pattern", [b"", b"x" * (PATTERN_LIMIT_BYTES + 1), "text", None])
def test_others_are_refused(pattern: object) -> None:
    with pytest.raises(InvalidRequest, match="pattern: got"):
        compile_pattern(pattern)  # type: ignore[arg-type]
