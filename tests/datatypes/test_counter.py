"""The counter: no increment is lost, bounds and types are refused before anything changes, expiry is the latest."""

import random

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.datatypes.counter import INTEGER_MAXIMUM, INTEGER_MINIMUM, increment, total
from dynacache.datatypes.reading import View, read
from dynacache.errors import InvalidRequest, WrongType
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.versioning.kernel import BLIND, MAY_BE_OUTLIVED, RAW, TOMBSTONE
from dynacache.versioning.layout import decode
from tests.strategies import numbers

NOW = 1_000_000


def add(
    old: bytes | None, by: ActorIssuer, delta: int | float = 1, time: int = 1, expire_ms: int = 0, now_ms: int = NOW
) -> bytes:
    local, wire, value = increment(old, by, delta, time, expire_ms, now_ms)
    assert local == bytes([packed.OWN_BASE]) + wire[1:]
    assert packed.is_well_formed(wire)
    assert msgpack.unpackb(view(local, now_ms).payload) == value
    return local


def put(old: bytes | None, by: ActorIssuer, value: object, time: int = 1, expire_ms: int = 0) -> bytes:
    return packed.write(old, by, time, expire_ms, 0, msgpack.packb(value), NOW)[0]


def wire(record: bytes) -> bytes:
    return packed.strip_local(record)


def view(record: bytes, now_ms: int = NOW) -> View:
    return read(record, now_ms)


def number(record: bytes, now_ms: int = NOW) -> object:
    seen = view(record, now_ms)
    return msgpack.unpackb(seen.payload) if seen.found else None


# Sums.


def test_increments_of_one_replica_keep_one_cell() -> None:
    by = ActorIssuer(1)
    record = None
    for delta in (5, -2, 10):
        record = add(record, by, delta)
    assert record is not None
    assert number(record) == 13
    assert len(decode(record).dots) == 1


def test_increments_at_several_replicas_add_up_in_any_order() -> None:
    records = [wire(add(None, ActorIssuer(n), 10**n)) for n in range(1, 4)]
    first = packed.merge(packed.merge(records[0], records[1]), records[2])
    second = packed.merge(records[2], packed.merge(records[1], records[0]))
    assert first == second
    assert number(first) == 1110


def test_an_evicted_replica_adds_under_a_new_base_and_nothing_is_counted_twice() -> None:
    by = ActorIssuer(1)
    before = wire(add(add(None, by, 5), by, 5))
    after = add(None, by, 1)
    merged = packed.merge(after, before)
    assert number(merged) == 11
    assert number(add(merged, by, 1)) == 12


def test_floats_and_integers_mix() -> None:
    by = ActorIssuer(1)
    record = add(add(None, by, 1), by, 0.5)
    merged = packed.merge(record, wire(add(None, ActorIssuer(2), 2)))
    assert number(merged) == 3.5


@given(st.lists(numbers, max_size=8), st.randoms(use_true_random=False))
def test_a_total_does_not_depend_on_order_and_is_always_finite(values: list[int | float], draw: random.Random) -> None:
    shuffled = list(values)
    draw.shuffle(shuffled)
    result = total(values)
    assert total(shuffled) == result
    assert INTEGER_MINIMUM <= result <= INTEGER_MAXIMUM if isinstance(result, int) else abs(result) < float("inf")


def test_a_total_whose_partial_sums_overflow_is_still_exact() -> None:
    assert total([1e308, 1e308, -1e308, -1e308, 2.5]) == 2.5
    assert total([1.7e308, 1.7e308]) == pytest.approx(1.797e308, rel=0.001)
    assert total([-1.7e308, -1.7e308]) == pytest.approx(-1.797e308, rel=0.001)


# A counter over a value, and a value over a counter.


def test_an_increment_of_a_stored_integer_adds_to_it() -> None:
    by = ActorIssuer(1)
    record = add(add(put(None, by, 10), by, 1), by, 1)
    assert number(record) == 12
    assert not view(record).siblings


@pytest.mark.parametrize("value", ["5", True, None, [1], b"5"])
def test_an_increment_of_anything_else_is_refused(value: object) -> None:
    by = ActorIssuer(1)
    record = put(None, by, value)
    with pytest.raises(WrongType, match="needs a number"):
        add(record, by)


def test_raw_bytes_are_not_a_number() -> None:
    by = ActorIssuer(1)
    record = packed.write(None, by, 1, 0, RAW, b"\x05", NOW)[0]
    with pytest.raises(WrongType):
        add(record, by)


def test_a_set_replaces_the_increments_it_saw_and_keeps_those_it_did_not() -> None:
    a, b = ActorIssuer(1), ActorIssuer(2)
    seen = add(None, a, 5)
    unseen = wire(add(wire(seen), b, 7, time=2))
    reset = put(seen, a, 100, time=3)
    assert number(reset) == 100
    assert number(packed.merge(reset, unseen)) == 107


def test_a_text_set_beside_increments_the_newest_decides_and_the_other_is_a_sibling() -> None:
    text, cell = wire(put(None, ActorIssuer(1), "text", time=5)), wire(add(None, ActorIssuer(2), 3, time=4))
    seen = view(packed.merge(text, cell))
    assert msgpack.unpackb(seen.payload) == "text"
    assert [msgpack.unpackb(sibling.payload) for sibling in seen.siblings] == [3]
    later = wire(add(None, ActorIssuer(3), 4, time=6))
    seen = view(packed.merge(packed.merge(text, cell), later))
    assert msgpack.unpackb(seen.payload) == 7
    assert [msgpack.unpackb(sibling.payload) for sibling in seen.siblings] == ["text"]


# Deletes.


def test_a_delete_removes_the_cells_it_saw_and_a_concurrent_increment_survives() -> None:
    a, b = ActorIssuer(1), ActorIssuer(2)
    held = wire(add(None, a, 5))
    deleted = wire(packed.delete(held, b, 9, NOW)[1])
    assert number(deleted) is None
    concurrent = wire(add(held, ActorIssuer(3), 2, time=3))
    assert number(packed.merge(deleted, concurrent)) == 2


def test_an_increment_after_a_delete_starts_from_nothing() -> None:
    by = ActorIssuer(1)
    record = packed.delete(add(None, by, 5), by, 2, NOW)[0]
    again = add(record, by, 3, time=3)
    assert number(again) == 3
    assert [version.kind for version in decode(again).dots.values()] != [TOMBSTONE]


def test_what_a_blind_delete_hid_stays_hidden_after_the_next_increment() -> None:
    by = ActorIssuer(1)
    old = wire(add(None, ActorIssuer(2), 50, time=1))
    record = packed.delete(None, by, 5, NOW, None, True)[0]
    again = add(record, by, 3, time=6)
    assert number(again) == 3
    assert number(packed.merge(again, old)) == 3
    assert any(version.flags & BLIND for version in decode(again).dots.values())


def test_an_own_cell_that_a_blind_delete_hid_does_not_come_back_with_the_next_increment() -> None:
    by = ActorIssuer(1)
    record = packed.merge(add(None, by, 5, time=1), packed.delete(None, ActorIssuer(2), 4, NOW, None, True)[1])
    assert number(record) is None
    assert number(add(record, by, 3, time=6)) == 3


# Bounds.


@pytest.mark.parametrize("delta", [float("nan"), float("inf"), 2**63, -(2**63) - 1, True])
def test_a_delta_that_is_no_bounded_number_is_refused(delta: int | float) -> None:
    with pytest.raises(InvalidRequest, match="increment by"):
        add(None, ActorIssuer(1), delta)


@pytest.mark.parametrize(("first", "second"), [(INTEGER_MAXIMUM, 1), (INTEGER_MINIMUM, -1), (1.7e308, 1.7e308)])
def test_an_increment_beyond_the_bounds_is_refused(first: int | float, second: int | float) -> None:
    by = ActorIssuer(1)
    record = add(None, by, first)
    with pytest.raises(InvalidRequest, match="would reach"):
        add(record, by, second)
    assert number(record) == first


def test_the_bounds_hold_for_the_sum_of_all_cells_and_for_each() -> None:
    a, b = ActorIssuer(1), ActorIssuer(2)
    large = wire(add(None, a, INTEGER_MAXIMUM))
    with pytest.raises(InvalidRequest):
        add(large, b, 1)
    balanced = packed.merge(add(None, b, INTEGER_MINIMUM), large)
    with pytest.raises(InvalidRequest):
        add(balanced, b, -1)


def test_a_sum_beyond_the_bounds_by_merging_is_clamped_when_read() -> None:
    merged = packed.merge(*(wire(add(None, ActorIssuer(n), INTEGER_MAXIMUM)) for n in (1, 2)))
    assert number(merged) == INTEGER_MAXIMUM
    with pytest.raises(InvalidRequest):
        add(merged, ActorIssuer(3), 1)


# Expiry.


def test_an_increment_without_expiry_keeps_the_one_the_key_has() -> None:
    by = ActorIssuer(1)
    record = add(add(None, by, 1, expire_ms=NOW + 50), by, 1)
    assert view(record).expire_ms == NOW + 50
    assert view(add(put(None, by, 5, expire_ms=NOW + 70), by)).expire_ms == NOW + 70
    assert view(add(put(None, by, 5), by)).expire_ms == 0


def test_the_cells_of_a_counter_expire_together_at_the_latest() -> None:
    a, b = ActorIssuer(1), ActorIssuer(2)
    merged = packed.merge(add(None, a, 1, expire_ms=NOW + 50), wire(add(None, b, 2, expire_ms=NOW + 90)))
    assert view(merged).expire_ms == NOW + 90
    assert number(merged, NOW + 89) == 3
    assert packed.clean(merged, NOW + 89) is merged
    assert number(merged, NOW + 90) is None
    assert packed.clean(merged, NOW + 90) is None


def test_a_cell_that_never_expires_keeps_all() -> None:
    merged = packed.merge(
        add(None, ActorIssuer(1), 1, expire_ms=NOW + 50), wire(add(None, ActorIssuer(2), 2, expire_ms=0))
    )
    assert view(merged).expire_ms == 0
    assert number(merged, NOW + 10**9) == 3


def test_an_increment_after_the_expiry_starts_from_nothing() -> None:
    by = ActorIssuer(1)
    record = add(None, by, 5, expire_ms=NOW + 50)
    again = add(record, by, 2, expire_ms=NOW + 900, now_ms=NOW + 60)
    assert number(again, NOW + 60) == 2
    assert decode(again).context == {(1, 1): 2}
    over = add(put(None, by, 7, expire_ms=NOW + 50), by, 2, time=2, now_ms=NOW + 60)
    assert number(over, NOW + 60) == 2


def test_a_counter_that_older_versions_may_outlive_says_so() -> None:
    by = ActorIssuer(1)
    doubtful = increment(None, by, 1, 1, NOW + 50, NOW, history_unknown=True)[0]
    assert packed.clean(doubtful, NOW + 50) is not None
    shorter = add(put(None, by, 5), by, 1, expire_ms=NOW + 50)
    (cell,) = [v for v in decode(shorter).dots.values() if v.expire_ms]
    assert cell.flags & MAY_BE_OUTLIVED


def test_a_touch_lengthens_the_life_of_a_counter_over_a_value() -> None:
    by = ActorIssuer(1)
    record = packed.touch(add(put(None, by, 10, expire_ms=NOW + 50), by, 1), NOW + 500)
    assert number(record, NOW + 499) == 11
    assert number(record, NOW + 500) is None
