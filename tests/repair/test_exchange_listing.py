"""One partition's leaves: the asker's tags against our entries."""

import pytest
from pyroaring import BitMap

from dynacache.repair.exchange_listing import Budget, Listing
from dynacache.repair.exchange_nodes import unpack_numbers
from dynacache.repair.exchange_repair import LARGE_RECORD_BYTES
from dynacache.repair.exchange_store import GHOST
from dynacache.repair.exchange_tags import tags_of
from tests.repair.exchange_world import Owner, World

PARTITION = 5
ODD = 12345


def _setting(count: int = 1) -> tuple[Owner, list[bytes]]:
    world = World()
    owner = world.owners["a"]
    keys = [key for key in (b"key%d" % i for i in range(100_000)) if owner.partition(key) == PARTITION][:count]
    for key in keys:
        owner.make(key, b"value")
    return owner, keys


def _tags(owner: Owner, level: int = 0) -> tuple[list[int], list[int], list[int]]:
    """Return (leaves, counts, tags) of all that an owner has in the partition."""
    leaves = list(range(1 << level))
    listed = owner.engine.leaf_entries(PARTITION, level, BitMap(leaves), owner.now_ms)
    counts = [sum(each[0] == leaf for each in listed) for leaf in leaves]
    return leaves, counts, tags_of(listed, ODD)


def test_nothing_is_said_about_what_is_the_same() -> None:
    owner, _ = _setting(20)
    listing = Listing(owner.exchange.ground, PARTITION, 3)
    listing.compare(*_tags(owner, 3), ODD, Budget(10_000))
    assert listing.fields() == [PARTITION, b"", b"", []]
    assert not listing.more


def test_both_sides_differences_are_named() -> None:
    owner, keys = _setting(20)
    leaves, counts, tags = _tags(owner, 3)
    owner.make(keys[3], b"other")
    owner.engine.remove(PARTITION, keys[7])
    listing = Listing(owner.exchange.ground, PARTITION, 3)
    listing.compare(leaves, counts, tags, ODD, Budget(10_000))
    assert len(listing.missing) == 2
    assert listing.keys == [keys[3]]
    assert [entry.fingerprint for entry in listing.entries] == [owner.engine.fingerprint(PARTITION, keys[3])]
    assert len(unpack_numbers("I", listing.fields()[1], 9)) == 2


def test_a_ghost_has_no_key() -> None:
    owner, _ = _setting(0)
    owner.engine.witness_many(PARTITION, [(77 << 50, 8, owner.hybrid, 0, False)])
    listing = Listing(owner.exchange.ground, PARTITION, 0)
    listing.compare([0], [0], [], ODD, Budget(10_000))
    assert listing.keys == [None]
    assert listing.entries[0].kind == GHOST


def test_a_leaf_that_does_not_fit_is_named_and_nothing_of_it_told() -> None:
    owner, _ = _setting(60)
    listing = Listing(owner.exchange.ground, PARTITION, 3)
    listing.compare(list(range(8)), [0] * 8, [], ODD, Budget(400))
    forest = owner.exchange.ground.forest
    told = {forest.node(PARTITION, 3, entry.fingerprint >> 61) for entry in listing.entries}
    assert told
    assert listing.more
    assert told.isdisjoint(listing.more)
    assert len(told) + len(listing.more) == 8


def test_counts_that_do_not_fit_the_tags_are_malformed() -> None:
    owner, _ = _setting(5)
    for counts, tags in (([3], [1, 2]), ([1], [1, 2])):
        with pytest.raises(ValueError, match="tags, expected"):
            Listing(owner.exchange.ground, PARTITION, 0).compare([0], counts, tags, ODD, Budget(10_000))


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
