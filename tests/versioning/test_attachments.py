"""Attachments: what is packed is found again, and nothing else is accepted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.errors import InvalidRequest
from dynacache.versioning.attachments import (
    ATTACHED,
    SLIDING_BYTES,
    TAG_LIMIT_BYTES,
    TAGS_LIMIT,
    has_all_tags,
    is_well_formed_attachment,
    join_tags,
    may_lack_a_tag,
    pack_tags,
    sliding_ms_of,
    tags_of,
    value_start,
)
from dynacache.versioning.kernel import MAY_BE_OUTLIVED, REGISTER, SLIDING, TAGGED, TOMBSTONE, Version

TAGS = st.lists(st.binary(min_size=1, max_size=TAG_LIMIT_BYTES), min_size=1, max_size=TAGS_LIMIT)
FLAGS = st.sampled_from([0, TAGGED, SLIDING, ATTACHED])


def attached(flags: int, tags: list[bytes], ttl_ms: int = 5_000) -> bytes:
    ttl = ttl_ms.to_bytes(SLIDING_BYTES, "big") if flags & SLIDING else b""
    return ttl + (pack_tags(tags) if flags & TAGGED else b"")


@given(FLAGS, TAGS, st.binary(), st.binary(max_size=40))
def test_value_tags_and_life_are_found_again(flags: int, tags: list[bytes], value: bytes, before: bytes) -> None:
    payload = attached(flags, tags) + value
    assert payload[value_start(flags, payload, 0) :] == value
    data = before + payload
    assert value_start(flags, data, len(before)) == len(data) - len(value)
    wanted = tuple(sorted(set(tags))) if flags & TAGGED else ()
    assert tags_of(flags, payload) == tags_of(flags, data, len(before)) == wanted
    assert sliding_ms_of(flags, payload) == (5_000 if flags & SLIDING else 0)
    assert is_well_formed_attachment(flags, payload)
    assert is_well_formed_attachment(flags, data, len(before))


@given(TAGS)
def test_equal_sets_have_equal_bytes(tags: list[bytes]) -> None:
    assert pack_tags(tags) == pack_tags(list(reversed(tags))) == join_tags({*tags})


@given(FLAGS, st.binary(max_size=60))
def test_whatever_is_accepted_is_canonical(flags: int, payload: bytes) -> None:
    if is_well_formed_attachment(flags, payload) and flags & TAGGED:
        tags = tags_of(flags, payload)
        start = SLIDING_BYTES if flags & SLIDING else 0
        assert payload[start : value_start(flags, payload, 0)] == pack_tags(tags)


@pytest.mark.parametrize(
    "payload", [b"", b"\x00", b"\x00\x00", b"\x00\x05\x01a", b"\x00\x02\x02a", b"\x00\x01\x00", b"\x00\x04\x01b\x01a"]
)
def test_malformed_tags_are_refused(payload: bytes) -> None:
    assert not is_well_formed_attachment(TAGGED, payload)


def test_a_sliding_life_of_nothing_is_refused() -> None:
    assert not is_well_formed_attachment(SLIDING, bytes(SLIDING_BYTES))
    assert not is_well_formed_attachment(SLIDING, b"\x01")


@pytest.mark.parametrize("tags", [None, b"tag", [], ["text"], [b""], [b"x" * 129], [b"%d" % n for n in range(65)]])
def test_bad_tags_get_a_clear_error(tags: object) -> None:
    with pytest.raises(InvalidRequest, match=r"tags?: got .*expected"):
        pack_tags(tags)


@given(TAGS, TAGS)
def test_has_all_tags_is_the_subset_relation(first: list[bytes], second: list[bytes]) -> None:
    assert has_all_tags(TAGGED, pack_tags(first), TAGGED, pack_tags(second)) == ({*first} <= {*second})
    assert not has_all_tags(TAGGED, pack_tags(first), 0, b"")
    assert has_all_tags(0, b"", TAGGED, pack_tags(second))


def test_what_was_deleted_or_outlived_may_lack_any_tag() -> None:
    tags = pack_tags([b"a"])
    same = Version(REGISTER, TAGGED, 1, 0, 1, tags)
    assert not may_lack_a_tag(TAGGED, tags, [same])
    assert may_lack_a_tag(TAGGED, tags, [same, Version(TOMBSTONE, 0, 1, 0, 1, b"")])
    assert may_lack_a_tag(TAGGED, tags, [Version(REGISTER, TAGGED | MAY_BE_OUTLIVED, 1, 0, 1, tags)])
    assert may_lack_a_tag(TAGGED, tags, [Version(REGISTER, 0, 1, 0, 1, b"")])
