"""Operations on records, one by one; `test_replicas` drives them all over traces against the kernel and an oracle."""

from itertools import product
from random import Random

import pytest

from dynacache.errors import Overloaded, TooManySiblings
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.versioning.context import Context, make_context, parse_context
from dynacache.versioning.kernel import (
    BLIND,
    FILL,
    MAY_BE_OUTLIVED,
    PRUNE_AGE_MS,
    RAW,
    REGISTER,
    State,
    Version,
)
from dynacache.versioning.layout import ENTRY_LIMIT, HEADER, MANY, N_LIMIT, OWN_BASE, TOMBSTONE, VALUE, decode, encode

NOW = 1_000_000


def issuer(number: int = 7) -> ActorIssuer:
    return ActorIssuer(number)


def put(
    old: bytes | None,
    by: ActorIssuer,
    time: int = 1,
    expire_ms: int = 0,
    flags: int = 0,
    payload: bytes = b"\xc0",
    now_ms: int = NOW,
    context: Context | None = None,
    history_unknown: bool = False,
) -> bytes:
    local, wire = packed.write(old, by, time, expire_ms, flags, payload, now_ms, context, history_unknown)
    assert local[:1] + wire[1:] == local
    assert (local[0], wire[0]) == (OWN_BASE, 0)
    assert packed.is_well_formed(wire)
    return local


def remove(old: bytes | None, by: ActorIssuer, time: int = 1, blind: bool = False, now_ms: int = NOW) -> bytes:
    local, wire = packed.delete(old, by, time, now_ms, None, blind)
    assert local == bytes([OWN_BASE]) + wire[1:]
    assert packed.is_well_formed(wire)
    return local


def context_of(record: bytes) -> Context:
    return parse_context(make_context(record, 5), 5)


def flags_of(record: bytes) -> int:
    return record[2]


def created_ms_of(record: bytes) -> int:
    created_ms: int = HEADER.unpack_from(record)[7]
    return created_ms


def siblings(count: int) -> bytes:
    record = put(None, issuer(1), time=1)
    for number in range(2, count + 1):
        record = packed.merge(record, packed.strip_local(put(None, issuer(number), time=number)))
    return record


def with_clock(actors: int, own: bool, time: int = 1) -> bytes:
    context = {(incarnation, 1): 1 for incarnation in range(actors)}
    version = Version(REGISTER, 0, time, 0, 0, b"")
    return encode(State(context, frozenset(), {((0, 1), 1): version}), OWN_BASE if own else 0)


# Dots and bases.


def test_a_writer_goes_on_under_its_base_while_it_holds_the_key() -> None:
    by = issuer()
    record = put(None, by)
    for n in range(2, 5):
        record = put(record, by)
        assert packed.live_dot(record) == ((7, 1), n)


def test_a_record_that_came_back_by_merge_gets_a_new_base() -> None:
    by = issuer()
    wire = packed.strip_local(put(put(None, by), by))
    again = put(wire, by)
    assert packed.live_dot(again) == ((7, 2), 1)
    assert decode(again).context == {(7, 1): 2, (7, 2): 1}


def test_with_several_own_bases_it_goes_on_under_the_last() -> None:
    by, other = issuer(7), issuer(8)
    lost = packed.strip_local(put(None, by))
    held = put(None, by)
    merged = packed.merge(held, lost)
    assert packed.live_dot(put(merged, by)) == ((7, 2), 2)
    over = packed.merge(held, packed.strip_local(put(packed.strip_local(held), other)))
    assert packed.live_dot(put(over, by)) == ((7, 2), 2)


def test_a_new_incarnation_never_goes_on_under_the_bases_of_the_last() -> None:
    record = put(None, issuer(7))
    assert packed.live_dot(put(record, issuer(8))) == ((8, 1), 1)


def test_a_base_whose_numbers_are_used_up_is_followed_by_another() -> None:
    by = issuer()
    state = State({(7, 1): N_LIMIT}, frozenset(), {((7, 1), N_LIMIT): Version(REGISTER, 0, 1, 0, 0, b"")})
    by.next_base()
    assert packed.live_dot(put(encode(state, OWN_BASE), by)) == ((7, 2), 1)


def test_a_context_that_claims_bases_of_ours_that_we_do_not_know_cannot_hide_our_writes() -> None:
    by = issuer()
    record = put(None, by)
    forged = Context({(7, 1): 50, (7, 2): 50}, b"forged")
    written = put(record, by, context=forged)
    ((dot, _),) = decode(written).dots.items()
    assert dot == ((7, 3), 1)


def test_a_merged_clock_that_claims_our_next_base_makes_us_skip_it() -> None:
    by = issuer()
    state = State({(7, 1): 9, (8, 1): 1}, frozenset(), {((8, 1), 1): Version(REGISTER, 0, 1, 0, 0, b"")})
    assert packed.live_dot(put(encode(state, 0), by)) == ((7, 2), 1)


# What a write supersedes and carries on.


def test_a_write_without_context_supersedes_all_siblings() -> None:
    record = put(siblings(3), issuer(1), payload=b"\x01")
    assert record[1] == VALUE
    assert len(decode(record).context) == 3


def test_a_write_with_the_current_context_is_the_same_as_one_without() -> None:
    record = put(None, issuer())
    first, second = issuer(), issuer()
    assert put(record, first, context=context_of(record)) == put(record, second)


def test_a_write_with_an_old_context_leaves_a_sibling() -> None:
    by = issuer()
    record = put(None, by, payload=b"\x01")
    seen = context_of(record)
    record = put(put(record, by, payload=b"\x02"), by, payload=b"\x03", context=seen)
    assert record[1] == MANY
    assert sorted(v.payload for v in decode(record).dots.values()) == [b"\x02", b"\x03"]


def test_the_sibling_cap_is_an_error_and_changes_nothing() -> None:
    record = siblings(8)
    copy = bytes(bytearray(record))
    with pytest.raises(TooManySiblings):
        put(record, issuer(1), context=Context({}, b"other"))
    assert record == copy
    assert put(record, issuer(1), context=context_of(record))[1] == VALUE


def test_created_is_carried_from_a_live_value_and_from_nothing_else() -> None:
    by = issuer()
    record = put(None, by, now_ms=100, expire_ms=500)
    assert created_ms_of(put(record, by, now_ms=200)) == 100
    assert created_ms_of(put(record, by, now_ms=500)) == 500
    assert created_ms_of(put(packed.strip_local(record), by, now_ms=200)) == 100
    assert created_ms_of(put(packed.strip_local(record), by, now_ms=500)) == 500
    assert created_ms_of(put(remove(record, by, now_ms=150), by, now_ms=200)) == 200
    both = packed.merge(record, packed.strip_local(put(None, issuer(8), now_ms=120)))
    assert created_ms_of(put(both, by, now_ms=200)) == 120


def test_flags_and_payload_are_kept_as_given() -> None:
    record = put(None, issuer(), flags=RAW | FILL, payload=b"\x00raw")
    assert flags_of(record) == RAW | FILL
    assert record.endswith(b"\x00raw")
    assert len(record) == 45 + 4


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(
    ("held_expire_ms", "expire_ms", "unknown", "outlived"),
    [
        (0, 0, False, False),
        (0, 0, True, False),
        (0, 2_000_000, False, True),
        (3_000_000, 2_000_000, False, True),
        (2_000_000, 2_000_000, False, False),
        (1_500_000, 2_000_000, False, False),
        (1_500_000, 2_000_000, True, True),
    ],
)
def test_a_write_that_an_older_version_may_outlive_says_so(
    own: bool, held_expire_ms: int, expire_ms: int, unknown: bool, outlived: bool
) -> None:
    by = issuer()
    held = put(None, by, expire_ms=held_expire_ms)
    record = put(held if own else packed.strip_local(held), by, expire_ms=expire_ms, history_unknown=unknown)
    assert bool(flags_of(record) & MAY_BE_OUTLIVED) is outlived


def test_the_doubt_about_older_versions_is_passed_on() -> None:
    by = issuer()
    first = put(None, by, expire_ms=2_000_000, history_unknown=True)
    assert flags_of(put(first, by, expire_ms=3_000_000)) & MAY_BE_OUTLIVED
    assert flags_of(put(remove(first, by), by, expire_ms=3_000_000)) & MAY_BE_OUTLIVED
    assert not flags_of(put(first, by, expire_ms=0)) & MAY_BE_OUTLIVED


def test_a_context_that_covers_what_is_not_held_leaves_doubt_too() -> None:
    record = put(None, issuer(), expire_ms=2_000_000, context=Context({(3, 1): 1}, b"other"))
    assert flags_of(record) & MAY_BE_OUTLIVED


# Deletes.


def test_a_delete_over_an_own_value() -> None:
    by = issuer()
    record = remove(put(None, by, payload=b"value"), by, time=9, now_ms=NOW + 1)
    assert HEADER.unpack_from(record) == (OWN_BASE, TOMBSTONE, 0, 1, 0, 9, 0, NOW + 1)
    assert len(record) == 45
    assert packed.live_dot(record) == ((7, 1), 2)


def test_a_blind_delete_of_a_key_that_is_not_held_beats_older_values_only() -> None:
    tomb = packed.strip_local(remove(None, issuer(1), time=5, blind=True))
    assert flags_of(tomb) == BLIND
    older, newer = (packed.strip_local(put(None, issuer(2), time=time)) for time in (4, 6))
    assert HEADER.unpack_from(packed.merge(tomb, older))[1] == MANY
    assert HEADER.unpack_from(packed.merge(tomb, newer))[1] == MANY


def test_a_delete_with_context_leaves_what_that_does_not_cover() -> None:
    by = issuer()
    record = put(None, by, payload=b"\x01")
    seen = context_of(record)
    record = put(record, by, payload=b"\x02")
    local, _ = packed.delete(record, by, 3, NOW, seen)
    assert sorted(v.kind for v in decode(local).dots.values()) == [VALUE, TOMBSTONE]


# Merge.


def test_merge_returns_the_very_record_when_nothing_is_new() -> None:
    by = issuer()
    first = put(None, by)
    second = put(first, by)
    assert packed.merge(second, packed.strip_local(first)) is second
    assert packed.merge(second, packed.strip_local(second)) is second
    many = siblings(3)
    assert packed.merge(many, packed.strip_local(many)) is many
    assert packed.merge(many, packed.strip_local(put(None, issuer(2), time=2))) is many


def test_merge_keeps_byte_0_of_what_is_held_and_takes_none_from_outside() -> None:
    held = put(None, issuer(7))
    later = packed.strip_local(put(packed.strip_local(held), issuer(8)))
    assert packed.merge(held, later)[0] == OWN_BASE
    assert packed.merge(packed.strip_local(held), later) is later
    assert packed.merge(packed.strip_local(held), bytes([OWN_BASE]) + later[1:]) == later
    assert packed.merge(held, packed.strip_local(put(None, issuer(9))))[0] == OWN_BASE


def test_merge_takes_the_longer_life_of_one_version() -> None:
    record = packed.strip_local(put(None, issuer(), expire_ms=2_000_000))
    touched = packed.touch(record, 3_000_000)
    assert packed.merge(record, touched) == touched
    assert packed.merge(touched, record) is touched


# Comparison.


def test_the_prefix_of_a_value_is_its_header_and_clock_and_of_many_a_hash() -> None:
    by = issuer()
    record = put(None, by, payload=b"payload")
    assert packed.version_prefix(record) == record[1:45]
    assert packed.version_prefix(packed.strip_local(record)) == packed.version_prefix(record)
    assert packed.matches_prefix(record, record[1:45])
    assert not packed.matches_prefix(put(record, by), record[1:45])
    assert not packed.matches_prefix(record, b"")
    prefix = packed.version_prefix(siblings(3))
    assert (prefix[:1], len(prefix)) == (b"M", 17)


def test_the_digest_has_64_bits_and_ignores_byte_0() -> None:
    record = put(None, issuer())
    assert 0 <= packed.version_digest(record) < 2**64
    assert packed.version_digest(record) == packed.version_digest(packed.strip_local(record))


# Limits.


def test_old_actors_are_forgotten_by_a_write_and_young_ones_are_not() -> None:
    old = with_clock(40, own=False, time=NOW << 16)
    young = put(old, issuer(99), now_ms=NOW + PRUNE_AGE_MS)
    assert len(decode(young).context) == 41
    pruned = put(old, issuer(99), now_ms=NOW + PRUNE_AGE_MS + 1)
    assert sorted(decode(pruned).context) == [*((incarnation, 1) for incarnation in range(17, 40)), (99, 1)]


def test_a_clock_that_is_full_refuses_the_write_and_the_merge() -> None:
    full = with_clock(ENTRY_LIMIT, own=False, time=NOW << 16)
    with pytest.raises(Overloaded, match="256 actors"):
        put(full, issuer(999), now_ms=NOW)
    with pytest.raises(Overloaded, match="256 actors"):
        packed.merge(full, packed.strip_local(put(None, issuer(999))))
    assert put(with_clock(ENTRY_LIMIT, own=True, time=NOW << 16), issuer(3), now_ms=NOW)[3] == ENTRY_LIMIT


def test_since_keeps_what_is_not_older() -> None:
    first = packed.write(None, ActorIssuer(1), 10 << 16, 0, packed.RAW, b"1", 10)[1]
    second = packed.write(None, ActorIssuer(2), 20 << 16, 0, packed.RAW, b"2", 20)[1]
    both = packed.merge(first, second)
    assert packed.since(first, 10 << 16) is first
    assert packed.since(first, 11 << 16) is None
    assert packed.since(both, 10 << 16) is both
    newer = packed.since(both, 15 << 16)
    assert newer is not None
    assert newer == second
    assert packed.merge(both, newer) is both, "what was left out is removed nowhere else"
    assert packed.since(both, 21 << 16) is None


def test_since_with_context_still_knows_what_had_been_superseded() -> None:
    first = packed.write(None, ActorIssuer(1), 10 << 16, 0, packed.RAW, b"1", 10)[1]
    second = packed.write(first, ActorIssuer(2), 20 << 16, 0, packed.RAW, b"2", 20)[1]
    beside = packed.write(None, ActorIssuer(3), 15 << 16, 0, packed.RAW, b"3", 15)[1]
    both = packed.merge(second, beside)
    bare, knowing = packed.since(both, 18 << 16), packed.since(both, 18 << 16, with_context=True)
    assert bare is not None
    assert knowing is not None
    assert len(decode(packed.merge(first, bare)).dots) == 2, "a sibling that is none"
    assert packed.merge(first, knowing) == knowing == second
    assert decode(packed.merge(beside, knowing)).dots.keys() == decode(both).dots.keys()
    assert packed.since(both, 10 << 16, with_context=True) is both
    assert packed.since(both, 21 << 16, with_context=True) is None


@pytest.mark.parametrize("seed", range(40))
def test_what_since_leaves_out_is_removed_nowhere_and_the_rest_of_what_it_knew_is(seed: int) -> None:
    random = Random(seed)
    issuers = [ActorIssuer(number) for number in range(1, 5)]
    held: list[bytes | None] = [None] * 4
    for time in range(1, 30):
        place = random.randrange(4)
        old = held[place]
        if old is None or random.random() < 0.4:
            old = held[place] = packed.write(old, issuers[place], time << 16, 0, packed.RAW, b"%d" % time, time)[0]
        other = held[random.randrange(4)]
        if other is not None and random.random() < 0.6:
            mine = held[place]
            held[place] = packed.strip_local(other) if mine is None else packed.merge(mine, packed.strip_local(other))
    records = [packed.strip_local(record) for record in held if record is not None]
    for record, other in product(records, records):
        kept = packed.since(record, random.randrange(30) << 16, with_context=True)
        if kept is None:
            continue
        left_out = decode(record).dots.keys() - decode(kept).dots.keys()
        before = decode(packed.merge(other, record)).dots.keys()
        after = decode(packed.merge(other, kept)).dots.keys()
        assert after >= (before - left_out) | (left_out & decode(other).dots.keys())
        assert all(any(actor == each[0] and n >= each[1] for each in left_out) for actor, n in after - before)


def test_what_since_leaves_is_no_unbroken_residence() -> None:
    by = issuer()
    first = put(None, by, time=10 << 16)
    local, wire = packed.write(first, by, 15 << 16, 0, 0, b"\xc0", NOW)
    foreign = put(None, issuer(8), time=20 << 16)
    merged = packed.merge(local, foreign)
    assert merged[0] & OWN_BASE
    left = packed.since(merged, 18 << 16)
    assert left is not None
    again = packed.merge(packed.merge(left, packed.strip_local(first)), foreign)
    dots = decode(put(again, by, time=30 << 16)).dots
    assert not set(dots) & set(decode(wire).dots), "a dot was minted twice"
