"""One partition's leaves, the asker's entries against ours."""

import pytest

from dynacache.repair.differences import Entry
from dynacache.repair.exchange_listing import Budget, Listing
from dynacache.repair.exchange_repair import LARGE_RECORD_BYTES
from dynacache.repair.exchange_store import GHOST, RESIDENT, TOMBSTONE
from tests.repair.exchange_world import Owner, World

PARTITION = 5


def _keys(owner: Owner, count: int) -> list[bytes]:
    keys = (b"key%d" % index for index in range(100_000))
    return [key for key in keys if owner.partition(key) == PARTITION][:count]


def _setting(count: int = 1) -> tuple[World, Owner, list[bytes]]:
    world = World()
    owner = world.owners["a"]
    keys = _keys(owner, count)
    for key in keys:
        owner.make(key, b"value")
    world.now_s += 10
    return world, owner, keys


def _listing(owner: Owner, *, they_own: bool = True) -> Listing:
    return Listing(owner.exchange.ground, PARTITION, 0, they_own)


def _entry(owner: Owner, key: bytes, age_ms: int = 5_000, kind: int = RESIDENT, expire_s: int = 0) -> Entry:
    fingerprint = owner.engine.fingerprint(PARTITION, key)
    return Entry(fingerprint, 12, owner.now_ms - age_ms, expire_s, kind)


def test_what_they_lack_is_sent_and_what_we_lack_is_wanted() -> None:
    _, owner, [key, other] = _setting(2)
    owner.engine.remove(PARTITION, other)
    listing = _listing(owner)
    listing.decide([0], [_entry(owner, other)], True, Budget(10_000))
    assert listing.records == [key, owner.held(key)]
    assert listing.wanted == [owner.engine.fingerprint(PARTITION, other)]
    assert not listing.later
    assert not listing.more


def test_what_they_lack_and_have_no_room_for_is_told() -> None:
    _, owner, [key] = _setting()
    listing = _listing(owner)
    listing.decide([0], [], False, Budget(10_000))
    assert [entry.fingerprint for entry in listing.tell] == [owner.engine.fingerprint(PARTITION, key)]
    assert not listing.records


@pytest.mark.parametrize(("age_ms", "expire_in_s"), [(500, 0), (5_000, 1)])
def test_what_is_young_or_about_to_go_is_for_later(age_ms: int, expire_in_s: int) -> None:
    _, owner, [key] = _setting()
    owner.engine.remove(PARTITION, key)
    listing = _listing(owner)
    expire_s = owner.now_ms // 1000 + expire_in_s if expire_in_s else 0
    listing.decide([0], [_entry(owner, key, age_ms, expire_s=expire_s)], True, Budget(10_000))
    assert not listing.wanted
    assert listing.later == {owner.exchange.ground.forest.node(PARTITION, 0, 0)}


def test_our_ghost_of_what_nobody_holds_goes_and_theirs_is_asked_to() -> None:
    _, owner, [key, other] = _setting(2)
    for each in (key, other):
        owner.engine.remove(PARTITION, each)
    fingerprint = owner.engine.fingerprint(PARTITION, key)
    owner.engine.witness_many(PARTITION, [(fingerprint, 8, (owner.now_ms - 9_000) << 16, 0, False)])
    assert owner.engine.roots[PARTITION]
    listing = _listing(owner)
    assert listing.decide([0], [_entry(owner, other, kind=GHOST)], True, Budget(10_000)) == 1
    assert listing.drop_theirs == [owner.engine.fingerprint(PARTITION, other)]
    assert not owner.engine.roots[PARTITION]


def test_of_one_who_is_no_owner_only_what_we_lack_is_wanted() -> None:
    _, owner, [_key, other, third] = _setting(3)
    owner.engine.remove(PARTITION, other)
    listing = _listing(owner, they_own=False)
    entries = [_entry(owner, other), _entry(owner, third, age_ms=3_000, kind=TOMBSTONE)]
    listing.decide([0], entries, True, Budget(10_000))
    wanted = {owner.engine.fingerprint(PARTITION, each) for each in (other, third)}
    assert set(listing.wanted) == wanted
    assert not listing.records
    assert not listing.tell


def test_what_does_not_fit_is_named() -> None:
    _, owner, keys = _setting(5)
    listing = _listing(owner)
    listing.decide([0], [], True, Budget(len(keys[0]) + 70))
    assert len(listing.records) == 2
    assert listing.more == {owner.exchange.ground.forest.node(PARTITION, 0, 0)}


def test_an_entry_of_a_leaf_that_was_not_listed_is_malformed() -> None:
    _, owner, [key] = _setting()
    leaf = owner.engine.fingerprint(PARTITION, key) >> 61
    listing = Listing(owner.exchange.ground, PARTITION, 3, True)
    with pytest.raises(ValueError, match="a leaf that was not listed"):
        listing.decide([leaf ^ 1], [_entry(owner, key)], True, Budget(10_000))


def test_a_budget_admits_one_at_least_and_a_large_one_only_alone() -> None:
    budget = Budget(100)
    assert budget.admits(5_000)
    assert not budget.admits(1)
    budget = Budget(10 * LARGE_RECORD_BYTES)
    assert budget.admits(10)
    assert not budget.admits(LARGE_RECORD_BYTES + 1)
    assert budget.admits(10)
    budget = Budget(10 * LARGE_RECORD_BYTES)
    assert budget.admits(LARGE_RECORD_BYTES + 1)
    assert not budget.admits(10)
