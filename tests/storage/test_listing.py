"""Leaves are listed by what is in them, without what is about to go."""

from pyroaring import BitMap

from dynacache.storage.engine import Engine
from dynacache.storage.listing import GHOST, NEAR_MS, REAPED, RESIDENT, TOMB, Listed, Listing
from dynacache.versioning import packed
from tests.storage.builders import START_MS, engine_of, key_of, tombstone, value

GRACE_MS = 100_000


def engine() -> Engine:
    return engine_of(4, gc_grace_min_ms=10_000, gc_grace_max_ms=GRACE_MS)


def listed(store: Engine, now_ms: int = START_MS) -> list[Listed]:
    level = store.tree_level(1)
    return store.leaf_entries(1, level, BitMap(range(1 << level)), now_ms)


def test_each_kind_is_listed_with_its_hash_its_time_and_its_end() -> None:
    store = engine()
    records = {
        b"held": value(),
        b"brief": value(ttl_ms=60_000),
        b"gone": value(ttl_ms=60_500),
        b"deleted": tombstone(),
        b"reaped": tombstone(),
    }
    for key, record in records.items():
        store.put(1, key, record)
    hashes = {entry[6]: entry[2] for entry in listed(store)}
    assert len(hashes) == 5
    store._reap_one(1, b"reaped", True)
    while store.peek(1, b"gone") is not None:
        store.evict_one()
    for key in (b"held", b"brief"):
        store.put(1, key, records[key])
    found = {
        entry[6] or next(key for key in records if store.fingerprint(1, key) == entry[1]): entry
        for entry in listed(store)
    }
    ends_ms = {b"brief": START_MS + 60_000, b"gone": START_MS + 61_000}
    kinds = {b"held": RESIDENT, b"brief": RESIDENT, b"gone": GHOST, b"deleted": TOMB, b"reaped": REAPED}
    for key, kind in kinds.items():
        leaf, number, version_hash, actual, time_ms, expire_ms, name = found[key]
        assert (actual, time_ms, version_hash) == (kind, START_MS, hashes[key])
        assert expire_ms == ends_ms.get(key, 0 if key == b"held" else START_MS + GRACE_MS)
        assert name == (key if kind in (RESIDENT, TOMB) else None)
        assert leaf == number >> (64 - store.tree_level(1))


def test_only_the_leaves_asked_for_in_order_at_any_lower_level() -> None:
    store = engine()
    for number in range(300):
        store.put(1, key_of(number), value())
    level = store.tree_level(1) - 1
    wanted = BitMap([0, 2])
    some = store.leaf_entries(1, level, wanted, START_MS)
    assert {entry[0] for entry in some} == {0, 2}
    assert [entry[:2] for entry in some] == sorted(entry[:2] for entry in some)
    everything = store.leaf_entries(1, level, BitMap(range(1 << level)), START_MS)
    assert [entry for entry in everything if entry[0] in wanted] == some
    assert len(everything) == 300


def test_what_ends_within_two_seconds_is_left_out_but_not_what_leaves_a_tombstone() -> None:
    store = engine()
    store.put(1, b"soon", value(ttl_ms=NEAR_MS))
    store.put(1, b"later", value(ttl_ms=NEAR_MS + 1))
    store.put(1, b"outlived", value(old=value(), ttl_ms=NEAR_MS))
    assert {entry[6] for entry in listed(store)} == {b"later", b"outlived"}
    before = next(entry for entry in listed(store) if entry[6] == b"outlived")
    store.sweep(START_MS + 5_000)
    (after,) = listed(store, START_MS + 5_000)
    assert (before[2], before[3], after[2], after[3]) == (after[2], RESIDENT, before[2], TOMB)
    assert listed(store, START_MS + GRACE_MS + 1_000) == [], "the tombstone leaves soon"


def test_ghosts_that_end_soon_are_left_out() -> None:
    store = engine()
    listing = Listing(store._trees, 0, 100, 3, BitMap(range(8)), START_MS)
    second = START_MS // 1000
    listing.ghosts([(5, 1 << 16, 16, second + 2), (6, 1 << 16, 32, second + 3), (7, 1 << 16, 49, 0)])
    assert [(entry[1], entry[2], entry[3]) for entry in listing.sorted()] == [(6, 32, GHOST), (7, 48, REAPED)]


def test_siblings_have_no_end_of_their_own() -> None:
    store = engine()
    store.put(1, b"key", packed.merge(value(ttl_ms=60_000), value(ttl_ms=90_000)))
    ((*_, expire_ms, key),) = listed(store)
    assert (expire_ms, key) == (0, b"key")
