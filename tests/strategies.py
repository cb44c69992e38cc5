"""Hypothesis strategies for the whole domain, so that every part is tested with the same kinds of things.

Traces shrink well: an operation is a few small numbers that are taken modulo what there is to choose from, so that any
part of a trace is a trace.
"""

import random

import msgpack
from hypothesis import strategies as st

from dynacache.versioning.actors import Actor, Dot
from dynacache.versioning.kernel import (
    BLIND,
    COUNTER,
    EXPIRED,
    MAY_BE_OUTLIVED,
    RAW,
    REGISTER,
    TOMBSTONE,
    State,
    Version,
)
from tests.replicas import START_MS, Operation, World

UPDATES = ("write", "delete", "increment", "touch")
NETWORK = ("deliver", "lose", "exchange", "read")
FAILURES = ("evict", "restart", "advance", "clean")
_WEIGHTED = (*UPDATES, "write", "increment", *NETWORK, "deliver", "deliver", "exchange", "read", *FAILURES)

instants = st.one_of(st.just(0), st.integers(1, 5), st.integers(START_MS - 1000, START_MS + 1000))
timestamps = st.integers(0, 2**64 - 1)
payloads = st.one_of(st.binary(max_size=40), st.integers(-5, 5).map(msgpack.packb))
numbers = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))


def operations(kinds: tuple[str, ...] = _WEIGHTED, limit: int = 60) -> st.SearchStrategy[list[Operation]]:
    """Traces of these kinds of operation; a kind given twice is drawn twice as often."""
    operation = st.builds(
        Operation,
        kind=st.sampled_from(kinds),
        replica=st.integers(0, 2),
        other=st.integers(0, 7),
        amount=st.one_of(st.just(0), st.integers(0, 100)),
        flag=st.booleans(),
    )
    return st.lists(operation, max_size=limit)


def seeded_operations(seed: int, kinds: tuple[str, ...] = _WEIGHTED, count: int = 60) -> list[Operation]:
    """One trace from a seed, for runs of many."""
    draw = random.Random(seed)
    return [
        Operation(draw.choice(kinds), draw.randrange(3), draw.randrange(8), draw.randrange(100), draw.random() < 0.5)
        for _ in range(count)
    ]


def worlds(kinds: tuple[str, ...] = _WEIGHTED, limit: int = 60) -> st.SearchStrategy[World]:
    """Worlds after a trace, every step of it checked."""
    return operations(kinds, limit).map(lambda trace: World().run(trace))


@st.composite
def record_lists(draw: st.DrawFn, minimum: int = 1) -> list[bytes]:
    """Records of one key as they were on the wire, out of one world."""
    world = draw(worlds().filter(lambda made: len(made.produced) >= minimum))
    return draw(st.lists(st.sampled_from(world.produced), min_size=minimum, max_size=minimum))


def actors() -> st.SearchStrategy[Actor]:
    """Few actors, so that clocks meet; some at the ends of their range."""
    return st.tuples(st.one_of(st.integers(0, 3), st.just(2**64 - 1)), st.one_of(st.integers(0, 3), st.just(2**32 - 1)))


def _version(kind: int, flags: int, times: tuple[int, int, int], payload: bytes, number: int | float) -> Version:
    time, expire_ms, created_ms = times
    if kind == TOMBSTONE:
        return Version(kind, flags & (MAY_BE_OUTLIVED | BLIND | EXPIRED), time, 0, created_ms, b"")
    if kind == COUNTER:
        return Version(kind, flags & MAY_BE_OUTLIVED, time, expire_ms, created_ms, msgpack.packb(number))
    return Version(kind, flags & (MAY_BE_OUTLIVED | RAW), time, expire_ms, created_ms, payload)


def versions() -> st.SearchStrategy[Version]:
    """Any version that can exist."""
    kinds, flags = st.sampled_from((REGISTER, COUNTER, TOMBSTONE)), st.integers(0, 31)
    return st.builds(_version, kinds, flags, st.tuples(timestamps, instants, instants), payloads, numbers)


def states(deltas: bool = False) -> st.SearchStrategy[State]:
    """Any state that is consistent in itself; with `deltas` its context may have gaps."""
    contexts = st.dictionaries(actors(), st.integers(1, 4), min_size=1, max_size=5)
    picks = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), versions()), max_size=5)
    gaps = st.lists(st.tuples(st.integers(0, 4), st.integers(6, 8)), max_size=3 if deltas else 0)
    return st.builds(_state, contexts, picks, gaps)


def _state(context: dict[Actor, int], picks: list[tuple[int, int, Version]], gaps: list[tuple[int, int]]) -> State:
    order = sorted(context)
    dots: dict[Dot, Version] = {}
    for at, n, version in picks:
        actor = order[at % len(order)]
        dots[actor, 1 + n % context[actor]] = version
    return State(context, frozenset((order[at % len(order)], n) for at, n in gaps), dots)
