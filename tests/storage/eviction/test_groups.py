"""Groups: whose entry goes, shares, and changes that move entries without losing one."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.errors import InvalidOption
from dynacache.namespaces.settings import GROUPS_LIMIT
from dynacache.storage.accounting import object_bytes
from dynacache.storage.contributions import key_hash
from dynacache.storage.eviction.groups import WORN_FACTOR, Group, Groups, GroupSettings, make_policy
from dynacache.storage.eviction.policy import EvictionPolicy
from dynacache.storage.eviction.queues import TwoQueues
from dynacache.storage.eviction.recency import BucketLru
from dynacache.storage.tables import TableSet

RECORD = bytes(100)


def prefix_of(name: str) -> bytes:
    return b"\0%c%s" % (len(name), name.encode())


class GroupedStore:
    """A table set whose keys belong to groups."""

    def __init__(self, policy: str = "lru") -> None:
        self.live = TableSet()
        self.live.extend(8)
        self.groups = Groups(self.live, random.Random(1), 1 << 20, policy)

    def insert(self, name: str, number: int) -> bytes:
        key = (prefix_of(name) if name else b"") + b"%d" % number
        shard, size = key_hash(key) % 8, object_bytes(len(key)) + object_bytes(len(RECORD))
        if key not in self.live.tables[shard].entries:
            self.live.insert(shard, key, RECORD)
            self.groups.policy_of(shard, key).inserted(shard, key, key_hash(key), size, False)
        return key

    def remove(self, key: bytes) -> None:
        shard, size = key_hash(key) % 8, object_bytes(len(key)) + object_bytes(len(RECORD))
        self.live.remove(shard, key)
        self.groups.policy_of(shard, key).removed(shard, key, key_hash(key), size)

    def evict(self, writer: EvictionPolicy | None = None) -> bytes | None:
        victim = self.groups.victim(None, writer)
        if victim is None:
            return None
        self.remove(victim[1])
        return victim[1]

    def settle(self) -> None:
        while self.groups.is_moving:
            self.groups.tend(3)

    def check(self) -> None:
        """Every key is counted by exactly the policy that is responsible for it."""
        counts: dict[EvictionPolicy, int] = {}
        for shard, table in enumerate(self.live.tables):
            for key in table.entries:
                policy = self.groups.policy_of(shard, key)
                counts[policy] = counts.get(policy, 0) + 1
        held = {group.policy: group.policy.count for group in self.groups.groups()}
        assert {policy: count for policy, count in held.items() if count} == counts
        assert self.groups.size_bytes == self.groups.recount_bytes()

    def group(self, name: str) -> Group:
        return next(
            group for group in self.groups.groups() if group.settings.prefix == (prefix_of(name) if name else b"")
        )


NAMES = st.sampled_from(["", "a", "b", "c"])
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]), st.sampled_from(["", "lru", "ttl", "noeviction"]), st.sampled_from([0.0, 0.2])
    ),
    max_size=2,
    unique_by=lambda each: each[0],
)


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("insert"), NAMES, st.integers(0, 40)),
            st.tuples(st.just("change"), st.sampled_from(["lru", "s3fifo", "random"]), CHANGES),
            st.tuples(st.just("tend"), st.just(""), st.integers(1, 20)),
            st.tuples(st.just("evict"), st.just(""), st.just(0)),
        ),
        max_size=80,
    )
)
def test_every_key_is_counted_once_whatever_changes(steps: list[tuple[str, str, object]]) -> None:
    store = GroupedStore()
    for step, name, value in steps:
        if step == "insert" and isinstance(value, int):
            store.insert(name, value)
        elif step == "change" and isinstance(value, list):
            store.groups.change(
                name, [GroupSettings(prefix_of(group), policy, share) for group, policy, share in value]
            )
        elif step == "tend" and isinstance(value, int):
            store.groups.tend(value)
        elif step == "evict":
            evictable = sum(group.policy.count for group in store.groups.groups() if group.policy.evicts)
            assert (store.evict() is not None) == (evictable > 0)
        store.check()
    store.settle()
    store.check()


def test_keys_without_settings_belong_to_everybody() -> None:
    store = GroupedStore("s3fifo")
    store.groups.change("s3fifo", [GroupSettings(prefix_of("a"), "lru")])
    store.settle()
    assert isinstance(store.groups.policy_of(0, prefix_of("a") + b"key"), BucketLru)
    for key in (b"key", b"\0\0key", prefix_of("ab") + b"key", prefix_of("b"), b"\0", b""):
        assert store.groups.policy_of(0, key) is store.groups.default
    store.groups.change("s3fifo", [])
    store.settle()
    assert not store.groups.routed


def test_room_comes_from_the_group_most_above_its_fair_part() -> None:
    store = GroupedStore()
    store.groups.change("lru", [GroupSettings(prefix_of("a"), "lru"), GroupSettings(prefix_of("b"), "lfu")])
    for number in range(40):
        store.insert("a", number)
    for number in range(100):
        store.insert("b", number)
        store.insert("", number)
    victims = [store.evict() for _ in range(120)]
    assert not any(key is not None and key.startswith(prefix_of("a")) for key in victims)
    assert 30 <= sum(group.policy.count for group in [store.group("b")]) <= 50


def test_a_group_that_evicts_nothing_gets_room_only_from_groups_above_their_part() -> None:
    store = GroupedStore()
    store.groups.change("lru", [GroupSettings(prefix_of("a"), "noeviction")])
    for number in range(100):
        store.insert("a", number)
    store.insert("", 1)
    writer = store.group("a").policy
    assert store.evict(writer) is None
    assert store.evict(store.groups.default) == b"1"
    for number in range(150):
        store.insert("", number)
    assert store.evict(writer) is not None


def test_a_share_names_the_group_that_is_beyond_it() -> None:
    store = GroupedStore()
    store.groups.change("lru", [GroupSettings(prefix_of("a"), "", 0.25)])
    for number in range(10):
        key = store.insert("a", number)
    shard, held = key_hash(key) % 8, store.group("a").policy.entry_bytes
    assert store.groups.over_share(shard, key, 100, 4 * (held + 100)) is None
    assert store.groups.over_share(shard, key, 101, 4 * (held + 100)) is store.group("a").policy
    assert store.groups.over_share(0, b"key", 1 << 30, 1) is None


def test_a_group_that_has_more_than_its_share_is_named_while_it_may_evict() -> None:
    store = GroupedStore()
    store.groups.change(
        "lru", [GroupSettings(prefix_of("a"), "", 0.25), GroupSettings(prefix_of("b"), "noeviction", 0.1)]
    )
    for number in range(10):
        store.insert("a", number)
        store.insert("b", number)
    held = store.group("a").policy.entry_bytes
    assert store.groups.above_share(4 * held) is None
    assert store.groups.above_share(4 * held - 4) is store.group("a").policy


def test_a_group_without_room_is_named() -> None:
    store = GroupedStore()
    store.groups.change("lru", [GroupSettings(prefix_of("a"), "", 0.25), GroupSettings(prefix_of("b"), "lru")])
    for number in range(10):
        store.insert("a", number)
        store.insert("b", number)
    held = store.group("a").policy.entry_bytes
    assert store.groups.without_room(4 * held + 4) == []
    assert store.groups.without_room(4 * held) == [prefix_of("a")]


def test_a_second_change_waits_for_the_first() -> None:
    store = GroupedStore()
    for number in range(50):
        store.insert("a", number)
    store.groups.change("lru", [GroupSettings(prefix_of("a"), "ttl")])
    store.groups.change("lfu", [GroupSettings(prefix_of("a"), "lru")])
    assert isinstance(store.groups.default, TwoQueues) is False
    store.settle()
    assert isinstance(store.groups.default, TwoQueues)
    assert isinstance(store.group("a").policy, BucketLru)
    store.check()


def test_settings_that_do_not_change_keep_their_policy() -> None:
    store = GroupedStore()
    settings = GroupSettings(prefix_of("a"), "lru", 0.5)
    store.groups.change("lru", [settings])
    store.settle()
    policy = store.group("a").policy
    store.groups.change("lru", [GroupSettings(prefix_of("a"), "lru", 0.1), GroupSettings(prefix_of("b"), "lru")])
    store.settle()
    assert store.group("a").policy is policy
    assert store.group("a").settings.memory_share == 0.1


def test_places_of_entries_that_are_gone_do_not_pile_up() -> None:
    store = GroupedStore()
    store.groups.change("lru", [GroupSettings(prefix_of("a"), "lru")])
    store.settle()
    for number in range(30_000):
        store.remove(store.insert("a", number % 10))
        if number % 100 == 0:
            store.groups.tend(10)
    policy = store.group("a").policy
    assert isinstance(policy, BucketLru)
    assert policy.places <= WORN_FACTOR * policy.count + 4_500
    store.settle()
    store.check()


def test_wrong_policies_change_nothing() -> None:
    store = GroupedStore()
    with pytest.raises(InvalidOption, match="'fifo'"):
        store.groups.change("lru", [GroupSettings(prefix_of("a"), "fifo")])
    with pytest.raises(InvalidOption, match="'clock'"):
        make_policy("clock", store.live, random.Random(1), 1 << 20, True)
    assert not store.groups.routed


def test_there_is_a_limit_to_groups() -> None:
    store = GroupedStore()
    names = [f"n{number:03}" for number in range(GROUPS_LIMIT + 5)]
    store.groups.change("lru", [GroupSettings(prefix_of(name), "lfu") for name in reversed(names)])
    store.settle()
    assert len(store.groups.groups()) == 1 + GROUPS_LIMIT
    assert store.groups.policy_of(0, prefix_of(names[-1]) + b"key") is store.groups.default
    assert store.groups.policy_of(0, prefix_of(names[0]) + b"key") is not store.groups.default
