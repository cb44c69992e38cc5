"""Least sent first, newest first, our own before all; bounded in number and in sends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.membership.rumours import RumourQueue, sends_limit


def queue(limit: int = 100) -> RumourQueue:
    return RumourQueue("self", limit)


def body(name: str, size: int = 30) -> bytes:
    return name.encode().ljust(size, b".")


@pytest.mark.parametrize(("members", "sends"), [(1, 8), (5, 8), (20, 8), (99, 8), (100, 12), (1_000, 16)])
def test_sends_grow_with_the_logarithm_from_a_floor(members: int, sends: int) -> None:
    assert sends_limit(members, 8, 4) == sends


def test_least_sent_first_then_newest() -> None:
    rumours = queue()
    for name in ("first", "second", "third"):
        rumours.add(name, body(name))
    assert rumours.take(60, 8, 64) == [body("third"), body("second")]
    assert rumours.take(60, 8, 64) == [body("first"), body("third")]
    assert rumours.take(60, 8, 64) == [body("first"), body("second")]


def test_our_own_leaves_first_however_often_it_was_sent() -> None:
    rumours = queue()
    rumours.add("self", body("self"), sent=5)
    rumours.add("other", body("other"))
    assert rumours.take(1_000, 8, 64)[0] == body("self")


def test_a_newer_claim_replaces_the_older_and_starts_again() -> None:
    rumours = queue()
    rumours.add("a", body("old"), sent=7)
    rumours.add("a", body("new"))
    assert [rumours.take(1_000, 8, 64) for _ in range(9)] == [[body("new")]] * 8 + [[]]
    assert "a" not in rumours


def test_at_the_limit_the_most_sent_and_oldest_goes() -> None:
    rumours = queue(3)
    rumours.add("a", body("a"))
    rumours.add("b", body("b"), sent=2)
    rumours.add("c", body("c"), sent=2)
    rumours.add("d", body("d"))
    assert [name in rumours for name in "abcd"] == [True, False, True, True]
    assert rumours.dropped == 1
    assert len(rumours) == 3


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(24, 200), st.integers(0, 9))),
    st.integers(0, 400),
    st.integers(1, 9),
    st.integers(0, 5),
)
def test_what_is_taken_fits_and_no_rumour_is_sent_too_often(
    added: list[tuple[str, int, int]], room: int, sends: int, count: int
) -> None:
    rumours = queue(5)
    for name, size, sent in added:
        rumours.add(name, body(name, size), sent=sent)
    assert len(rumours) <= 5
    sent_times: dict[bytes, int] = {}
    for _ in range(60):
        taken = rumours.take(room, sends, count)
        assert sum(map(len, taken)) <= room
        assert len(taken) <= count
        for encoded in taken:
            sent_times[encoded] = sent_times.get(encoded, 0) + 1
    assert all(times <= sends for times in sent_times.values())
