"""``s3fifo`` and ``lfu`` do what a naive S3-FIFO does, in bytes."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.storage.contributions import key_hash
from dynacache.storage.eviction.queues import LFU, LOOKS_COUNT, S3FIFO, SMALL, Tuning, TwoQueues
from tests.storage.builders import key_of
from tests.storage.eviction.stores import Store


class Naive:
    """S3-FIFO as one would write it down, with exact counts of uses."""

    def __init__(self, tuning: Tuning) -> None:
        self.tuning = tuning
        self.small: deque[bytes] = deque()
        self.main: deque[bytes] = deque()
        self.sizes: dict[bytes, int] = {}
        self.uses: dict[bytes, int] = {}
        self.pressed = False

    def wanted(self) -> float:
        return sum(self.sizes.values()) * self.tuning.small_share

    def small_bytes(self) -> int:
        return sum(self.sizes[key] for key in self.small)

    def insert(self, key: bytes, size: int, returned: bool) -> None:
        held = self.small_bytes()
        self.sizes[key], self.uses[key] = size, 0
        if returned or (held > self.wanted() and not self.pressed):
            self.main.append(key)
            return
        self.small.append(key)
        if held + size > self.wanted() * 1.25 + 2 * size:
            self.main.append(self.small.popleft())

    def read(self, key: bytes) -> None:
        self.uses[key] = min(self.uses[key] + 1, self.tuning.uses_cap)

    def evict(self) -> bytes:
        self.pressed = True
        wanted = self.wanted()
        while True:
            if self.small and (self.small_bytes() >= wanted or not self.main):
                key = self.small.popleft()
                if self.uses[key]:
                    self.uses[key] = 0
                    self.main.append(key)
                    continue
            else:
                key = self.main.popleft()
                if self.uses[key]:
                    self.uses[key] -= 1
                    self.main.append(key)
                    continue
            del self.sizes[key], self.uses[key]
            return key


STEPS = st.lists(
    st.tuples(st.sampled_from(["insert", "insert", "insert", "read", "read", "evict"]), st.integers(0, 40)),
    max_size=300,
)


def distinct_slots(count: int) -> list[bytes]:
    """Keys that share no cell."""
    keys: list[bytes] = []
    taken, number = set(), 0
    while len(keys) < count:
        slot = key_hash(key_of(number)) & 0x3FF
        if slot not in taken:
            taken.add(slot)
            keys.append(key_of(number))
        number += 1
    return keys


KEYS = distinct_slots(41)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("name", ["s3fifo", "lfu"])
@given(steps=STEPS)
def test_victims_are_those_of_a_naive_s3_fifo(name: str, whole: bool, steps: list[tuple[str, int]]) -> None:
    naive, store = Naive(S3FIFO if name == "s3fifo" else LFU), Store(name, whole=whole)
    for step, number in steps:
        key = KEYS[number]
        if step == "insert" and not store.has(key):
            store.insert(key, number * 40, returned=number % 7 == 0)
            naive.insert(key, store.size(key), number % 7 == 0)
        elif step == "read" and store.has(key):
            store.read(key)
            naive.read(key)
        elif step == "evict" and naive.sizes and sum(naive.uses.values()) < LOOKS_COUNT:
            assert store.evict() == naive.evict()


def test_newcomers_take_no_more_than_their_part_of_the_bytes() -> None:
    for name, share in (("s3fifo", 0.1), ("lfu", 0.01)):
        store = Store(name, 16)
        policy = store.policy
        assert isinstance(policy, TwoQueues)
        for number in range(6_000):
            store.request(key_of(number), 2_000)
            if number > 2_000:
                assert policy._small.held_bytes <= share * policy.entry_bytes + 200
        assert policy._small.held_bytes > share * policy.entry_bytes / 2


def test_a_scan_does_not_touch_what_was_used() -> None:
    store = Store("s3fifo", 16)
    hot = [b"hot:%d" % number for number in range(100)]
    for _ in range(3):
        for key in hot:
            store.request(key, 300)
    for number in range(5_000):
        store.request(key_of(number), 300)
    assert sum(map(store.has, hot)) >= 95


def test_one_victim_costs_a_bounded_number_of_looks_though_everything_was_used() -> None:
    store = Store("lfu", 4)
    for number in range(2_000):
        store.insert(key_of(number))
    for _ in range(15):
        for key in store.all_keys():
            store.read(key)
    policy = store.policy
    assert isinstance(policy, TwoQueues)
    before = bytes(policy.cells)
    assert store.evict() is not None
    assert sum(a != b for a, b in zip(before, policy.cells, strict=True)) <= LOOKS_COUNT + 1


def test_a_key_that_returns_needs_no_proof() -> None:
    store = Store("s3fifo")
    for number in range(100):
        store.insert(key_of(number))
    for key, returned in ((b"new", False), (b"back", True)):
        store.evict()
        store.insert(key, returned=returned)
    for number in range(100, 130):
        store.evict()
        store.insert(key_of(number))
    assert (store.has(b"new"), store.has(b"back")) == (False, True)


def test_a_victim_that_stayed_goes_with_many_though_a_newcomer_has_its_cell() -> None:
    store = Store("s3fifo", shards=1)
    policy = store.policy
    for number in range(50):
        store.insert(key_of(number))
    found = policy.victim(None, None)
    assert found is not None
    shard, key = found
    policy.cells[key_hash(key) & policy.mask] = SMALL  # what the insertion of another key of this slot does
    size = store.size(key)
    growth = store.live.remove_many([shard], [key])
    growth += policy.removed_many([shard], [key], [key_hash(key)], size)
    assert growth <= 0
    assert policy.count == 49
    assert policy.size_bytes == policy.recount_bytes()
    assert sorted(store.evict() or b"" for _ in range(49)) == sorted({key_of(number) for number in range(50)} - {key})
