"""Reading: the winner and its times, the siblings, and what stands behind nothing found."""

import msgpack
from hypothesis import given

from dynacache.datatypes.reading import read
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.versioning.kernel import BLIND, EXPIRED, RAW
from dynacache.versioning.layout import decode
from tests.replicas import World
from tests.strategies import worlds

NOW = 1_000_000


def put(by: int, payload: bytes, time: int, expire_ms: int = 0, flags: int = RAW) -> bytes:
    return packed.write(None, ActorIssuer(by), time, expire_ms, flags, payload, NOW)[1]


def test_a_single_value() -> None:
    view = read(put(1, b"payload", 7, NOW + 5), NOW)
    assert (view.found, view.tombstone, view.flags, view.payload) == (True, False, RAW, b"payload")
    assert (view.time, view.expire_ms, view.created_ms, view.sibling_count) == (7, NOW + 5, NOW, 0)


def test_an_expired_value_is_not_found_and_says_why() -> None:
    record = put(1, b"payload", 7, NOW + 5)
    assert read(record, NOW + 4).found
    view = read(record, NOW + 5)
    assert (view.found, view.tombstone, view.payload) == (False, False, b"")
    assert view.flags & EXPIRED


def test_a_deleted_key_is_a_tombstone() -> None:
    view = read(packed.delete(put(1, b"x", 7), ActorIssuer(2), 9, NOW)[1], NOW)
    assert (view.found, view.tombstone, view.time) == (False, True, 9)
    assert not view.flags & EXPIRED


def test_siblings_are_newest_first_and_do_not_include_the_winner() -> None:
    record = put(1, b"old", 1)
    for by, payload, time in ((2, b"newest", 3), (3, b"middle", 2)):
        record = packed.merge(record, put(by, payload, time))
    view = read(record, NOW)
    assert view.payload == b"newest"
    assert [sibling.payload for sibling in view.siblings] == [b"middle", b"old"]
    assert view.sibling_count == 2


def test_a_value_wins_against_a_concurrent_delete_that_is_not_blind() -> None:
    value = put(1, b"value", 1)
    for blind, found in ((False, True), (True, False)):
        tomb = packed.delete(None, ActorIssuer(2), 5, NOW, None, blind)[1]
        view = read(packed.merge(value, tomb), NOW)
        assert view.found is found
        assert view.tombstone is not found
    assert view.flags & BLIND
    assert [sibling.payload for sibling in view.siblings] == [b"value"]


def test_an_expired_winner_is_not_replaced_by_its_older_sibling() -> None:
    record = packed.merge(put(1, b"old", 1), put(2, b"new", 2, NOW + 5))
    for held in (record, packed.clean(record, NOW + 5)):
        assert held is not None
        view = read(held, NOW + 5)
        assert not view.found
        assert view.flags & EXPIRED
        assert [sibling.payload for sibling in view.siblings] == [b"old"]


def test_a_payload_is_read_whole_beside_a_long_clock() -> None:
    record = put(1, b"first", 1)
    for by in range(2, 6):
        record = packed.write(record, ActorIssuer(by), by, 0, RAW, b"payload", NOW)[1]
    assert record[3] == 5
    assert read(record, NOW).payload == b"payload"


@given(worlds())
def test_what_is_found_is_one_of_the_live_versions_or_a_sum(world: World) -> None:
    for record in world.records:
        if record is None:
            continue
        view = read(record, world.now_ms)
        versions = list(decode(record).dots.values())
        if view.found and view.payload not in [version.payload for version in versions]:
            assert isinstance(msgpack.unpackb(view.payload), int)
        assert view.expire_ms == 0 or view.expire_ms > world.now_ms or not view.found
        assert view.time in [version.time for version in versions]
        assert [s.time for s in view.siblings] == sorted((s.time for s in view.siblings), reverse=True)
