"""What an invalidation leaves: the kernel's answer, in any order, and nothing that an older version slips past."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from dynacache.versioning import kernel, packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.versioning.attachments import pack_tags, tags_of
from dynacache.versioning.invalidating import invalidate, remains
from dynacache.versioning.kernel import (
    ALIVE,
    BLIND,
    DEAD,
    EXPIRED,
    FILL,
    GUARDED,
    MAY_BE_OUTLIVED,
    REGISTER,
    TAGGED,
    TOMBSTONE,
    WIPED,
    State,
    Version,
)
from dynacache.versioning.layout import MANY, decode, encode
from tests.strategies import record_lists, timestamps

NOW = 1_000_000


def fate_at(epoch: int, margin: int) -> Callable[[Version], int]:
    def fate(version: Version) -> int:
        return ALIVE if version.time > epoch else WIPED if version.time <= epoch - margin else DEAD

    return fate


def written(old: bytes | None, time: int, tags: list[bytes], by: int = 7, unknown: bool = False, ttl: int = 0) -> bytes:
    payload = (pack_tags(tags) if tags else b"") + b"\xc0"
    flags = TAGGED if tags else 0
    expire_ms = NOW + ttl if ttl else 0
    local, _ = packed.write(old, ActorIssuer(by), time, expire_ms, flags, payload, NOW, None, unknown)
    return local


@given(record_lists(1), timestamps, st.sampled_from([0, 1 << 16, 2**63]))
def test_the_packed_answer_is_the_kernels(records: list[bytes], epoch: int, margin: int) -> None:
    record = records[0]
    times = sorted(v.time for v in decode(record).dots.values())
    for at in (epoch, *times):
        fate = fate_at(at, margin)
        left = kernel.invalidate(decode(record), fate)
        answer = invalidate(record, fate)
        if left == decode(record):
            assert answer is record
        elif kernel.is_spent(left):
            assert answer is None
        else:
            assert answer == encode(left, record[0])
            assert packed.is_well_formed(packed.strip_local(answer))
            assert invalidate(answer, fate) is answer


@given(record_lists(2), timestamps)
def test_merging_before_or_after_gives_the_same(records: list[bytes], epoch: int) -> None:
    """With every version that is ended leaving its tombstone, an invalidation is a homomorphism of merge."""
    first, second = (decode(record) for record in records)
    for at in (epoch, *(v.time for v in first.dots.values())):
        fate = fate_at(at, 2**64)
        together = kernel.invalidate(kernel.merge(first, second), fate)
        apart = kernel.merge(kernel.invalidate(first, fate), kernel.invalidate(second, fate))
        assert kernel.invalidate(apart, fate) == together


def test_a_plain_value_leaves_nothing_and_one_that_may_be_outlived_its_tombstone() -> None:
    record = written(None, 5, [b"a"])
    assert remains(record) is None
    assert invalidate(record, fate_at(5, 100)) is None
    outlived = written(None, 5, [b"a"], unknown=True, ttl=50)
    left = invalidate(outlived, fate_at(5, 100))
    assert left == remains(outlived)
    assert left is not None
    assert (left[1], left[2]) == (TOMBSTONE, MAY_BE_OUTLIVED | EXPIRED | BLIND)
    assert left == packed.clean(outlived, NOW + 50), "as the expiry would leave it"
    assert packed.merge(left, outlived) == outlived, "whoever has not heard of the invalidation yet keeps the value"
    assert invalidate(outlived, fate_at(5, 0)) is None


def test_a_tag_that_the_older_version_lacks_makes_the_newer_one_leave_a_tombstone() -> None:
    for older, newer, leaves in (([], [b"a"], True), ([b"a"], [b"a"], False), ([b"a", b"b"], [b"a"], False)):
        first = written(None, 5, older)
        second = written(first, 6, newer)
        left = invalidate(second, lambda v: DEAD if b"a" in tags_of(v.flags, v.payload) else ALIVE)
        assert (left is not None) == leaves
        if left is not None:
            assert packed.merge(first, left)[1] == TOMBSTONE, "the older version is superseded"
    other = written(written(None, 5, [], by=8), 6, [b"a"])
    assert other[2] & MAY_BE_OUTLIVED, "under another actor too"
    assert written(written(other, 7, [b"a"]), 8, [b"a"])[2] & MAY_BE_OUTLIVED, "and for all that follow"
    deleted, _ = packed.delete(other, ActorIssuer(7), 9, NOW)
    assert written(deleted, 10, [b"a"])[2] & MAY_BE_OUTLIVED


def test_an_older_sibling_does_not_take_the_place_of_an_invalidated_winner() -> None:
    both = packed.merge(written(None, 5, [], by=1), packed.strip_local(written(None, 6, [b"a"], by=2)))
    assert both[1] == MANY
    left = invalidate(both, lambda v: DEAD if v.flags & TAGGED else ALIVE)
    assert left is not None
    assert kernel.resolve(decode(left).dots, NOW).winner is None


def test_deletes_stay_unless_everything_older_is_wiped() -> None:
    deleted, _ = packed.delete(written(None, 5, []), ActorIssuer(7), 6, NOW)
    assert invalidate(deleted, fate_at(6, 100)) is deleted
    assert invalidate(deleted, fate_at(6, 0)) is None


def test_a_fill_yields_to_whatever_it_had_not_seen() -> None:
    fill = Version(REGISTER, FILL, 9, 0, 0, b"\xc0")
    value = Version(REGISTER, 0, 5, 0, 0, b"\xc0")
    for other in (
        value,
        Version(TOMBSTONE, 0, 5, 0, 0, b""),
        Version(TOMBSTONE, BLIND, 5, 0, 0, b""),
        Version(TOMBSTONE, BLIND | EXPIRED, 5, 0, 0, b""),
        Version(REGISTER, 0, 5, NOW, 0, b"\xc0"),
    ):
        dots = {((1, 1), 1): fill, ((2, 1), 1): other}
        assert kernel.resolve(dots, NOW).winner == (((2, 1), 1) if other is value else None)
    assert kernel.resolve({((1, 1), 1): fill}, NOW).winner == ((1, 1), 1)
    fills = {((1, 1), 1): fill, ((2, 1), 1): Version(REGISTER, FILL, 5, 0, 0, b"\xc0")}
    assert kernel.resolve(fills, NOW).winner == ((1, 1), 1)


def test_a_guarded_version_always_leaves_a_tombstone() -> None:
    record = written(None, 5, [])
    left = invalidate(record, lambda _: GUARDED)
    assert left == remains(record, guarded=True)
    assert left is not None
    assert left[2] == MAY_BE_OUTLIVED | EXPIRED | BLIND


def test_a_wiped_version_leaves_its_dot_in_the_context() -> None:
    state = State({(1, 1): 1, (2, 1): 1}, frozenset(), {((1, 1), 1): Version(REGISTER, 0, 5, 0, 0, b"a")})
    assert kernel.invalidate(state, fate_at(5, 0)) == State(state.context, frozenset(), {})
