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


@st.composite
def versions(draw: st.DrawFn) -> Version:
    """Any version that can exist."""
    kind = draw(st.sampled_from((REGISTER, COUNTER, TOMBSTONE)))
    outlived = draw(st.sampled_from((0, MAY_BE_OUTLIVED)))
    time, expire_ms, created_ms = draw(timestamps), draw(instants), draw(instants)
    if kind == TOMBSTONE:
        flags = outlived | draw(st.sampled_from((0, BLIND, EXPIRED, BLIND | EXPIRED)))
        return Version(kind, flags, time, 0, created_ms, b"")
    if kind == COUNTER:
        return Version(kind, outlived, time, expire_ms, created_ms, msgpack.packb(draw(numbers)))
    return Version(kind, outlived | draw(st.sampled_from((0, RAW))), time, expire_ms, created_ms, draw(payloads))


@st.composite
def states(draw: st.DrawFn, deltas: bool = False) -> State:
    """Any state that is consistent in itself; with `deltas` its context may have gaps."""
    context = draw(st.dictionaries(actors(), st.integers(1, 4), min_size=1, max_size=5))
    dots = st.sampled_from(sorted(context)).flatmap(lambda a: st.tuples(st.just(a), st.integers(1, context[a])))
    alive = draw(st.dictionaries(dots, versions(), max_size=5))
    cloud: frozenset[Dot] = frozenset()
    if deltas:
        loose = st.tuples(st.sampled_from(sorted(context)), st.integers(6, 8))
        cloud = frozenset(draw(st.sets(loose, max_size=3)))
    return State(context, cloud, alive)
