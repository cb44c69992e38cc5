"""The promises of the engine one by one; `test_engine_model.py` runs it against a model."""

import pytest

from dynacache.namespaces.names import prefix, qualify, with_factor
from dynacache.placement.partitions import MAX_FACTOR
from dynacache.placement.table import FACTORS_PARTITION_LIMIT
from dynacache.storage.engine import TAKEN, WITNESSED
from dynacache.storage.eviction.groups import GroupSettings
from dynacache.storage.records import is_tombstone
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from tests.storage.builders import START_MS, engine_of, key_of, tombstone, value

GRACE_MS = 100_000


def test_what_was_put_is_returned_by_get_peek_and_items() -> None:
    engine = engine_of()
    record = value()
    engine.put(3, b"key", record)
    assert engine.get(3, b"key", START_MS) is record
    assert engine.peek(3, b"key") is record
    assert engine.items(3) == [(b"key", record)]
    assert engine.get(2, b"key", START_MS) is None
    assert engine.items(2) == []


def test_an_entry_ends_to_the_millisecond_for_readers_and_is_freed_without_being_read() -> None:
    engine = engine_of()
    engine.put(0, b"read", value(ttl_ms=1_500))
    engine.put(0, b"unread", value(ttl_ms=1_500))
    assert engine.get(0, b"read", START_MS + 1_499) is not None
    assert engine.get(0, b"read", START_MS + 1_500) is None
    assert engine.get(0, b"read", START_MS + 1_501) is None
    assert engine.statistics().entries == 2, "its contribution to the tree goes with its second"
    assert engine.next_deadline_ms() == START_MS + 2_000
    assert engine.collect(START_MS + 1_999) == 0
    assert engine.collect(START_MS + 2_000) == 2
    assert engine.items(0) == []
    assert engine.missing(0, b"unread") is None, "expired is not evicted"
    assert engine.next_deadline_ms() is None


def test_an_expiry_that_an_older_version_could_outlive_leaves_a_tombstone() -> None:
    engine = engine_of(gc_grace_min_ms=1, gc_grace_max_ms=GRACE_MS)
    forever = value()
    brief = value(old=forever, now_ms=START_MS + 1, ttl_ms=50)
    engine.put(0, b"key", brief)
    left = engine.get(0, b"key", START_MS + 60)
    assert left is not None
    assert is_tombstone(left)
    assert engine.peek(0, b"key") == left
    assert engine.merge(0, b"key", packed.strip_local(forever), START_MS + 70) is left, "it does not come back"
    engine.collect(START_MS + 1_000 + GRACE_MS - 1)
    assert engine.peek(0, b"key") == left
    engine.collect(START_MS + 1_000 + GRACE_MS)
    assert engine.peek(0, b"key") is None


def test_a_longer_life_given_by_a_touch_is_what_counts() -> None:
    engine = engine_of()
    record = value(ttl_ms=1_000)
    engine.put(0, b"key", record)
    engine.put(0, b"key", packed.touch(record, START_MS + 9_000))
    engine.collect(START_MS + 2_000)
    assert engine.get(0, b"key", START_MS + 8_999) is not None
    engine.collect(START_MS + 9_000)
    assert engine.items(0) == []


def test_merge_drops_what_has_already_expired() -> None:
    engine = engine_of()
    assert engine.merge(0, b"key", value(ttl_ms=10), START_MS + 10) is None
    assert engine.items(0) == []
    held = value(now_ms=START_MS + 20)
    engine.put(0, b"key", held)
    assert engine.merge(0, b"key", value(ttl_ms=10), START_MS + 20) is held


def test_an_expired_arrival_ends_a_touched_life_that_it_superseded_and_leaves_nothing() -> None:
    engine = engine_of()
    short = value(ttl_ms=10)
    successor = packed.strip_local(value(old=short, now_ms=START_MS + 1, ttl_ms=20))
    engine.put(0, b"key", packed.touch(short, START_MS + 9_000))
    assert engine.merge(0, b"key", successor, START_MS + 50) is None
    assert engine.items(0) == []
    assert engine.usage() == engine.recount()


def test_an_expired_arrival_still_ends_what_it_superseded() -> None:
    engine = engine_of()
    forever = value()
    engine.put(0, b"key", forever)
    brief = packed.strip_local(value(old=forever, now_ms=START_MS + 1, ttl_ms=5))
    left = engine.merge(0, b"key", brief, START_MS + 50)
    assert left is not None
    assert is_tombstone(left)
    assert engine.items(0) == [(b"key", left)]
    again = value(old=left, now_ms=START_MS + 60)
    engine.put(0, b"key", again)
    assert engine.items(0) == [(b"key", again)]


def siblings(short_ms: int, long_ms: int) -> bytes:
    """Return two concurrent versions that expire at different times."""
    first = value(100, ttl_ms=short_ms, issuer=ActorIssuer(7))
    second = value(100, ttl_ms=long_ms, issuer=ActorIssuer(8))
    return packed.merge(packed.strip_local(first), packed.strip_local(second))


def test_siblings_expire_one_after_the_other_without_being_read() -> None:
    engine = engine_of()
    engine.put(0, b"key", siblings(1_000, 9_000))
    assert engine.collect(START_MS + 1_000) == 1
    assert engine.peek(0, b"key") == packed.clean(siblings(1_000, 9_000), START_MS + 1_000)
    assert engine.next_deadline_ms() == START_MS + 9_000
    assert engine.collect(START_MS + 9_000) == 1
    assert engine.items(0) == []
    assert engine.usage() == engine.recount()


def test_the_ghost_of_siblings_outlives_the_first_of_them() -> None:
    engine = engine_of(1, limit_bytes=60_000)
    engine.put(0, b"key", siblings(1_000, 900_000))
    for number in range(200):
        engine.put(0, key_of(number), value(300, now_ms=START_MS + 1))
    assert engine.peek(0, b"key") is None
    engine.collect(START_MS + 5_000)
    assert engine.missing(0, b"key") is not None


def test_merge_returns_the_very_record_when_nothing_is_new() -> None:
    engine = engine_of()
    old = value()
    new = value(old=old, now_ms=START_MS + 1)
    engine.put(0, b"key", new)
    assert engine.merge(0, b"key", packed.strip_local(old), START_MS + 1) is new
    assert engine.peek(0, b"key") is new


def test_an_evicted_key_is_told_from_one_never_seen() -> None:
    engine = engine_of(1, limit_bytes=60_000)
    for number in range(300):
        engine.put(0, key_of(number), value(300, now_ms=START_MS + number))
    gone = [number for number in range(300) if engine.peek(0, key_of(number)) is None]
    assert len(gone) == engine.evicted > 100
    remembered = {number: engine.missing(0, key_of(number)) for number in gone}
    assert all(time in (0, (START_MS + number) << 16) for number, time in remembered.items())
    assert all(remembered[number] for number in gone[-50:]), "the youngest are remembered"
    never = engine.missing(0, b"never")
    assert never == (0 if engine.statistics().forgetful_partitions else None)
    engine.put(0, key_of(gone[-1]), value())
    engine.remove(0, key_of(gone[-1]))
    assert engine.missing(0, key_of(gone[-1])) == never


def test_a_ghost_without_overflow_leaves_other_misses_certain() -> None:
    engine = engine_of(1, limit_bytes=60_000)
    number = 0
    while not engine.evicted:
        engine.put(0, key_of(number), value(300))
        number += 1
    assert engine.missing(0, b"never") is None
    gone = [key_of(n) for n in range(number) if engine.peek(0, key_of(n)) is None]
    assert gone
    assert {engine.missing(0, key) for key in gone} == {START_MS << 16}


@pytest.mark.parametrize("which", ["warming", "stale"])
def test_tombstones_of_incomplete_partitions_are_not_reaped(which: str) -> None:
    engine = engine_of(gc_grace_min_ms=GRACE_MS, gc_grace_max_ms=GRACE_MS)
    getattr(engine, which).add(1)
    engine.put(1, b"kept", tombstone())
    engine.put(2, b"reaped", tombstone())
    assert engine.next_deadline_ms() == START_MS + GRACE_MS
    engine.collect(START_MS + GRACE_MS)
    assert engine.peek(2, b"reaped") is None
    assert engine.peek(1, b"kept") is not None
    getattr(engine, which).discard(1)
    deadline_ms = engine.next_deadline_ms()
    assert deadline_ms is not None
    engine.collect(deadline_ms)
    assert engine.peek(1, b"kept") is None


def test_a_slice_of_clean_up_ends_at_its_budget() -> None:
    engine = engine_of(collect_count=100)
    for number in range(1_000):
        engine.put(number % 4, key_of(number), value(ttl_ms=5_000))
    now_ms = START_MS + 5_000
    for _ in range(10):
        assert engine.next_deadline_ms() == now_ms
        assert engine.collect(now_ms) == 100
    assert engine.collect(now_ms) == 0
    assert engine.statistics().expired == 1_000
    assert engine.usage() == engine.recount()


def test_a_lowered_limit_is_reached_in_slices() -> None:
    engine = engine_of(limit_bytes=200_000)
    for number in range(300):
        engine.put(number % 4, key_of(number), value(300))
    engine.set_limit(60_000)
    assert engine.next_deadline_ms() is not None
    slices = 0
    while engine.usage().total_bytes > 60_000:
        assert engine.collect(START_MS, 20) <= 20
        slices += 1
    assert slices > 5
    assert engine.next_deadline_ms() is None


def test_a_lowered_share_is_reached_in_slices_without_a_write() -> None:
    engine = engine_of(limit_bytes=400_000)
    space, other = prefix("web"), prefix("kept")
    engine.set_groups([GroupSettings(space, "", 0.8), GroupSettings(other, "noeviction", 0.1)])
    for number in range(300):
        engine.put(number % 4, space + key_of(number), value(300))
    for number in range(20):
        engine.put(number % 4, other + key_of(number), value(300))
    engine.collect(START_MS)
    assert engine.evicted == 0
    engine.set_groups([GroupSettings(space, "", 0.1), GroupSettings(other, "noeviction", 0.001)])
    slices = 0
    while engine.next_deadline_ms() is not None:
        engine.collect(START_MS, 20)
        slices += 1
    held = engine.census.tenants[space].size_bytes
    entries_limit_bytes = 400_000 - engine.usage().total_bytes + engine.held()[1]
    assert 0.05 * entries_limit_bytes < held <= 0.1 * entries_limit_bytes
    assert slices > 5
    assert engine.census.tenants[other].entries == 20, "nothing of its own may be evicted"


def test_what_repair_brings_to_a_group_without_room_is_witnessed() -> None:
    engine = engine_of(limit_bytes=400_000)
    space = prefix("web")
    engine.set_groups([GroupSettings(space, "", 0.1)])
    assert engine.room() is True
    for number in range(300):
        engine.put(number % 4, space + key_of(number), value(300))
    assert engine.room() == [space]
    assert (engine.admits(), engine.admits_key(b"web"), engine.admits_key(space + b"k")) == (True, True, False)
    evicted = engine.evicted
    assert engine.merge_cold(1, space + b"k", value(300), START_MS) == WITNESSED
    assert engine.merge_cold(1, b"k", value(300), START_MS) == TAKEN
    assert engine.evicted == evicted
    engine.set_limit(engine.usage().total_bytes)
    assert engine.room() is False


def test_two_hundred_entries_over_a_thousand_partitions() -> None:
    engine = engine_of(1024, limit_bytes=1_300_000, ghost_share=0.03, eviction="lru")
    for number in range(2_000):
        engine.put(number * 37 % 1024, key_of(number), value(3_000))
        assert engine.get(5, b"hot", START_MS) is not None or number == 0
        if number == 0:
            engine.put(5, b"hot", value(3_000))
    assert engine.evicted > 1_500
    kept = [number for number in range(2_000) if engine.peek(number * 37 % 1024, key_of(number))]
    assert sum(number >= 1_500 for number in kept) / len(kept) > 0.8


def test_of_named_entries_alone_what_is_older_goes() -> None:
    engine = engine_of()
    for key in (b"old", b"other"):
        engine.put(1, key, value())
    engine.put(1, b"young", value(now_ms=START_MS + 1_000))
    engine.witness_many(1, [(number << 50, 16 * number, START_MS << 16, 0, False) for number in (1, 2)])
    engine.discard_entries(1, [b"old", b"young", b"not there"], [1 << 50], START_MS + 1_000)
    assert [key for key, _ in engine.items(1)] == [b"other", b"young"]
    assert [ghost[0] for ghost in engine._ghosts.of(1)] == [2 << 50]
    assert engine.check_trees(1)
    assert engine.usage() == engine.recount()


@pytest.mark.parametrize("policy", ["s3fifo", "lru", "lfu", "ttl", "random"])
def test_the_last_partition_that_there_can_be_is_stored_in_as_any(policy: str) -> None:
    engine = engine_of(FACTORS_PARTITION_LIMIT, limit_bytes=1 << 28, eviction=policy)
    engine.add_factor(MAX_FACTOR)
    key, last = with_factor(qualify("web", b"key"), MAX_FACTOR), (MAX_FACTOR + 1) * FACTORS_PARTITION_LIMIT - 1
    engine.put(last, key, value())
    assert engine.peek(last, key) is not None
    assert engine.evict_one()
    assert engine.usage() == engine.recount()
