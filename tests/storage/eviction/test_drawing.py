"""``ttl`` evicts what expires soonest of what it draws, ``random`` anything."""

from collections import Counter

import pytest

from dynacache.storage.eviction.drawing import TTL_DRAW_COUNT
from tests.storage.builders import key_of
from tests.storage.eviction.stores import Store


@pytest.mark.parametrize("whole", [True, False])
def test_what_expires_soonest_goes_first_and_what_never_does_last(whole: bool) -> None:
    store = Store("ttl", TTL_DRAW_COUNT // 2 if whole else 4, whole)
    lives = {key_of(number): (number * 7_919 % 100 + 1) * 1_000 if number % 4 else 0 for number in range(100)}
    for key, expire_ms in lives.items():
        store.insert(key, expire_ms=expire_ms)
    order = [store.evict() for _ in range(100)]
    ranks = [lives[key] or 101_000 for key in order if key is not None]
    assert len(ranks) == 100
    assert sum(ranks[:25]) / 25 < 30_000
    assert sum(not lives[key] for key in order[-25:] if key is not None) > 15


def test_of_few_in_a_queue_it_is_exactly_the_soonest() -> None:
    store = Store("ttl", whole=False)
    for number in range(TTL_DRAW_COUNT):
        store.insert(key_of(number), expire_ms=(number * 5 % TTL_DRAW_COUNT + 1) * 1_000)
    order = [store.evict() for _ in range(TTL_DRAW_COUNT)]
    assert order == sorted(order, key=lambda key: int(key[4:]) * 5 % TTL_DRAW_COUNT if key else 0)


@pytest.mark.parametrize("whole", [True, False])
def test_chance_reaches_everybody(whole: bool) -> None:
    first = Counter[bytes | None]()
    for seed in range(300):
        store = Store("random", whole=whole, seed=seed)
        for number in range(12):
            store.insert(key_of(number))
        first[store.evict()] += 1
    assert len(first) >= 8
    assert max(first.values()) < 120
