"""What the observer sees: whatever a store or the hints come to hold or let go, once, with its cause and its place."""

from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dynacache.config import HintConfig, StorageSettings
from dynacache.coordination.catalogue import Catalogue
from dynacache.coordination.key_events import KeyEvents
from dynacache.errors import OutOfMemory
from dynacache.repair.hints import HintStore
from dynacache.storage.engine import Engine
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.wire.epoch_names import FLUSH
from sim.history import HINT, StoreCause, StoreEvent
from sim.ledger import Ledger
from sim.run import run
from sim.world.heap import Heap
from sim.world.observer import observe
from sim.world.recorder import Recorder

KEY = b"k"
NOW_MS = 1_700_000_000_000
LIMIT_BYTES = 1 << 28


def watched() -> tuple[Any, list[StoreEvent], Any]:
    """A store and hints of a node that has nothing else."""
    engine = Engine(StorageSettings(limit_bytes=LIMIT_BYTES), 16, Random(1))
    shared = SimpleNamespace(issuer=ActorIssuer(7), now_ms=NOW_MS, catalogue=Catalogue())
    observed = SimpleNamespace(key_events=KeyEvents(cast(Any, shared), lambda _: True, lambda _: None))
    node = SimpleNamespace(engine=engine, hints=HintStore(HintConfig()), shared=shared, observed=observed)
    recorder = Recorder(Heap())
    observer = observe("a", cast(Any, node), recorder)
    return node, recorder.store_events, observer


def record(
    issuer: ActorIssuer, old: bytes | None = None, ttl_ms: int = 0, payload: bytes = b"v"
) -> tuple[bytes, bytes]:
    expire_ms = NOW_MS + ttl_ms if ttl_ms else 0
    return packed.write(old, issuer, NOW_MS << 16, expire_ms, packed.RAW, payload, NOW_MS)


def causes(events: list[StoreEvent]) -> list[tuple[str, StoreCause, bool]]:
    return [(event.place, event.cause, event.after is not None) for event in events]


def test_puts_merges_and_the_end_of_a_process_are_told() -> None:
    node, events, observer = watched()
    local, _ = record(node.shared.issuer)
    node.engine.put(1, KEY, local)
    node.engine.merge(1, KEY, record(ActorIssuer(8))[1], NOW_MS)
    node.engine.merge(1, KEY, record(ActorIssuer(8))[1], NOW_MS)
    observer.lost()
    assert causes(events) == [("", StoreCause.PUT, True), ("", StoreCause.MERGE, True), ("", StoreCause.LOST, False)]
    assert events[1].before == local
    assert [event.sequence for event in events] == [1, 2, 3]


def test_expiry_eviction_and_removal_have_their_cause() -> None:
    node, events, _ = watched()
    node.engine.put(1, KEY, record(node.shared.issuer, ttl_ms=10)[0])
    assert node.engine.get(1, KEY, NOW_MS + 20) is None
    node.engine.collect(NOW_MS + 1_010)
    node.engine.put(1, KEY, record(node.shared.issuer)[0])
    node.engine.set_limit(1)
    node.engine.collect(NOW_MS)
    node.engine.set_limit(LIMIT_BYTES)
    node.engine.put(1, KEY, record(node.shared.issuer)[0])
    node.engine.remove(1, KEY)
    gone = [cause for _, cause, held in causes(events) if not held]
    assert gone == [StoreCause.EXPIRE, StoreCause.EVICT, StoreCause.CLEANSE]


def test_every_entry_of_a_mass_that_expires_is_told() -> None:
    node, events, observer = watched()
    keys = [b"k%d" % number for number in range(40)]
    for key in keys:
        node.engine.put(1, key, record(node.shared.issuer, ttl_ms=10)[0])
    node.engine.put(1, KEY, record(ActorIssuer(8), record(node.shared.issuer)[0], ttl_ms=10)[0])
    node.engine.collect(NOW_MS + 1_010)
    gone = {event.key for event in events if event.after is None and event.cause is StoreCause.EXPIRE}
    assert gone == set(keys), "the other one has left a tombstone"
    assert set(observer.held) == {("", KEY)}


def test_hints_have_their_place() -> None:
    node, events, _ = watched()
    local, _ = record(node.shared.issuer)
    assert node.hints.add("b", 1, KEY, local, NOW_MS, counted=True)
    assert node.hints.add("c", 1, KEY, packed.strip_local(local), NOW_MS, counted=False)
    assert node.hints.delivered("b", KEY, local)
    assert causes(events) == [
        (HINT + "b", StoreCause.PUT, True),
        (HINT + "c", StoreCause.MERGE, True),
        (HINT + "b", StoreCause.REMOVE, False),
    ]


def deleted(issuer: ActorIssuer, old: bytes | None = None) -> bytes:
    return packed.delete(old, issuer, NOW_MS << 16, NOW_MS)[0]


def replayed(events: list[StoreEvent]) -> dict[tuple[str, bytes], bytes]:
    """What every place holds, by the events alone; each must begin where the one before it ended."""
    held: dict[tuple[str, bytes], bytes] = {}
    for event in events:
        name = (event.place, event.key)
        assert event.before == held.pop(name, None)
        if event.after is not None:
            held[name] = event.after
    return held


def test_a_mint_is_known_by_its_dot_and_by_what_it_superseded() -> None:
    node, events, _ = watched()
    first, _ = record(node.shared.issuer)
    node.engine.put(1, KEY, first)
    second, _ = record(node.shared.issuer, first)
    node.engine.replace(1, KEY, first, second)
    ledger = Ledger.of(events)
    old, new = ledger.dots(KEY)
    assert ledger.mints[KEY, new].superseded == (old,)
    assert [old[1], new[1]] == [1, 2]
    assert {event.incarnation for event in events} == {7}
    assert {(event.hybrid_ms, event.node_id) for event in events} == {(NOW_MS, "a")}


def test_what_comes_from_elsewhere_is_no_mint() -> None:
    node, events, _ = watched()
    other = ActorIssuer(8)
    first, sent = record(other)
    node.engine.merge(1, KEY, sent, NOW_MS)
    assert node.engine.merge_newer(1, KEY, record(other, first)[1], NOW_MS)
    assert node.engine.merge(1, KEY, sent, NOW_MS) is not None, "what is already covered changes nothing"
    assert causes(events) == [("", StoreCause.MERGE, True)] * 2
    assert ["nobody minted" in breach.text for breach in Ledger.of(events).breaches] == [True, True]


def test_a_tombstone_takes_the_place_of_a_value_in_one_event_and_is_reaped_in_another() -> None:
    node, events, _ = watched()
    local, _ = record(node.shared.issuer)
    node.engine.put(1, KEY, local)
    node.engine.put(1, KEY, deleted(node.shared.issuer, local))
    node.engine.put(1, KEY, record(node.shared.issuer, node.engine.peek(1, KEY))[0])
    node.engine.put(1, KEY, deleted(node.shared.issuer, node.engine.peek(1, KEY)))
    node.engine.collect(NOW_MS + node.engine.settings.gc_grace_max_ms + 1)
    assert node.engine.statistics().reaped == 1
    assert causes(events) == [*[("", StoreCause.PUT, True)] * 4, ("", StoreCause.REAP, False)]
    assert replayed(events) == {}


def test_what_is_evicted_for_another_key_is_told_before_that_one_comes() -> None:
    node, events, _ = watched()
    large = bytes(10_000)
    node.engine.put(1, KEY, record(node.shared.issuer, payload=large)[0])
    node.engine.set_limit(node.engine.usage().total_bytes)
    node.engine.put(1, b"another", record(node.shared.issuer, payload=large[:5_000])[0])
    assert [(event.key, event.cause) for event in events[1:]] == [
        (KEY, StoreCause.EVICT),
        (b"another", StoreCause.PUT),
    ]
    assert node.engine.statistics().evicted == 1
    assert set(replayed(events)) == {("", b"another")}


def test_an_expired_victim_has_expired_and_was_not_evicted() -> None:
    node, events, _ = watched()
    node.engine.put(1, KEY, record(node.shared.issuer, ttl_ms=10)[0])
    node.engine.set_limit(1)
    node.engine.collect(NOW_MS + 20)
    assert causes(events)[1:] == [("", StoreCause.EXPIRE, False)]


def test_a_dead_arrival_that_ends_what_was_held_is_an_expiry() -> None:
    node, events, _ = watched()
    other = ActorIssuer(8)
    first, sent = record(other, ttl_ms=10)
    node.engine.merge(1, KEY, packed.touch(sent, NOW_MS + 9_000), NOW_MS)
    assert node.engine.merge(1, KEY, record(other, first, ttl_ms=10)[1], NOW_MS + 20) is None
    assert causes(events)[1:] == [("", StoreCause.EXPIRE, False)]


def test_a_hint_that_follows_its_key_is_told() -> None:
    node, events, _ = watched()
    other = ActorIssuer(8)
    first, sent = record(other)
    node.hints.add("b", 1, KEY, sent, NOW_MS, counted=True)
    node.hints.add("c", 1, b"another", sent, NOW_MS, counted=True)
    node.hints.refresh(KEY, record(other, first)[1])
    node.hints.refresh(KEY, sent)
    assert causes(events)[2:] == [(HINT + "b", StoreCause.MERGE, True)]
    assert replayed(events) == {(HINT + target, key): hint.record for target, key, hint in node.hints.items()}


def test_a_hint_that_is_refused_is_not_told() -> None:
    node, events, _ = watched()
    node.hints.settings = HintConfig(target_limit_count=1)
    assert node.hints.add("b", 1, KEY, record(ActorIssuer(8))[1], NOW_MS, counted=True)
    assert not node.hints.add("b", 1, b"another", record(ActorIssuer(8))[1], NOW_MS, counted=True)
    assert len(events) == 1


def test_the_end_of_a_process_loses_store_and_hints_once() -> None:
    node, events, observer = watched()
    local, _ = record(node.shared.issuer)
    node.engine.put(1, KEY, local)
    node.hints.add("b", 1, KEY, packed.strip_local(local), NOW_MS, counted=True)
    observer.lost()
    observer.lost()
    assert causes(events)[2:] == [("", StoreCause.LOST, False), (HINT + "b", StoreCause.LOST, False)]
    assert replayed(events) == {}


def test_a_seeds_events_lead_to_what_its_nodes_hold() -> None:
    """A whole run with little memory, expiries, deletes, crashes and hints: nothing happens behind the observer."""
    kinds = ("crash", "split", "memory")
    small: dict[str, Any] = {"storage_limit_bytes": 130_000, "ttl_share": 0.2, "delete_share": 0.2, "keys": 150}
    run_of = {"nodes": 4, "read_share": 0.2, "duration_s": 20.0, "value_bytes_maximum": 4096, "faults_per_minute": 20.0}
    result = run(6, keep=True, fault_kinds=kinds, eviction="lru", operations_per_s=40.0, **small, **run_of)
    evidence = result.evidence
    assert evidence is not None
    by_node = {name: [each for each in evidence.store_events if each.node_id == name] for name in evidence.snapshots}
    for name, snapshot in evidence.snapshots.items():
        held = replayed(by_node[name])
        assert {key: value for (place, key), value in held.items() if not place} == snapshot.records
        assert {place for place, _ in held if place} == {HINT + target for target, _, _ in snapshot.hints}
    seen = {event.cause for event in evidence.store_events}
    assert seen >= {StoreCause.PUT, StoreCause.MERGE, StoreCause.EXPIRE, StoreCause.EVICT, StoreCause.LOST}


def test_what_a_full_store_refuses_to_merge_is_noted_until_the_key_changes() -> None:
    node, events, observer = watched()
    local, _ = record(node.shared.issuer)
    node.engine.put(1, KEY, local)
    node.engine.set_limit(node.engine.usage().total_bytes)
    _, large = record(ActorIssuer(8), local, payload=bytes(10_000))
    with pytest.raises(OutOfMemory):
        node.engine.merge(1, KEY, large, NOW_MS)
    assert observer.refused == {KEY}
    assert len(events) == 1
    node.engine.set_limit(LIMIT_BYTES)
    node.engine.merge(1, KEY, large, NOW_MS)
    assert not observer.refused


def test_what_an_epoch_ends_is_told_as_such() -> None:
    node, events, observer = watched()
    local, _ = record(node.shared.issuer)
    node.engine.put(1, KEY, local)
    node.engine.epochs.raise_to(FLUSH, b"", b"", (NOW_MS + 1) << 16)
    node.engine.epochs_risen()
    assert node.engine.get(1, KEY, NOW_MS) is not local
    node.engine.put(1, KEY, record(node.shared.issuer)[0])
    node.engine.merge(1, KEY, record(ActorIssuer(8))[1], NOW_MS)
    assert {event.cause for event in events[1:]} == {StoreCause.INVALIDATE, StoreCause.PUT}
    assert events[-1].after == node.engine.peek(1, KEY) == observer.held.get(("", KEY))
    assert Ledger.of(events).breaches == []


def test_what_comes_into_the_catalogue_is_told() -> None:
    node, _, observer = watched()
    node.shared.catalogue.merge(b"Nx", 5, b"v")
    node.shared.catalogue.merge(b"Nx", 4, b"w")
    assert [(event.name, event.stamp, event.node_id) for event in observer.recorder.catalogue] == [(b"Nx", 5, "a")]


def test_what_is_refused_as_an_epoch_ends_it_was_never_there() -> None:
    _, events, observer = watched()

    def refused() -> None:
        with observer.unless_refused(KEY):
            observer.changed("", KEY, b"record", StoreCause.PUT)
            raise OutOfMemory("no room")

    with pytest.raises(OutOfMemory):
        refused()
    assert (events, observer.held) == ([], {})


@pytest.mark.parametrize(("short_ms", "cause"), [(1_000, StoreCause.REAP), (4_000, StoreCause.REMOVE)])
def test_a_partition_that_is_dropped_takes_what_was_to_be_reaped_lawfully(short_ms: int, cause: StoreCause) -> None:
    node, events, _ = watched()
    tombstone, _ = packed.delete(None, ActorIssuer(7), NOW_MS << 16, NOW_MS)
    node.engine.put(3, KEY, tombstone)
    node.shared.now_ms = NOW_MS + node.engine.settings.gc_grace_max_ms - short_ms
    node.engine.clear(3)
    assert [event.cause for event in events] == [StoreCause.PUT, cause]


def test_what_repair_asks_of_a_full_store_is_told() -> None:
    node, _, observer = watched()
    version = (node.engine.fingerprint(3, KEY), 4, NOW_MS << 16, 0, False)
    node.engine.witness_many(3, [version])
    assert observer.witnessed == set(), "there was room to take it"
    node.engine.put(4, b"large", record(ActorIssuer(9), payload=bytes(1 << 20))[0])
    node.engine.set_limit(node.engine.usage().total_bytes)
    node.engine.witness_many(3, [version], superseding=True)
    assert observer.witnessed == set(), "that came with the copy it is filled from"
    node.engine.witness_many(3, [version])
    assert observer.witnessed == {version[0]}
    node.engine.merge_cold(3, b"other", record(ActorIssuer(8))[1], NOW_MS)
    assert observer.witnessed == {version[0], node.engine.fingerprint(3, b"other")}
    assert set(observer.recorder.witnessed) == observer.witnessed
