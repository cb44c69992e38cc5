from itertools import count
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from dynacache.config import HintConfig, StorageSettings
from dynacache.repair.hints import HintStore
from dynacache.storage.engine import Engine
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from sim.history import StoreCause, StoreEvent
from sim.world.observer import HINT, observe

KEY = b"k"
NOW_MS = 1_700_000_000_000


def watched() -> tuple[Any, list[StoreEvent], Any]:
    """A store and hints of a node that has nothing else."""
    engine = Engine(StorageSettings(), 16, Random(1))
    shared = SimpleNamespace(issuer=ActorIssuer(7), now_ms=NOW_MS)
    node = SimpleNamespace(engine=engine, hints=HintStore(HintConfig()), shared=shared)
    events: list[StoreEvent] = []
    numbers = count(1)
    observer = observe("a", cast(Any, node), lambda: (next(numbers), 0.0), events.append)
    return node, events, observer


def record(issuer: ActorIssuer, old: bytes | None = None, ttl_ms: int = 0) -> tuple[bytes, bytes]:
    expire_ms = NOW_MS + ttl_ms if ttl_ms else 0
    return packed.write(old, issuer, NOW_MS << 16, expire_ms, packed.RAW, b"v", NOW_MS)


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
    node.engine.set_limit(1 << 28)
    node.engine.put(1, KEY, record(node.shared.issuer)[0])
    node.engine.remove(1, KEY)
    gone = [cause for _, cause, held in causes(events) if not held]
    assert gone == [StoreCause.EXPIRE, StoreCause.EVICT, StoreCause.REMOVE]


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
