"""What has expired goes in slices, and leaves the store as if each entry had gone by itself."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.storage.engine import Engine
from dynacache.storage.eviction.groups import GroupSettings
from dynacache.storage.tables import HOLES_FREE
from dynacache.types import KeyChange, MissReason
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from tests.storage.builders import START_MS, engine_of, key_of, tombstone, value
from tests.storage.eviction.stores import POLICIES

SHARDS = 4
WEB = b"\x00\x03web"


@attrs.define(eq=False)
class OneByOne(Engine):
    """The same without any short way."""

    def _collect_expired(self, now_ms: int, budget: int) -> int:
        before = self._wheel.size_bytes
        taken = self._wheel.take(now_ms, budget)
        self._used_bytes += self._wheel.size_bytes - before
        for key, shard in taken:
            self._expire(shard, key, self._tables[shard].entries[key], now_ms, scheduled=False)
        return len(taken)


def one_by_one(**settings: Any) -> OneByOne:
    made = engine_of(SHARDS, **settings)
    return OneByOne(made.settings, SHARDS, made.random)


def put(engine: Engine, number: int, kind: int, ttl_ms: int) -> None:
    """Store an entry of one of the kinds that expire, or do not, in their own ways; the same in every engine."""
    key = (WEB if kind == 5 else b"") + key_of(number)
    shard, issuer, other = number % SHARDS, ActorIssuer(1 + number), ActorIssuer(10_000 + number)
    plain = value(20 + number % 7 * 100, ttl_ms=ttl_ms, issuer=issuer)
    engine.put(shard, key, plain)
    if kind == 1:  # an older version without an end may outlive it
        engine.put(shard, key, value(30, old=value(9, issuer=other), ttl_ms=ttl_ms, issuer=other))
    elif kind == 2:  # concurrent values, of which one stays for longer
        engine.merge(shard, key, packed.strip_local(value(9, ttl_ms=3 * ttl_ms, issuer=other)), START_MS)
    elif kind == 3:  # overwritten: its leaf may be behind
        engine.put(shard, key, value(50, old=plain, ttl_ms=ttl_ms, issuer=issuer))
    elif kind == 4:
        engine.put(shard, key, tombstone(old=plain, issuer=issuer))


def sound(engine: Engine) -> None:
    assert engine.usage() == engine.recount()
    assert engine.used_bytes == engine.usage().total_bytes
    assert all(engine.check_trees(shard) for shard in range(SHARDS))


def told(engine: Engine) -> list[tuple[int, bytes, int]]:
    found: list[tuple[int, bytes, int]] = []
    engine.gone = lambda *given: found.append(given)
    return found


KINDS = st.lists(st.tuples(st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5]), st.integers(1, 4_000)), max_size=120)


@given(KINDS, st.sampled_from(POLICIES), st.booleans(), st.integers(1, 60))
def test_slices_do_what_one_entry_after_the_other_does(
    kinds: list[tuple[int, int]], policy: str, grouped: bool, budget: int
) -> None:
    engines = engine_of(SHARDS, eviction=policy), one_by_one(eviction=policy)
    heard = [told(engine) for engine in engines]
    for engine in engines:
        engine.hash_seed = 77
        if grouped:
            engine.set_groups([GroupSettings(WEB, "lru")])
            engine.collect(START_MS)
        for number, (kind, ttl_ms) in enumerate(kinds):
            put(engine, number, kind, ttl_ms)
    for now_ms in (START_MS + 900, START_MS + 2_000, START_MS + 5_000, START_MS + 13_000):
        for engine in engines:
            while engine.collect(now_ms, budget) >= budget:
                pass
        sliced, single = engines
        sound(sliced)
        assert [*map(sliced.items, range(SHARDS))] == [*map(single.items, range(SHARDS))]
        assert sliced.roots == single.roots
        assert sliced.expired == single.expired
        assert sorted(heard[0]) == sorted(heard[1])
        assert [group.policy.count for group in sliced._groups.groups()] == [
            group.policy.count for group in single._groups.groups()
        ]
        tenants = [{prefix: attrs.asdict(each) for prefix, each in e.census.tenants.items()} for e in engines]
        assert tenants[0] == tenants[1]
        for number in range(len(kinds)):
            for key in (key_of(number), WEB + key_of(number)):
                assert sliced.why_gone(number % SHARDS, key) == single.why_gone(number % SHARDS, key)


def test_a_slice_takes_what_it_is_given_and_readers_see_none_of_the_rest() -> None:
    engine = engine_of(SHARDS)
    heard = told(engine)
    for number in range(1_000):
        put(engine, number, 0, 1_000)
    while engine.collect(START_MS, 1_000) >= 1_000:
        pass  # the trees take their level
    now_ms = START_MS + 1_000
    assert engine.collect(now_ms, 100) == 100
    assert (engine.statistics().entries, engine.expired, len(heard)) == (900, 100, 100)
    assert {change for _, _, change in heard} == {KeyChange.EXPIRE}
    assert engine.due_count(now_ms) == 900
    assert all(engine.get(number % SHARDS, key_of(number), now_ms) is None for number in range(1_000))
    sound(engine)
    while engine.collect(now_ms, 100) >= 100:
        pass
    assert engine.statistics().entries == engine.due_count(now_ms) == 0
    assert engine.why_gone(3, key_of(999)) == MissReason.EXPIRED
    sound(engine)


@pytest.mark.parametrize("policy", POLICIES)
def test_memory_follows_and_what_stays_can_be_evicted(policy: str) -> None:
    """Masses go, a few stay: the dictionaries shrink, and the policy still finds every one of those that stayed."""
    engine = engine_of(SHARDS, eviction=policy)
    for number in range(4_000):
        put(engine, number, 0, 500 if number % 40 else 0)
    full = engine.usage()
    assert engine.collect(START_MS + 1_000, 10_000) >= 3_900
    left = engine.usage()
    assert left.entries_bytes < full.entries_bytes / 8
    assert left.expiry_bytes == 0
    assert all(table.holes <= HOLES_FREE + len(table.entries) for table in engine._tables)
    sound(engine)
    for stayed in range(100, 0, -1):
        assert engine.statistics().entries == stayed
        assert engine.evict_one()
    assert engine.statistics().entries == 0
    sound(engine)
