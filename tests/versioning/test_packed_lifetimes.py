"""Operations on records that change how long versions live: touch and clean-up."""

from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.versioning.kernel import BLIND, EXPIRED, MAY_BE_OUTLIVED
from dynacache.versioning.layout import HEADER, OWN_BASE, TOMBSTONE, VALUE, decode

NOW = 1_000_000


def issuer(number: int = 7) -> ActorIssuer:
    return ActorIssuer(number)


def put(
    old: bytes | None,
    by: ActorIssuer,
    time: int = 1,
    expire_ms: int = 0,
    payload: bytes = b"\xc0",
    history_unknown: bool = False,
) -> bytes:
    return packed.write(old, by, time, expire_ms, 0, payload, NOW, None, history_unknown)[0]


def remove(old: bytes | None, by: ActorIssuer) -> bytes:
    return packed.delete(old, by, 1, NOW)[0]


def siblings(count: int) -> bytes:
    record = put(None, issuer(1), time=1)
    for number in range(2, count + 1):
        record = packed.merge(record, packed.strip_local(put(None, issuer(number), time=number)))
    return record


# Touch.


def test_a_touch_only_lengthens() -> None:
    record = put(None, issuer(), expire_ms=2_000_000)
    assert packed.touch(record, 2_000_000) is record
    assert packed.touch(record, 1_000_000) is record
    longer = packed.touch(record, 2_500_000)
    assert HEADER.unpack_from(longer)[6] == 2_500_000
    assert longer[:13] + record[13:21] + longer[21:] == record
    assert HEADER.unpack_from(packed.touch(longer, 0))[6] == 0
    assert packed.touch(packed.touch(longer, 0), 9_000_000) == packed.touch(longer, 0)


def test_a_touch_changes_the_version_digest() -> None:
    record = put(None, issuer(), expire_ms=2_000_000)
    assert packed.version_digest(packed.touch(record, 3_000_000)) != packed.version_digest(record)


def test_a_touch_of_a_version_that_was_replaced_does_nothing() -> None:
    by = issuer()
    record = put(None, by, expire_ms=2_000_000)
    seen = packed.live_dot(record)
    assert packed.touch(record, 3_000_000, seen) != record
    newer = put(record, by, expire_ms=2_000_000)
    assert packed.touch(newer, 3_000_000, seen) is newer
    assert packed.touch(siblings(2), 3_000_000, ((1, 1), 9)) == siblings(2)


def test_a_late_touch_of_the_old_value_never_undoes_a_set() -> None:
    by = issuer()
    old = put(None, by, expire_ms=2_000_000)
    touched = packed.strip_local(packed.touch(old, 9_000_000))
    new = put(old, by, time=2, expire_ms=2_000_000)
    assert packed.merge(new, touched) is new
    assert packed.merge(touched, packed.strip_local(new)) == packed.strip_local(new)


def test_a_tombstone_cannot_be_touched() -> None:
    record = remove(None, issuer())
    assert packed.touch(record, 9_000_000) is record


# Clean-up.


def test_an_expired_value_that_nothing_outlives_is_forgotten() -> None:
    record = put(None, issuer(), expire_ms=2_000_000)
    assert packed.clean(record, 1_999_999) is record
    assert packed.clean(record, 2_000_000) is None
    assert packed.clean(put(None, issuer()), 2**60) is not None


def test_an_expired_value_that_may_be_outlived_leaves_a_tombstone() -> None:
    record = put(None, issuer(), time=8, expire_ms=2_000_000, history_unknown=True, payload=b"value")
    remains = packed.clean(record, 2_000_001)
    assert remains is not None
    flags = EXPIRED | BLIND | MAY_BE_OUTLIVED
    assert HEADER.unpack_from(remains) == (OWN_BASE, TOMBSTONE, flags, 1, 0, 8, 0, 2_000_000)
    assert packed.live_dot(remains) == packed.live_dot(record)
    assert packed.is_well_formed(packed.strip_local(remains))
    older = packed.strip_local(put(None, issuer(), time=8, expire_ms=1_999_999, history_unknown=True, payload=b"value"))
    assert packed.merge(remains, older) is remains


def test_a_winner_that_expires_is_a_tombstone_while_it_has_siblings() -> None:
    winner = put(None, issuer(1), time=9, expire_ms=2_000_000)
    other = packed.strip_local(put(None, issuer(2), time=5))
    remains = packed.clean(packed.merge(winner, other), 2_000_000)
    assert remains is not None
    assert sorted(v.kind for v in decode(remains).dots.values()) == [VALUE, TOMBSTONE]
    assert remains[0] == OWN_BASE
    assert HEADER.unpack_from(remains)[6] == 0


def test_siblings_that_all_expired_are_forgotten_together() -> None:
    winner = put(None, issuer(1), time=9, expire_ms=2_000_000)
    record = packed.merge(winner, packed.strip_local(put(None, issuer(2), time=5, expire_ms=3_000_000)))
    assert HEADER.unpack_from(record)[6] == 2_000_000
    later = packed.clean(record, 2_500_000)
    assert later is not None
    assert HEADER.unpack_from(later)[6] == 3_000_000
    assert packed.clean(later, 3_000_000) is None


def test_deletes_stay_until_they_are_reaped() -> None:
    record = remove(None, issuer())
    assert packed.clean(record, 2**60) is record
