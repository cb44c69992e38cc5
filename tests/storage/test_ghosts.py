"""Ghosts answer with the time of what was evicted, until they expire, are forgotten or the key returns."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from dynacache.storage.ghosts import GHOST_BYTES, GHOST_SHARD_BYTES, Ghosts

NOW_MS = 1_000_000


def test_a_ghost_answers_with_its_time_and_only_for_its_key_and_shard() -> None:
    ghosts = Ghosts(10, 10_000)
    growth = ghosts.add(3, b"a", 77 << 16, 0, NOW_MS)
    assert growth == ghosts.size_bytes == GHOST_SHARD_BYTES + GHOST_BYTES
    assert ghosts.find(3, b"a", NOW_MS) == 77 << 16
    assert ghosts.find(3, b"b", NOW_MS) is None
    assert ghosts.find(2, b"a", NOW_MS) is None


def test_a_second_eviction_keeps_the_newer_time() -> None:
    ghosts = Ghosts(10, 10_000)
    ghosts.add(0, b"a", 9, 0, NOW_MS)
    ghosts.add(0, b"a", 5, 0, NOW_MS)
    assert ghosts.find(0, b"a", NOW_MS) == 9
    assert ghosts.count == 1


def test_a_ghost_goes_with_the_value_it_stands_for() -> None:
    ghosts = Ghosts(10, 10_000)
    ghosts.add(0, b"a", 9, NOW_MS + 1, NOW_MS)
    assert ghosts.find(0, b"a", NOW_MS + 1) == 9, "kept to the end of its second"
    assert ghosts.find(0, b"a", NOW_MS + 1_000) is None


def test_discarding_the_last_ghost_frees_the_shard() -> None:
    ghosts = Ghosts(10, 10_000)
    ghosts.add(0, b"a", 9, 0, NOW_MS)
    assert ghosts.discard(0, b"b") == 0
    assert ghosts.discard(0, b"a") == -(GHOST_SHARD_BYTES + GHOST_BYTES)
    assert (ghosts.count, ghosts.size_bytes) == (0, 0)


def test_at_its_limit_a_shard_forgets_the_oldest_and_is_marked() -> None:
    ghosts = Ghosts(8, 10_000)
    for number in range(9):
        ghosts.add(1, b"%d" % number, number + 1, 0, NOW_MS)
    assert ghosts.count == 7
    assert [ghosts.find(1, b"%d" % number, NOW_MS) for number in range(3)] == [None, None, 3]
    assert list(ghosts.forgot) == [1]


def test_expired_ghosts_are_forgotten_first_and_leave_no_mark() -> None:
    ghosts = Ghosts(8, 10_000)
    for number in range(9):
        ghosts.add(1, b"%d" % number, 100 - number, NOW_MS + 1_000 if number < 3 else 0, NOW_MS + 5_000)
    assert ghosts.find(1, b"8", NOW_MS) == 92, "older than the expired ones, but it still matters"
    assert ghosts.count == 7
    assert not ghosts.forgot


def test_the_limit_of_all_ghosts_together_counts_too() -> None:
    ghosts = Ghosts(100, 2 * (GHOST_SHARD_BYTES + 4 * GHOST_BYTES))
    for number in range(40):
        ghosts.add(number % 2, b"%d" % number, number, 0, NOW_MS)
        assert ghosts.size_bytes <= ghosts.limit_bytes
    assert ghosts.find(1, b"39", NOW_MS) == 39


def test_a_share_too_small_for_any_ghost_marks_at_once() -> None:
    ghosts = Ghosts.of_share(4 * GHOST_SHARD_BYTES, 4)
    assert ghosts.add(2, b"a", 9, 0, NOW_MS) == 0
    assert ghosts.count == 0
    assert 2 in ghosts.forgot


def test_the_constants_cover_the_arrays() -> None:
    ghosts = Ghosts(4_000, 10_000_000)
    for number in range(4_000):
        ghosts.add(0, b"%d" % number, number, 0, NOW_MS)
    (held,) = ghosts._shards.values()
    real = sys.getsizeof(held) + sum(map(sys.getsizeof, held))
    assert 0.9 * real <= ghosts.size_bytes <= 1.1 * real


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(1, 1_000)), max_size=150))
def test_against_a_dictionary_while_nothing_overflows(steps: list[tuple[bool, int, int]]) -> None:
    ghosts = Ghosts(100, 100_000)
    model: dict[bytes, int] = {}
    for is_add, number, time in steps:
        key = b"%d" % number
        if is_add:
            ghosts.add(0, key, time, 0, NOW_MS)
            model[key] = max(time, model.get(key, 0))
        else:
            ghosts.discard(0, key)
            model.pop(key, None)
        assert ghosts.recount_bytes() == ghosts.size_bytes
        assert ghosts.count == len(model)
    for number in range(31):
        assert ghosts.find(0, b"%d" % number, NOW_MS) == model.get(b"%d" % number)
