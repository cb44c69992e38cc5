"""Ghosts answer with the time of what is gone, and keep its contribution in the tree until it ends, is forgotten or the
key returns."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from dynacache.storage.contributions import DELETED, LEAVES_TOMBSTONE
from dynacache.storage.ghost_shard import Ghost
from dynacache.storage.ghosts import GHOST_BYTES, GHOST_SHARD_BYTES, Ghosts
from dynacache.storage.trees import Trees

NOW_S = 1_000
GRACE_S = 100
EMPTY_BYTES = 4 * GHOST_SHARD_BYTES


def ghosts_of(shard_limit: int = 10, limit_bytes: int = 100_000) -> Ghosts:
    trees = Trees(4)
    trees.extend(4)
    ghosts = Ghosts(trees, shard_limit, limit_bytes, GRACE_S)
    ghosts.extend(4)
    return ghosts


def number_of(name: int) -> int:
    """Return a fingerprint; names lie in leaves of their own."""
    return name << 50 | 77


def ghost(name: int, time: int = 9, second: int = 0, marks: int = 0) -> Ghost:
    return number_of(name), time, (name + 1) * 16 | marks, second


def remember(ghosts: Ghosts, shard: int, left: Ghost, now_s: int = NOW_S) -> None:
    """Leave a ghost of an entry that was in the tree."""
    ghosts.trees.toggle(shard, left[0] >> 50, left[2] & ~DELETED)
    ghosts.add(shard, *left, now_s)


def agree(ghosts: Ghosts) -> bool:
    """Tell whether the roots are the XOR of the ghosts."""
    for shard in range(4):
        root = 0
        for held in ghosts.of(shard):
            root ^= held[2] & ~DELETED
        if ghosts.trees.roots[shard] != root:
            return False
    return True


def test_a_ghost_is_found_by_its_fingerprint_in_its_shard() -> None:
    ghosts = ghosts_of()
    remember(ghosts, 3, ghost(1, 77))
    assert ghosts.size_bytes == EMPTY_BYTES + GHOST_BYTES
    assert ghosts.find(3, number_of(1), NOW_S) == ghost(1, 77)
    assert ghosts.find(3, number_of(2), NOW_S) is None
    assert ghosts.find(2, number_of(1), NOW_S) is None
    assert agree(ghosts)


def test_a_second_one_takes_the_place_of_the_first() -> None:
    ghosts = ghosts_of()
    remember(ghosts, 0, ghost(1, 9))
    other = number_of(1), 12, 4 << 20, 0
    remember(ghosts, 0, other)
    assert ghosts.find(0, number_of(1), NOW_S) == other
    assert ghosts.count == 1
    assert agree(ghosts)


def test_a_ghost_goes_at_its_second_and_marks_nothing() -> None:
    ghosts = ghosts_of()
    remember(ghosts, 0, ghost(1, second=NOW_S + 5))
    ghosts.trees.take_changed()
    assert ghosts.sweep(0, NOW_S + 4) == 0
    assert ghosts.find(0, number_of(1), NOW_S + 4) is not None
    assert ghosts.find(0, number_of(1), NOW_S + 5) is None
    assert ghosts.due_shards(NOW_S + 5) == [0]
    assert ghosts.sweep(0, NOW_S + 5) == 1
    assert (ghosts.count, ghosts.size_bytes, ghosts.trees.roots[0]) == (0, EMPTY_BYTES, 0)
    assert not ghosts.trees.take_changed()


def test_the_ghost_of_a_value_that_leaves_a_tombstone_becomes_that_of_the_tombstone() -> None:
    ghosts = ghosts_of()
    remember(ghosts, 0, ghost(1, second=NOW_S + 5, marks=LEAVES_TOMBSTONE))
    root = ghosts.trees.roots[0]
    ended = NOW_S + 5 + GRACE_S
    as_deleted = ghost(1, second=ended, marks=LEAVES_TOMBSTONE | DELETED)
    assert ghosts.find(0, number_of(1), NOW_S + 5) == as_deleted
    ghosts.sweep(0, NOW_S + 5)
    assert list(ghosts.of(0)) == [as_deleted]
    assert ghosts.trees.roots[0] == root
    ghosts.sweep(0, ended)
    assert ghosts.count == 0
    assert agree(ghosts)


def test_many_that_go_at_once_leave_the_others_in_order() -> None:
    ghosts = ghosts_of(100)
    for name in range(60):
        remember(ghosts, 0, ghost(name, second=NOW_S + 1 if name % 2 else NOW_S + 9))
    ghosts.sweep(0, NOW_S + 1)
    assert [left[0] for left in ghosts.of(0)] == [number_of(name) for name in range(0, 60, 2)]
    assert ghosts.recount_bytes() == ghosts.size_bytes
    assert agree(ghosts)
    assert ghosts.due_shards(NOW_S + 8) == []


def test_taking_the_last_ghost_frees_the_shard_and_leaves_its_contribution_to_the_caller() -> None:
    ghosts = ghosts_of()
    remember(ghosts, 0, ghost(1, marks=DELETED))
    assert ghosts.take(0, number_of(2)) == 0
    assert ghosts.take(0, number_of(1)) == ghosts.trees.roots[0] == ghost(1)[2]
    assert (ghosts.count, ghosts.size_bytes) == (0, EMPTY_BYTES)


def test_discarding_takes_the_contribution_out_and_marks_the_leaf() -> None:
    ghosts = ghosts_of()
    remember(ghosts, 2, ghost(1))
    ghosts.trees.take_changed()
    assert not ghosts.discard(2, number_of(5))
    assert ghosts.discard(2, number_of(1))
    assert ghosts.trees.roots[2] == 0
    assert list(ghosts.trees.take_changed()) == [2 << 14 | 1]


def test_at_its_limit_a_shard_forgets_the_oldest_and_is_marked() -> None:
    ghosts = ghosts_of(8)
    for name in range(8):
        remember(ghosts, 1, ghost(name, name + 1))
    ghosts.trees.take_changed()
    assert ghosts.has_values(1)
    assert not ghosts.has_values(2)
    assert not ghosts.has_room(1)
    assert ghosts.has_room(2)
    remember(ghosts, 1, ghost(8, 9))
    assert ghosts.count == 7
    assert [ghosts.find(1, number_of(name), NOW_S) is None for name in range(4)] == [True, True, False, False]
    assert list(ghosts.forgot) == [1]
    assert agree(ghosts)
    assert list(ghosts.trees.take_changed()) == [1 << 14 | name for name in (0, 1, 8)]


def test_ended_ghosts_are_forgotten_first_and_leave_no_mark() -> None:
    ghosts = ghosts_of(8)
    for name in range(9):
        remember(ghosts, 1, ghost(name, 100 - name, NOW_S + 1 if name < 3 else 0), NOW_S + 5)
    assert ghosts.find(1, number_of(8), NOW_S) is not None, "older than the ended ones, but it still matters"
    assert ghosts.count == 7
    assert not ghosts.forgot
    assert agree(ghosts)


def test_tombstones_are_forgotten_last_and_leave_no_mark() -> None:
    ghosts = ghosts_of(4)
    for name in range(5):
        remember(ghosts, 1, ghost(name, name + 1, NOW_S + 50, DELETED if name == 0 else 0))
    assert [ghosts.find(1, number_of(name), NOW_S) is None for name in range(3)] == [False, True, False]
    ghosts = ghosts_of(4)
    for name in range(5):
        remember(ghosts, 1, ghost(name, name + 1, NOW_S + 50, DELETED))
    assert ghosts.count == 4
    assert not ghosts.forgot
    assert agree(ghosts)


def test_ghosts_of_tombstones_take_half_of_a_shard_at_most() -> None:
    ghosts = ghosts_of(8)
    for name in range(4):
        assert ghosts.has_room_for_deleted(1)
        remember(ghosts, 1, ghost(name, marks=DELETED, second=NOW_S + 5))
    assert not ghosts.has_room_for_deleted(1)
    assert not ghosts.has_values(1)
    assert ghosts.has_room(1)
    assert ghosts.discard(1, number_of(0))
    assert ghosts.has_room_for_deleted(1)
    remember(ghosts, 1, ghost(7, marks=LEAVES_TOMBSTONE, second=NOW_S + 1))
    ghosts.sweep(1, NOW_S + 1)
    assert not ghosts.has_room_for_deleted(1), "it has become one of them"
    ghosts.sweep(1, NOW_S + 5)
    assert ghosts.has_room_for_deleted(1)


def test_the_limit_of_all_ghosts_together_counts_too() -> None:
    ghosts = ghosts_of(100, EMPTY_BYTES + 8 * GHOST_BYTES)
    for name in range(40):
        remember(ghosts, name % 2, ghost(name, name))
        assert ghosts.size_bytes <= ghosts.limit_bytes
    assert ghosts.find(1, number_of(39), NOW_S) is not None
    assert agree(ghosts)


def test_a_share_too_small_for_any_ghost_marks_at_once() -> None:
    trees = Trees(4)
    trees.extend(4)
    ghosts = Ghosts.of_share(trees, 4 * GHOST_SHARD_BYTES, 4, GRACE_S)
    ghosts.extend(4)
    assert ghosts.size_bytes == 0, "nothing is set aside for what there will not be"
    remember(ghosts, 2, ghost(1))
    assert ghosts.count == 0
    assert 2 in ghosts.forgot
    assert trees.roots[2] == 0
    assert not ghosts.has_room(2)


def test_clearing_a_shard_forgets_that_it_ever_forgot() -> None:
    ghosts = ghosts_of(4)
    for name in range(6):
        remember(ghosts, 1, ghost(name, name))
    ghosts.clear(1)
    assert (ghosts.count, ghosts.size_bytes, list(ghosts.forgot)) == (0, EMPTY_BYTES, [])


def test_ghosts_of_a_range_of_prefixes() -> None:
    ghosts = ghosts_of(100)
    for name in range(10):
        remember(ghosts, 1, ghost(name))
    assert [left[0] for left in ghosts.of(1, range(3, 6))] == [number_of(name) for name in range(3, 6)]


def test_the_constants_cover_the_arrays() -> None:
    ghosts = ghosts_of(4_000, 10_000_000)
    for name in range(4_000):
        remember(ghosts, 0, ghost(name, name))
    (held,) = ghosts._shards.values()
    columns = (held.fingerprints, held.times, held.contributions, held.seconds, held.tail)
    real = sys.getsizeof(held) + sum(map(sys.getsizeof, columns))
    assert 0.9 * real <= ghosts.size_bytes - 3 * GHOST_SHARD_BYTES <= 1.1 * real


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(1, 1_000)), max_size=150))
def test_against_a_dictionary_while_nothing_overflows(steps: list[tuple[bool, int, int]]) -> None:
    ghosts = ghosts_of(100)
    model: dict[int, Ghost] = {}
    for is_add, name, time in steps:
        if is_add:
            model[name] = ghost(name, time)
            remember(ghosts, 0, model[name])
        else:
            assert ghosts.discard(0, number_of(name)) == (model.pop(name, None) is not None)
        assert ghosts.recount_bytes() == ghosts.size_bytes
        assert ghosts.count == ghosts.count_of(0) == len(model)
        assert agree(ghosts)
    for name in range(31):
        assert ghosts.find(0, number_of(name), NOW_S) == model.get(name)
