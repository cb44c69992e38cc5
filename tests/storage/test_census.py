"""The census: what each namespace holds, equal to a recount; bounded; each counted in one place from first to last."""

import random

import pytest

from dynacache.errors import OutOfMemory
from dynacache.storage import census as module
from dynacache.storage.accounting import object_bytes
from dynacache.storage.census import Census
from dynacache.storage.engine import Engine
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from tests.storage.builders import START_MS, engine_of, tombstone, value

NAMES = (b"\x00\x03web", b"\x00\x01a", b"\x00\x00\x00", b"")


def recount(engine: Engine) -> dict[bytes, tuple[int, int]]:
    found: dict[bytes, tuple[int, int]] = {}
    for partition in range(engine.partition_count):
        for key, record in engine.items(partition):
            if key[0] == 0 and not (record[1] != packed.VALUE and packed_is_tombstone(record)):
                start = key[: 2 + key[1]]
                entries, size = found.get(start, (0, 0))
                found[start] = (entries + 1, size + object_bytes(len(key)) + object_bytes(len(record)))
    return found


def packed_is_tombstone(record: bytes) -> bool:
    return record[1] == packed.TOMBSTONE


def counted(engine: Engine) -> dict[bytes, tuple[int, int]]:
    tenants = engine.census.tenants.values()
    return {tenant.prefix: (tenant.entries, tenant.size_bytes) for tenant in tenants if tenant.entries}


@pytest.mark.parametrize("seed", range(4))
def test_the_census_is_a_recount(seed: int) -> None:
    draw = random.Random(seed)
    engine = engine_of(limit_bytes=400_000, seed=seed)
    now_ms = START_MS
    for _ in range(3_000):
        number = draw.randrange(400)
        key, partition = draw.choice(NAMES) + b"k%d" % number, number % 2
        now_ms += draw.randrange(20)
        what = draw.random()
        held = engine.get(partition, key, now_ms)
        try:
            if what < 0.6:
                ttl_ms = draw.choice([0, 0, 3_000])
                engine.put(partition, key, value(draw.randrange(900), old=held, now_ms=now_ms, ttl_ms=ttl_ms))
            elif what < 0.7:
                engine.put(partition, key, tombstone(old=held, now_ms=now_ms))
            elif what < 0.8:
                other = value(draw.randrange(300), now_ms=now_ms, issuer=ActorIssuer(draw.randrange(2, 9)))
                engine.merge(partition, key, packed.strip_local(other), now_ms)
            elif what < 0.9:
                engine.remove(partition, key)
            else:
                engine.collect(now_ms)
        except OutOfMemory:
            continue
    assert engine.statistics().evicted > 0
    assert counted(engine) == recount(engine)
    entries, size_bytes = engine.held()
    assert entries >= sum(each[0] for each in counted(engine).values())
    assert size_bytes >= sum(each[1] for each in counted(engine).values())


def test_beyond_the_limit_namespaces_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TENANTS_LIMIT", 2)
    engine = engine_of()
    for number in range(4):
        engine.put(0, b"\x00\x01%dkey" % number, value())
    assert [tenant.entries for tenant in engine.census.tenants.values()] == [1, 1]
    assert engine.census.other.entries == 2
    engine.remove(0, b"\x00\x010key")
    engine.put(0, b"\x00\x013more", value())  # namespace 3 stays where it began
    assert engine.census.other.entries == 3
    for number in (2, 3):
        engine.remove(0, b"\x00\x01%dkey" % number)
    engine.remove(0, b"\x00\x013more")
    engine.put(0, b"\x00\x014key", value())  # nobody is left in the common place, and namespace 0 holds nothing
    assert sorted(tenant.prefix for tenant in engine.census.tenants.values()) == [b"\x00\x011", b"\x00\x014"]


def test_a_tenant_with_a_group_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TENANTS_LIMIT", 1)
    census = Census()
    census.of_prefix(b"\x00\x01a").group = 1
    assert census.of_prefix(b"\x00\x01b") is census.other


def test_a_key_of_one_byte_is_survived() -> None:
    engine = engine_of()
    engine.put(0, b"\x00", value())
    assert engine.census.tenant(b"\x00").entries == 1
