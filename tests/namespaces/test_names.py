"""Qualified keys: a bijection onto what is accepted, prefixes that part namespaces, names that are refused."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dynacache.errors import InvalidRequest
from dynacache.namespaces.names import (
    DEFAULT,
    NAME_LIMIT,
    OVERHEAD_LIMIT_BYTES,
    bare,
    check_name,
    check_prefix,
    namespace_of,
    prefix,
    prefix_of,
    qualify,
    split,
    with_factor,
    without_factor,
)

NAMES = st.just(DEFAULT) | st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)
KEYS = st.binary(min_size=1, max_size=40) | st.binary(max_size=20).map(lambda rest: b"\x00" + rest)


@given(NAMES, KEYS)
@example("", b"\x00")
@example("a", b"\x00\x00")
@example("a" * 64, b"k")
def test_splitting_undoes_qualifying(name: str, key: bytes) -> None:
    qualified = qualify(name, key)
    assert split(qualified) == (name, key)
    assert namespace_of(qualified) == name
    assert qualified.startswith(prefix(name))
    assert len(qualified) <= len(key) + OVERHEAD_LIMIT_BYTES


@given(KEYS | st.builds(qualify, NAMES, KEYS))
def test_what_can_be_split_is_what_qualifying_makes(qualified: bytes) -> None:
    try:
        name, key = split(qualified)
    except InvalidRequest:
        assert qualified[0] == 0
        return
    assert key
    assert qualify(name, key) == qualified


@given(NAMES, NAMES, KEYS, KEYS)
def test_no_two_keys_meet(one: str, other: str, key: bytes, another: bytes) -> None:
    assert (qualify(one, key) == qualify(other, another)) == ((one, key) == (other, another))


@given(NAMES.filter(bool), NAMES, KEYS)
def test_a_prefix_is_of_one_namespace(named: str, other: str, key: bytes) -> None:
    assert qualify(other, key).startswith(prefix(named)) == (named == other)
    assert prefix_of(qualify(named, key)) == prefix(named)


def test_plain_keys_are_their_own_bytes() -> None:
    assert qualify(DEFAULT, b"user:7") == b"user:7"
    assert qualify(DEFAULT, b"\x00x") == b"\x00\x00\x00x"
    assert qualify("web", b"user:7") == b"\x00\x03webuser:7"


@pytest.mark.parametrize(
    "malformed",
    [
        *(b"\x00", b"\x00\x00", b"\x00\x00k", b"\x00\x03we", b"\x00\x03web", b"\x00\x03Webk", b"\x00\x02-ak"),
        *(b"\x00\xffk", b"\x00\x41" + b"a" * 65 + b"k"),
    ],
)
def test_malformed_keys_are_refused(malformed: bytes) -> None:
    with pytest.raises(InvalidRequest, match="expected a namespace's prefix and a key after byte 0"):
        split(malformed)


@pytest.mark.parametrize(
    "name", ["A", "ä", "a b", "-a", ".a", "_a", "a" * (NAME_LIMIT + 1), "a\n", 7, None, b"a", "a/b"]
)
def test_other_names_are_refused(name: object) -> None:
    with pytest.raises(InvalidRequest, match="namespace: got"):
        check_name(name)


def test_names_that_are_accepted() -> None:
    for name in ("", "a", "0", "a.b_c-d", "a" * NAME_LIMIT):
        assert check_name(name) == name


@given(name=NAMES, key=st.binary(max_size=5))
def test_what_keys_of_one_namespace_begin_with_is_told_from_what_those_of_several_do(name: str, key: bytes) -> None:
    check_prefix(qualify(name, key))
    for malformed in (b"\x00", b"\x00\x05te", b"\x00\x01", b"\x00\x02-a"):
        with pytest.raises(InvalidRequest):
            check_prefix(malformed)


@given(NAMES.filter(bool), KEYS, st.integers(1, 9))
@example("a" * 64, b"k", 9)
def test_a_factor_goes_in_and_out_of_a_key(name: str, key: bytes, factor: int) -> None:
    qualified = qualify(name, key)
    inside = with_factor(qualified, factor)
    assert inside == prefix(name, factor) + key != qualified
    assert without_factor(inside) == without_factor(qualified) == qualified
    assert namespace_of(inside) == name
    assert prefix_of(inside) == prefix(name, factor)
    assert len(inside) <= len(key) + OVERHEAD_LIMIT_BYTES
    for clients_only in (split, check_prefix):
        with pytest.raises(InvalidRequest, match="without a factor"):
            clients_only(inside)


@given(st.binary(max_size=8))
def test_what_carries_no_factor_is_left_as_it_is(key: bytes) -> None:
    assert without_factor(b"k" + key) == b"k" + key
    assert without_factor(b"\x00\x00" + key) == b"\x00\x00" + key
    assert bare(b"web") == b"web"
    assert bare(b"") == b""
    assert bare(b"web\x03") == b"web"
