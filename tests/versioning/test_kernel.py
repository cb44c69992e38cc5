"""The kernel: merge laws on any states, what a write supersedes, what a reader sees, what an expiry leaves."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.errors import TooManySiblings
from dynacache.versioning import kernel
from dynacache.versioning.actors import Actor, Dot
from dynacache.versioning.kernel import (
    BLIND,
    COUNTER,
    EMPTY,
    EXPIRED,
    MAY_BE_OUTLIVED,
    REGISTER,
    SIBLING_LIMIT,
    TOMBSTONE,
    Resolution,
    State,
    Version,
)
from tests.strategies import instants, states

A: Actor = (1, 1)
B: Actor = (2, 1)
C: Actor = (3, 1)


def register(time: int, expire_ms: int = 0, flags: int = 0) -> Version:
    return Version(REGISTER, flags, time, expire_ms, 0, b"\xa1x")


def tombstone(time: int, flags: int = 0) -> Version:
    return Version(TOMBSTONE, flags, time, 0, 0, b"")


def cell(time: int, expire_ms: int = 0) -> Version:
    return Version(COUNTER, 0, time, expire_ms, 0, b"\x01")


def state(dots: Mapping[Dot, Version], context: Mapping[Actor, int] | None = None) -> State:
    least: dict[Actor, int] = {}
    for actor, n in dots:
        least[actor] = max(n, least.get(actor, 0))
    return State(kernel.join_context(least, context or {}), frozenset(), dots)


def winner(*versions: Version, now_ms: int | None = None) -> Dot | None:
    return kernel.resolve({(A, n): version for n, version in enumerate(versions, 1)}, now_ms).winner


@given(states(deltas=True), states(deltas=True), states(deltas=True))
def test_merge_is_associative_commutative_and_idempotent(first: State, second: State, third: State) -> None:
    assert kernel.merge(first, second) == kernel.merge(second, first)
    left = kernel.merge(kernel.merge(first, second), third)
    assert left == kernel.merge(first, kernel.merge(second, third))
    assert kernel.merge(left, left) == left
    assert kernel.merge(first, EMPTY) == kernel.merge(first, first)


@given(states(deltas=True), states(deltas=True))
def test_merge_never_truncates_and_never_resolves(first: State, second: State) -> None:
    merged = kernel.merge(first, second)
    for one, other in ((first, second), (second, first)):
        for dot in one.dots:
            assert (dot in merged.dots) == (dot in other.dots or not kernel.covers(other, dot))
        assert all(kernel.covers(merged, (actor, n)) for actor, n in one.context.items())
        assert all(kernel.covers(merged, dot) for dot in one.cloud)


def test_a_delta_that_continues_the_vector_is_absorbed_and_one_that_does_not_waits() -> None:
    held = State({A: 1}, frozenset(), {(A, 1): register(1)})
    later = State({}, frozenset({(A, 3)}), {(A, 3): register(3)})
    merged = kernel.merge(held, later)
    assert (merged.context, merged.cloud) == ({A: 1}, frozenset({(A, 3)}))
    between = State({}, frozenset({(A, 2)}), {})
    merged = kernel.merge(merged, between)
    assert (merged.context, merged.cloud) == ({A: 3}, frozenset())


def test_one_dot_keeps_its_longest_life() -> None:
    short, long, never = (State({A: 1}, frozenset(), {(A, 1): register(1, expire_ms=e)}) for e in (5, 9, 0))
    assert kernel.merge(short, long) == long
    assert kernel.merge(never, long) == never


def test_a_life_raised_elsewhere_outlasts_the_tombstone_of_the_shorter_one() -> None:
    expired = kernel.expire(state({(A, 1): register(1, expire_ms=5)}), 5)
    assert expired.dots[A, 1].kind == TOMBSTONE
    touched = state({(A, 1): register(1, expire_ms=9)})
    assert kernel.merge(expired, touched) == touched
    again = kernel.expire(touched, 9)
    assert kernel.merge(again, state({(A, 1): register(1, expire_ms=5)})) == again


def test_a_write_without_context_supersedes_all_that_is_held() -> None:
    held = state({(A, 1): register(1), (B, 1): register(2), (C, 1): cell(3)})
    written = kernel.write(held, (A, 2), register(4), None)
    assert written == State({A: 2, B: 1, C: 1}, frozenset(), {(A, 2): register(4)})


def test_a_write_with_context_supersedes_exactly_what_that_covers() -> None:
    held = state({(A, 1): register(1), (B, 1): register(2)})
    written = kernel.write(held, (A, 2), register(4), {B: 1, C: 7})
    assert written.context == {A: 2, B: 1, C: 7}
    assert written.dots.keys() == {(A, 1), (A, 2)}


def test_the_sibling_cap_refuses_the_write_and_changes_nothing() -> None:
    held = EMPTY
    for n in range(1, SIBLING_LIMIT + 1):
        held = kernel.write(held, (A, n), register(n), {})
    before = State(dict(held.context), held.cloud, dict(held.dots))
    with pytest.raises(TooManySiblings, match="at most 8"):
        kernel.write(held, (A, 9), register(9), {})
    assert held == before
    assert len(kernel.write(held, (A, 9), register(9), {A: 1}).dots) == SIBLING_LIMIT


def test_merge_may_exceed_the_sibling_cap() -> None:
    first = state({(A, n): register(n) for n in range(1, 9)})
    second = state({(B, n): register(n) for n in range(1, 9)})
    assert len(kernel.merge(first, second).dots) == 16


def test_the_winner_is_the_newest_and_then_the_largest_actor() -> None:
    assert winner(register(5), register(4)) == (A, 1)
    dots = {(A, 2): register(5), (B, 1): register(5)}
    assert kernel.resolve(dots, None) == Resolution((B, 1), (B, 1), (), ((A, 2),))


def test_a_tombstone_loses_to_a_concurrent_value_unless_it_is_blind_and_newer() -> None:
    assert winner(register(4), tombstone(5)) == (A, 1)
    assert winner(register(4), tombstone(5, BLIND)) is None
    assert winner(register(6), tombstone(5, BLIND)) == (A, 1)
    assert winner(cell(4), tombstone(5, BLIND)) is None
    assert winner(cell(4), tombstone(5)) == (A, 1)


def test_an_older_sibling_does_not_take_the_place_of_a_winner_that_expired() -> None:
    siblings = state({(A, 1): register(4), (B, 1): register(5, expire_ms=100)})
    assert kernel.resolve(siblings.dots, 99).winner == (B, 1)
    before = kernel.resolve(siblings.dots, 100)
    assert before == Resolution(None, None, (), ((A, 1),))
    assert kernel.resolve(kernel.expire(siblings, 100).dots, 100) == before


def test_an_expired_register_does_not_hide_increments() -> None:
    both = state({(A, 1): register(5, expire_ms=100), (B, 1): cell(4)})
    assert kernel.resolve(both.dots, 100).winner == (B, 1)
    assert kernel.resolve(kernel.expire(both, 100).dots, 100).winner == (B, 1)


def test_cells_expire_together_at_the_latest_expiry_and_never_if_one_never_does() -> None:
    assert kernel.cells_expiry({(A, 1): cell(1, 50), (B, 1): cell(1, 90), (C, 1): register(1)}) == 90
    assert kernel.cells_expiry({(A, 1): cell(1, 50), (B, 1): cell(1, 0)}) == 0
    held = state({(A, 1): cell(1, 50), (B, 1): cell(1, 90)})
    assert kernel.expire(held, 89) is held
    assert {v.kind for v in kernel.expire(held, 90).dots.values()} == {TOMBSTONE}


@given(states(), instants)
def test_nothing_expires_before_the_next_change_and_something_does_then(held: State, now_ms: int) -> None:
    change_ms = kernel.next_change(held.dots)
    if change_ms == 0:
        assert kernel.expire(held, now_ms + 2**50) is held
    else:
        assert kernel.expire(held, change_ms - 1) is held
        assert kernel.expire(held, change_ms) != held


@given(states(), instants)
def test_expiring_keeps_dots_and_context_and_happens_once(held: State, now_ms: int) -> None:
    expired = kernel.expire(held, now_ms)
    assert (expired.context, expired.dots.keys()) == (held.context, held.dots.keys())
    assert kernel.expire(expired, now_ms) is expired
    assert kernel.resolve(expired.dots, now_ms) == kernel.resolve(held.dots, now_ms)


def test_only_expiries_that_nothing_outlives_may_be_forgotten() -> None:
    assert kernel.is_spent(state({(A, 1): tombstone(1, EXPIRED | BLIND)}))
    assert not kernel.is_spent(state({(A, 1): tombstone(1, EXPIRED | MAY_BE_OUTLIVED)}))
    assert not kernel.is_spent(state({(A, 1): tombstone(1, EXPIRED), (B, 1): tombstone(2)}))
    assert not kernel.is_spent(state({(A, 1): tombstone(1, EXPIRED), (B, 1): register(2)}))


@pytest.mark.parametrize(
    ("held", "expire_ms", "outlived"),
    [
        (register(1, 50), 50, False),
        (register(1, 51), 50, True),
        (register(1, 0), 50, True),
        (register(1, 0), 0, False),
        (register(1, 10, MAY_BE_OUTLIVED), 50, True),
        (tombstone(1), 50, True),
        (cell(1, 60), 50, True),
    ],
)
def test_what_can_outlive_a_write(held: Version, expire_ms: int, outlived: bool) -> None:
    assert kernel.outlives({(A, 1): held}, expire_ms) is outlived


@given(states(), st.one_of(st.just(0), st.integers(1, 10)))
def test_a_touch_only_lengthens_and_never_changes_the_winner(held: State, expire_ms: int) -> None:
    touched = kernel.apply_touch(held, expire_ms, None)
    assert kernel.resolve(touched.dots, None) == kernel.resolve(held.dots, None)
    assert touched.context == held.context
    for dot, version in held.dots.items():
        after = touched.dots[dot].expire_ms
        assert kernel.longest(version.expire_ms, after) == after
    assert kernel.merge(held, touched) == touched


def test_a_touch_that_names_a_dot_that_nobody_sees_does_nothing() -> None:
    held = state({(A, 1): register(1, 50), (B, 1): register(2, 50)})
    assert kernel.apply_touch(held, 90, (A, 1)) is held
    assert kernel.apply_touch(held, 90, (B, 1)).dots[B, 1].expire_ms == 90


def test_a_touch_of_a_number_with_increments_reaches_both() -> None:
    held = state({(A, 1): register(1, 50), (B, 1): cell(2, 50)})
    touched = kernel.apply_touch(held, 90, None)
    assert {version.expire_ms for version in touched.dots.values()} == {90}


def test_pruning_forgets_the_oldest_actors_without_live_dots_and_only_when_all_is_old() -> None:
    context = {(incarnation, 1): 1 for incarnation in range(30)}
    dots = {((0, 1), 1): register(1)}
    day_ms = kernel.PRUNE_AGE_MS
    assert kernel.prune_context(context, dots, 0, day_ms) == context
    pruned = kernel.prune_context(context, dots, 0, day_ms + 1)
    assert sorted(pruned) == [(0, 1), *((incarnation, 1) for incarnation in range(7, 30))]
    assert kernel.prune_context(pruned, dots, 0, day_ms + 1) == pruned


def test_the_clock_of_a_counter_is_never_pruned() -> None:
    context = {(incarnation, 1): 1 for incarnation in range(30)}
    assert kernel.prune_context(context, {((0, 1), 1): cell(1)}, 0, kernel.PRUNE_AGE_MS + 1) == context
