"""Laws of every policy, over random operations; cells; and the policy that evicts nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.storage.contributions import key_hash
from dynacache.storage.eviction.policy import LEAST_CELLS, MOST_CELLS, cell_limit, first_cells
from dynacache.storage.eviction.queues import LFU, TwoQueues
from tests.storage.builders import key_of
from tests.storage.eviction.stores import POLICIES, Store

OTHERS = [key for key in map(key_of, range(1_000)) if key_hash(key) & 63 < 40]
SLOTS = range(40)
STEPS = st.lists(
    st.tuples(st.sampled_from(["insert", "insert", "read", "remove", "evict", "evict", "spare"]), st.integers(0, 25)),
    max_size=400,
)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("name", POLICIES)
@given(steps=STEPS, limit_bytes=st.sampled_from([1, 1 << 20]))
def test_a_victim_is_always_found_and_every_byte_is_counted(
    name: str, whole: bool, steps: list[tuple[str, int]], limit_bytes: int
) -> None:
    store = Store(name, whole=whole, limit_bytes=limit_bytes)
    for step, number in steps:
        key = key_of(number)
        if step == "read":
            store.read(key)
        elif step == "insert" and not store.has(key):
            store.insert(key, number * 50, expire_ms=number % 3 * 1_000, returned=number % 5 == 0)
        elif step == "remove" and store.has(key):
            store.remove(key)
        elif step in ("evict", "spare"):
            spared = key if step == "spare" else None
            others = [each for each in store.all_keys() if each != spared]
            victim = store.evict(spared)
            assert victim in others if others else victim is None
        assert store.policy.count == store.live.count
        assert store.policy.entry_bytes == sum(map(store.size, store.all_keys()))
        assert store.grown == store.policy.size_bytes == store.policy.recount_bytes()
    for _ in store.all_keys():
        assert store.evict() is not None
    assert store.evict() is None


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("name", POLICIES)
def test_a_victim_that_stays_after_all_is_not_lost(name: str, whole: bool) -> None:
    store = Store(name, whole=whole)
    for number in range(5):
        store.insert(key_of(number))
    for _ in range(20):
        assert store.policy.victim(None, None) is not None
    assert len({store.evict() for _ in range(5)}) == 5


@pytest.mark.parametrize("name", POLICIES)
def test_victims_depend_on_operations_and_the_seed_alone(name: str) -> None:
    def victims(seed: int) -> list[bytes | None]:
        store = Store(name, shards=32, seed=seed)
        for number in range(1_000):
            store.request(key_of(number * 7_919 % 400), 100)
        return [store.evict() for _ in range(100)]

    assert victims(5) == victims(5)
    assert (victims(5) != victims(6)) == (name in ("lru", "ttl", "random"))


@pytest.mark.parametrize("name", POLICIES)
def test_entries_of_others_in_the_same_shards_are_never_named(name: str) -> None:
    for whole in (True, False):
        store = Store(name, whole=whole)
        others = [b"other:%d" % number for number in range(300)]
        for number, key in enumerate(others):
            store.live.insert(store.shard_of(key), key, bytes(100))
            if number % 10 == 0:
                store.insert(key_of(number))
        store.owns = lambda _, key: key.startswith(b"key:")
        for _ in range(30):
            victim = store.evict()
            assert victim is not None
            assert victim.startswith(b"key:")
        assert store.evict() is None


def test_cells_begin_in_proportion_to_the_limit_and_end_at_a_thirty_second_of_it() -> None:
    assert first_cells(1) == 1 << 10
    assert first_cells(1 << 30) == LEAST_CELLS
    assert cell_limit(1 << 60) == MOST_CELLS
    for limit_bytes in (1 << 16, 1 << 20, 300 << 20):
        assert first_cells(limit_bytes) <= limit_bytes / 16
        assert cell_limit(limit_bytes) <= max(first_cells(limit_bytes), limit_bytes / 32)


def test_cells_double_with_the_entries_and_both_halves_know_what_the_slot_knew() -> None:
    store = Store("lfu")
    store.policy = policy = TwoQueues(64, 256, store.live, LFU, whole=True)
    store.grown = policy.size_bytes
    hot = next(key for key in map(key_of, range(1_000, 9_000)) if key_hash(key) & 63 not in SLOTS)
    store.insert(hot)
    for _ in range(6):
        store.read(hot)
    for cells, entries in ((64, 16), (128, 32), (256, 64), (256, 200)):
        for number in range(store.live.count, entries):
            store.insert(OTHERS[number])
        assert (len(policy.cells), policy.mask) == (cells, cells - 1)
        assert policy.cells[key_hash(hot) & policy.mask] & 0x7F == 6
        assert store.grown == policy.size_bytes


def test_noeviction_names_nobody() -> None:
    store = Store("noeviction")
    store.insert(b"key")
    store.read(b"key")
    assert store.evict() is None
    assert not store.policy.evicts
    store.remove(b"key")
    assert (store.policy.count, store.policy.entry_bytes) == (0, 0)
    assert store.policy.size_bytes == store.policy.recount_bytes() == 1
