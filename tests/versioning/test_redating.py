"""What a clock that had run ahead has dated is moved back; all else stays, and what ended by that clock is left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.versioning.layout import decode
from dynacache.versioning.redating import moved_back

NOW_MS = 1_700_000_000_000
AHEAD_MS = 46_000
LIMIT_MS = NOW_MS + 500


def written(time_ms: int, ttl_ms: int = 0, old: bytes | None = None, actor: int = 7, unknown: bool = False) -> bytes:
    issuer = ActorIssuer(actor)
    end_ms = time_ms + ttl_ms if ttl_ms else 0
    return packed.write(old, issuer, time_ms << 16 | 5, end_ms, packed.RAW, b"v", time_ms, None, unknown)[0]


@pytest.mark.parametrize("ttl_ms", [0, 15_000])
def test_a_value_of_the_future_is_moved_back_whole(ttl_ms: int) -> None:
    record = written(NOW_MS + AHEAD_MS - 1_000, ttl_ms)
    assert moved_back(record, LIMIT_MS, AHEAD_MS) == written(NOW_MS - 1_000, ttl_ms)


def test_what_is_dated_up_to_the_limit_stays() -> None:
    record = written(LIMIT_MS, 15_000)
    assert moved_back(record, LIMIT_MS, AHEAD_MS) == record


def test_a_key_that_is_older_than_the_jump_keeps_its_beginning() -> None:
    first = written(NOW_MS - 5_000)
    later = written(NOW_MS + AHEAD_MS, old=first)
    moved = moved_back(later, LIMIT_MS, AHEAD_MS)
    assert moved is not None
    assert packed.HEADER.unpack_from(moved)[5:] == (NOW_MS << 16 | 5, 0, NOW_MS - 5_000)
    assert decode(moved).context == decode(later).context


def test_a_delete_of_the_future_is_moved_back() -> None:
    issuer = ActorIssuer(7)
    record, _ = packed.delete(None, issuer, (NOW_MS + AHEAD_MS) << 16, NOW_MS + AHEAD_MS)
    expected, _ = packed.delete(None, ActorIssuer(7), NOW_MS << 16, NOW_MS)
    assert moved_back(record, LIMIT_MS, AHEAD_MS) == expected


def test_what_has_expired_by_the_wrong_clock_is_left_out() -> None:
    record = written(NOW_MS, 10_000, unknown=True)
    left = packed.clean(record, NOW_MS + AHEAD_MS)
    assert left is not None
    assert moved_back(left, LIMIT_MS, AHEAD_MS) is None


@given(st.lists(st.integers(0, 40_000), min_size=2, max_size=5))
def test_siblings_keep_their_order_and_their_dots(offsets_ms: list[int]) -> None:
    record = written(NOW_MS + AHEAD_MS + offsets_ms[0], actor=1)
    for number, offset_ms in enumerate(offsets_ms[1:], 2):
        record = packed.merge(record, written(NOW_MS + AHEAD_MS + offset_ms, actor=number))
    moved = moved_back(record, LIMIT_MS, AHEAD_MS)
    assert moved is not None
    before, after = decode(record), decode(moved)
    assert after.context == before.context
    assert {dot: version.time + (AHEAD_MS << 16) for dot, version in after.dots.items()} == {
        dot: version.time for dot, version in before.dots.items()
    }
