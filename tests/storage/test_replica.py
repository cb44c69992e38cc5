"""What repair sees of a store: digests, entries, ghosts from elsewhere, partitions as a whole."""

from typing import Any

import pytest
from pyroaring import BitMap

from dynacache.storage.contributions import DELETED
from dynacache.storage.engine import REFUSED, TAKEN, WITNESSED, Engine
from dynacache.storage.replica import ADMIT_SHARE, SWEEP_COUNT
from dynacache.storage.snapshot import pack_ghosts
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from tests.storage.builders import START_MS, engine_of, key_of, tombstone, value

GRACE_MS = 100_000
EARLY_MS = 20_000


def store_of(**settings: Any) -> Engine:
    return engine_of(4, **{"gc_grace_min_ms": EARLY_MS, "gc_grace_max_ms": GRACE_MS, **settings})


def evict(store: Engine, partition: int, key: bytes) -> None:
    while store.peek(partition, key) is not None:
        assert store.evict_one()


def full(store: Engine) -> Engine:
    """Lower the limit so that nothing is admitted, and nothing has to go."""
    store.set_limit(int(store.usage().total_bytes / ADMIT_SHARE))
    assert not store.admits()
    return store


def sound(store: Engine) -> bool:
    trees = all(store.check_trees(partition) for partition in range(4))
    return trees and store.usage() == store.recount() and store._used_bytes == store.usage().total_bytes


# Comparing.


def test_a_seed_of_the_cluster_changes_every_root() -> None:
    first, second = store_of(), store_of()
    second.hash_seed = 7
    for store in (first, second):
        store.put(1, b"key", packed.strip_local(value(issuer=ActorIssuer(5))))
    assert first.root(1) != second.root(1)
    assert first.root(0) == 0


def test_a_write_marks_its_leaf_and_the_same_version_again_marks_nothing() -> None:
    store = store_of()
    record = value()
    store.put(1, b"key", record)
    (changed,) = store.take_changed()
    assert changed == 1 << 14 | store.fingerprint(1, b"key") >> 50
    root = store.root(1)
    store.put(1, b"key", packed.strip_local(record))
    assert not store.take_changed()
    assert store.root(1) == root
    store.put(1, b"key", value(old=record))
    assert list(store.take_changed()) == [changed]
    store.put(1, b"key", tombstone(old=record))
    assert list(store.take_changed()) == [changed]
    store.remove(1, b"key")
    assert list(store.take_changed()) == [changed]
    assert store.root(1) == 0


def test_eviction_changes_nothing_for_others_and_neither_does_reading_it_again() -> None:
    store = store_of()
    record = packed.strip_local(value())
    store.put(1, b"key", record)
    root = store.root(1)
    store.take_changed()
    evict(store, 1, b"key")
    assert store.root(1) == root
    store.merge(1, b"key", record, START_MS)
    assert store.root(1) == root
    assert not store.take_changed()
    assert sound(store)


def test_a_hundred_thousand_that_end_in_one_second_are_let_go_in_slices_and_without_a_difference() -> None:
    quick, slow = store_of(), store_of()
    issuer = ActorIssuer(5)
    for number in range(100_000):
        record = packed.strip_local(value(3, ttl_ms=5_000, issuer=issuer))
        quick.put(number % 4, key_of(number), record)
        slow.put(number % 4, key_of(number), record)
    for store in (quick, slow):
        store.put(1, b"stays", packed.strip_local(value(issuer=ActorIssuer(9))))
        store.take_changed()
    now_ms = START_MS + 5_000
    assert slow.sweep(now_ms - 1)
    calls = 1
    while not quick.sweep(now_ms):
        calls += 1
    assert 100_000 // SWEEP_COUNT <= calls <= 100_000 // SWEEP_COUNT + 2
    for _ in range(20):
        assert slow.collect(now_ms) == slow.settings.collect_count
    assert not slow.sweep(now_ms), "not now: it has not finished, so nothing is compared"
    while not slow.sweep(now_ms):
        pass
    assert quick.roots == slow.roots
    assert not quick.take_changed()
    assert not slow.take_changed()
    assert quick.items(1) == slow.items(1) == [(b"stays", quick.peek(1, b"stays"))]


@pytest.mark.parametrize("life_ms", [1_500, 7_200_500])
def test_evicted_and_held_values_leave_the_tree_in_the_same_second(life_ms: int) -> None:
    held, evicting, reading = store_of(), store_of(), store_of()
    record = packed.strip_local(value(ttl_ms=life_ms))
    for store in (held, evicting, reading):
        store.put(1, b"key", record)
    evict(evicting, 1, b"key")
    roots = set()
    for now_ms in range(START_MS + life_ms - 700, START_MS + life_ms + 60_000, 500):
        assert reading.get(1, b"key", now_ms) is None or now_ms < START_MS + life_ms
        for store in (held, evicting, reading):
            assert store.sweep(now_ms)
        assert held.root(1) == evicting.root(1) == reading.root(1)
        roots.add(held.root(1))
        if now_ms % 7_000 == 0:
            evict(reading, 1, b"key")
    assert len(roots) == 2
    assert 0 in roots


def test_leaf_digests_fold_and_refuse_what_is_not_there() -> None:
    store = store_of()
    for number in range(2_000):
        store.put(1, key_of(number), value())
    while store.collect(START_MS, 300) or store.tree_level(1) == 3:
        assert sound(store)
    assert store.tree_level(1) == 7
    fine = store.leaf_digests(1, 7, range(128))
    assert list(store.leaf_digests(1, 6, [5, 0])) == [fine[10] ^ fine[11], fine[0] ^ fine[1]]
    assert list(store.leaf_digests(1, 0, [0])) == [store.root(1)]
    with pytest.raises(ValueError, match="level"):
        store.leaf_digests(1, 8, [0])
    with pytest.raises(ValueError, match="level"):
        store.leaf_entries(1, 8, BitMap([0]), START_MS)
    with pytest.raises(IndexError):
        store.leaf_digests(1, 6, [64])
    for number in range(1_900):
        store.remove(1, key_of(number))
    store.collect(START_MS)
    assert store.tree_level(1) == 3
    assert sound(store)


def test_keys_are_found_by_their_fingerprints() -> None:
    store = store_of()
    for number in range(20):
        store.put(1, key_of(number), tombstone() if number % 2 else value())
    wanted = {store.fingerprint(1, key_of(number)) for number in (3, 4, 99)}
    assert sorted(store.find_fingerprint(1, wanted).values()) == [key_of(3), key_of(4)]


# Tombstones.


def test_a_confirmed_tombstone_is_reaped_early_and_still_recognises_what_it_superseded() -> None:
    early, late = store_of(), store_of()
    old = packed.strip_local(value())
    deleted = packed.strip_local(tombstone(old=old, now_ms=START_MS + 5))
    for store in (early, late):
        store.put(1, b"key", deleted)
        store.take_changed()
    asked = []

    def confirmed(partition: int, prefix: int) -> bool:
        asked.append((partition, prefix))
        return True

    early.confirmed = confirmed
    early.collect(START_MS + EARLY_MS)
    assert early.statistics().tombstones == 1, "too young"
    early.collect(START_MS + EARLY_MS + 2_000)
    assert asked == [(1, early.fingerprint(1, b"key") >> 50)]
    statistics = early.statistics()
    assert (statistics.tombstones, statistics.reaped_early, statistics.ghosts) == (0, 1, 1)
    assert early.root(1) == late.root(1)
    assert early.missing(1, b"key") is None, "deleted, not evicted"
    assert early.superseded_before(1, b"key") == (START_MS + 5) << 16
    end_ms = START_MS + 1_000 + GRACE_MS
    for store in (early, late):
        store.sweep(end_ms - 1)
        assert store.root(1) != 0
        store.sweep(end_ms)
        assert store.root(1) == 0
        assert not store.take_changed()
        assert sound(store)
    assert early.superseded_before(1, b"key") is None


@pytest.mark.parametrize("which", ["warming", "stale"])
def test_incomplete_copies_do_not_reap_even_for_a_comparison(which: str) -> None:
    store = store_of()
    store.put(1, b"key", tombstone())
    getattr(store, which).add(1)
    store.confirmed = lambda partition, prefix: True
    store.collect(START_MS + 2 * GRACE_MS)
    assert store.sweep(START_MS + 2 * GRACE_MS)
    assert store.root(1) != 0
    assert store.peek(1, b"key") is not None
    getattr(store, which).discard(1)
    assert store.root(1) == 0, "past its grace it is gone for whoever compares"
    assert store.peek(1, b"key") is None


def test_without_room_for_their_ghosts_tombstones_wait() -> None:
    store = store_of(limit_bytes=60_000, ghost_share=0.1)
    room = store._ghosts.shard_limit
    store.confirmed = lambda partition, prefix: True
    for number in range(room):
        store.put(1, key_of(number), tombstone())
    root = store.root(1)
    for step in range(4):
        store.collect(START_MS + EARLY_MS + 5_000 * step)
    assert store.statistics().reaped_early == -(-room // 2)
    assert store.statistics().tombstones == room // 2
    assert store.root(1) == root
    assert sound(store)


# Ghosts.


def test_a_full_store_witnesses_what_it_does_not_take() -> None:
    store, other = store_of(), store_of()
    record = packed.strip_local(value(ttl_ms=60_000))
    other.put(1, b"key", record)
    full(store)
    assert store.merge_cold(1, b"key", record, START_MS) == WITNESSED
    assert store.peek(1, b"key") is None
    assert store.missing(1, b"key") == START_MS << 16
    assert store.root(1) == other.root(1)
    assert len(store.take_changed()) == 1
    assert store.merge_cold(1, b"key", record, START_MS) == WITNESSED
    assert not store.take_changed()
    assert (store.statistics().witnessed, store.statistics().ghosts) == (1, 1)
    assert sound(store)
    for one in (store, other):
        one.sweep(START_MS + 60_000)
        assert one.root(1) == 0


def test_a_full_store_takes_tombstones_what_it_holds_already_and_what_has_expired() -> None:
    store = store_of()
    store.put(1, b"held", value(issuer=ActorIssuer(5)))
    full(store)
    assert store.merge_cold(1, b"held", value(issuer=ActorIssuer(6)), START_MS) == TAKEN
    assert store.merge_cold(1, b"deleted", tombstone(), START_MS) == TAKEN
    assert store.merge_cold(1, b"ended", value(ttl_ms=10), START_MS + 10) == TAKEN
    assert store.statistics().ghosts == 0
    assert sound(store)


def test_without_room_for_a_ghost_a_version_is_refused_and_nothing_is_forgotten_for_it() -> None:
    store = store_of(limit_bytes=60_000, ghost_share=0.1)
    full(store)
    room = store._ghosts.shard_limit
    for number in range(room):
        assert store.merge_cold(1, key_of(number), value(), START_MS) == WITNESSED
    assert store.missing(1, b"never") is None
    assert store.merge_cold(1, b"one more", value(), START_MS) == REFUSED
    assert store.statistics().ghosts == room
    assert store.missing(1, b"never") == 0, "a miss may be an eviction now"
    assert store.missing(2, b"never") is None
    assert store.witness_many(1, [(5, 16, 7, 0, True), (6, 16, 7, 0, False)]) == 0
    assert sound(store)


def test_of_two_witnessed_versions_the_newer_stays() -> None:
    store = store_of()
    for version_hash, time in ((16, 5), (32, 9), (64, 7)):
        store.witness(1, 77 << 50, version_hash, time, 0, False)
        assert sound(store)
    assert store.root(1) == 32
    store.sweep(START_MS)
    store.witness(1, 77 << 50, 128, 20, START_MS // 1000, True)
    assert store.root(1) == 32, "what has ended is not witnessed"
    store.drop_ghosts(1, [77 << 50])
    assert store.root(1) == 0
    assert sound(store)


def test_a_version_from_elsewhere_leaves_a_stored_key_alone_unless_it_is_deleted_and_newer() -> None:
    store = store_of()
    old, new = value(), value(now_ms=START_MS + 10)
    store.put(1, b"old", old)
    store.put(1, b"new", new)
    store.put(1, b"both", packed.merge(value(issuer=ActorIssuer(5)), value(now_ms=START_MS + 10)))
    numbers = [store.fingerprint(1, key) for key in (b"old", b"new", b"both")]
    deleted_at = (START_MS + 5) << 16
    assert store.witness_many(1, [(number, 16, deleted_at, 0, False) for number in numbers]) == 0
    assert store.statistics().ghosts == 0
    assert store.witness_many(1, [(number, 16, deleted_at, 0, True) for number in numbers]) == 1
    assert store.peek(1, b"old") is None
    assert store.superseded_before(1, b"old") == deleted_at
    assert store.peek(1, b"new") is new
    left = store.peek(1, b"both")
    assert left is not None
    assert left[1] == packed.VALUE, "the older sibling went"
    assert sound(store)


def test_ghosts_travel_with_a_partition_and_malformed_ones_change_nothing() -> None:
    source, target = store_of(), store_of()
    for number in range(6):
        source.put(1, key_of(number), packed.strip_local(value(ttl_ms=60_000 * (number % 2))))
    for number in range(6):
        evict(source, 1, key_of(number))
    ghosts = pack_ghosts(list(source._ghosts.of(1)))
    with pytest.raises(ValueError, match="ghosts"):
        target.take_ghosts(1, ghosts[:-1])
    assert target.statistics().ghosts == 0
    target.take_ghosts(1, ghosts)
    assert target.root(1) == source.root(1)
    assert target.statistics().ghosts == 6
    assert sound(target)


# Whole partitions.


def test_a_copy_that_was_away_too_long_keeps_the_young_and_forgets_the_rest_with_its_context() -> None:
    store = store_of()
    young_ms = START_MS + 1_000
    both = packed.merge(value(issuer=ActorIssuer(5)), value(now_ms=young_ms, issuer=ActorIssuer(6)))
    records = {
        b"old": value(),
        b"young": value(now_ms=young_ms),
        b"both": both,
        b"deleted": tombstone(),
        b"just deleted": tombstone(now_ms=young_ms),
    }
    for key, record in records.items():
        store.put(1, key, record)
        store.put(2, key, record)
    store.witness_many(1, [(1 << 50, 16, START_MS << 16, 0, False), (2 << 50, 32, young_ms << 16, 0, False)])
    store.discard_older(1, young_ms)
    assert [key for key, _ in store.items(1)] == [b"young", b"both", b"just deleted"]
    left = store.peek(1, b"both")
    assert left == packed.since(both, young_ms << 16)
    assert left is not None
    assert left[3] == 1, "its context is that of the young dot alone"
    assert [ghost[0] for ghost in store._ghosts.of(1)] == [2 << 50]
    assert len(store.items(2)) == 5
    assert sound(store)


def test_a_cleared_partition_leaves_no_trace() -> None:
    store = store_of()
    for number in range(200):
        store.put(1, key_of(number), tombstone() if number % 5 == 0 else value(ttl_ms=60_000 * (number % 2)))
    evict(store, 1, key_of(1))
    store.put(2, b"other", value())
    store._trees.start_growth(1, 8, store._all_contributions(1))
    store._used_bytes = store.usage().total_bytes
    store.take_changed()
    store.clear(1)
    assert store.items(1) == []
    assert store.root(1) == 0
    assert store.missing(1, key_of(1)) is None
    assert store.statistics().entries == 1
    assert len(store.take_changed()) == 1 << 14, "whoever compares it again looks at everything"
    assert sound(store)
    store.put(1, b"again", value())
    store.collect(START_MS + 60_000)
    assert sound(store)


def test_trees_that_are_wrong_are_found() -> None:
    store = store_of()
    store.put(1, b"key", value())
    assert store.check_trees(1)
    store._trees.leaves[1][0] ^= 1
    assert not store.check_trees(1)


def test_the_mark_of_a_tombstone_never_reaches_a_tree() -> None:
    store = store_of()
    store.put(1, b"key", tombstone())
    store._reap_one(1, b"key", True)
    assert not store.root(1) & DELETED
    (ghost,) = store._ghosts.of(1)
    assert ghost[2] == store.root(1) | DELETED
