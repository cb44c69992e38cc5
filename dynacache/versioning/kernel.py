"""The causal kernel: what a key's versions mean, on decoded state.

What: a state is a version vector (``context``), dots beyond the vector that a delta may bring (``cloud``), and the live
versions by dot. A dot that is covered by the context and has no version was superseded. Everything else in this package
is a packed form of these few functions, and is tested against them.

Invariants: ``merge`` is associative, commutative and idempotent, resolves nothing and truncates nothing; ``write`` is
the only thing that supersedes, and it supersedes exactly what its writer saw. One dot at two replicas is one version,
of which only the expiry may have been raised (by a touch): the longer life wins, 0 meaning never, and a tombstone that
an expiry left gives way to a life that reaches as long as its own, so that whoever missed a touch does not undo it.

Which version a reader gets is decided on reading, by ``resolve``, from (time, actor, n) alone. A tombstone loses to any
concurrent value unless it is BLIND: the deleter did not know the history, so its time decides. A register that expired
stays in that order as an EXPIRED tombstone while it has siblings, else an older sibling would return in its place.
Counter cells are summed and therefore live and expire together; an expired register never hides them.

Known limit: a touch that raises an old version above the life of one that supersedes it elsewhere leaves nothing to
remember it by when that one has expired. Coordinators therefore touch only what a quorum of the owners still shows; a
touch and a write that cross each other on the wire, with a replica cut off between the two, remain.

After Almeida, Baquero et al., dotted version vectors and delta-state types (arXiv 1410.2803); brief R1.3 to R1.11.
"""

from collections.abc import Callable, Mapping

import attrs

from dynacache.errors import TooManySiblings
from dynacache.versioning.actors import Actor, Dot

__all__ = [
    "ALIVE",
    "BLIND",
    "COMPRESSED",
    "COUNTER",
    "DEAD",
    "EMPTY",
    "EXPIRED",
    "FILL",
    "GUARDED",
    "MAY_BE_OUTLIVED",
    "PRUNE_ABOVE_ACTORS",
    "PRUNE_AGE_MS",
    "RAW",
    "REGISTER",
    "SIBLING_LIMIT",
    "SLIDING",
    "TAGGED",
    "TOMBSTONE",
    "WIPED",
    "Resolution",
    "State",
    "Version",
    "apply_touch",
    "cells_expiry",
    "covers",
    "expire",
    "invalidate",
    "is_spent",
    "join_context",
    "longest",
    "merge",
    "next_change",
    "outlives",
    "prune_context",
    "resolve",
    "write",
]

REGISTER, TOMBSTONE, COUNTER = 1, 2, 3
"""Kinds of a version: a plain value, a delete, an actor's cumulative share of a counter."""

RAW, MAY_BE_OUTLIVED, BLIND, FILL, EXPIRED, TAGGED, SLIDING, COMPRESSED = 1, 2, 4, 8, 16, 32, 64, 128
"""Flags of a version: raw bytes, not msgpack; an older version may live longer; a tombstone that competes by time; a
cache fill, which yields to whatever it had not seen; a tombstone that an expiry or an invalidation left; the payload
begins with tags; with a sliding time to live (``attachments``); the client packed the value smaller."""

ALIVE, DEAD, GUARDED, WIPED = range(4)
"""What an invalidation makes of a version: nothing; it ends, as by an expiry; it ends, and leaves a tombstone in any
case; it goes without a trace, as does all that it ever superseded."""

SIBLING_LIMIT = 8
"""Concurrent versions beyond which a coordinator refuses a write; merge knows no such limit."""

PRUNE_ABOVE_ACTORS = 24
"""A context of plain values is pruned only when it holds more actors than this (brief R1.8)."""

PRUNE_AGE_MS = 24 * 3600 * 1000
"""... and only of dots older than this: the longest that a tombstone is kept."""

_NEVER = 1 << 64


@attrs.frozen
class Version:
    """One version of a key.

    ``time`` is a hybrid timestamp; ``expire_ms`` an instant on that clock (0 never; always 0 in a tombstone);
    ``created_ms`` when the key began to exist, or when a tombstone became one; ``payload`` the value, for a counter the
    msgpack of its cumulative sum, empty in a tombstone.
    """

    kind: int
    flags: int
    time: int
    expire_ms: int
    created_ms: int
    payload: bytes


@attrs.frozen
class State:
    """All that a replica knows of one key. Treat the mappings as immutable."""

    context: Mapping[Actor, int]
    cloud: frozenset[Dot]
    dots: Mapping[Dot, Version]


@attrs.frozen
class Resolution:
    """What a reader sees: the ``base`` register if one is visible, the counter ``cells`` that add to it (newest first),
    the newer of the two as ``winner``, and the ``losers``: registers that live on beside the base, newest first."""

    winner: Dot | None
    base: Dot | None
    cells: tuple[Dot, ...]
    losers: tuple[Dot, ...]


EMPTY = State({}, frozenset(), {})


def longest(first_ms: int, second_ms: int) -> int:
    """Return the later of two expiries, where 0 means never."""
    if first_ms == 0 or second_ms == 0:
        return 0
    return max(first_ms, second_ms)


def join_context(first: Mapping[Actor, int], second: Mapping[Actor, int]) -> dict[Actor, int]:
    """Return the smallest version vector that covers both."""
    joined = dict(first)
    for actor, n in second.items():
        if joined.get(actor, 0) < n:
            joined[actor] = n
    return joined


def covers(state: State, dot: Dot) -> bool:
    """Return whether the state has seen the dot, be it alive or superseded."""
    return state.context.get(dot[0], 0) >= dot[1] or dot in state.cloud


def merge(first: State, second: State) -> State:
    """Join what two replicas know: a version lives if both have it, or one has it and the other never saw its dot."""
    dots: dict[Dot, Version] = {}
    for dot, version in first.dots.items():
        other = second.dots.get(dot)
        if other is not None:
            dots[dot] = _join_version(version, other)
        elif not covers(second, dot):
            dots[dot] = version
    news = second.dots.items()
    dots.update((dot, version) for dot, version in news if dot not in first.dots and not covers(first, dot))
    context = join_context(first.context, second.context)
    return State(context, _compact(context, first.cloud | second.cloud), dots)


def write(state: State, dot: Dot, version: Version, context: Mapping[Actor, int] | None) -> State:
    """Add a version under a fresh dot: it supersedes everything held, or with a context exactly what that covers.

    Raises TooManySiblings if more than SIBLING_LIMIT versions would stand beside each other (counter cells aside).
    """
    joined = dict(state.context) if context is None else join_context(state.context, context)
    joined[dot[0]] = dot[1]
    dots: dict[Dot, Version] = {}
    if context is not None:
        dots = {held: other for held, other in state.dots.items() if context.get(held[0], 0) < held[1]}
    dots[dot] = version
    siblings = sum(1 for other in dots.values() if other.kind != COUNTER)
    if siblings > SIBLING_LIMIT:
        raise TooManySiblings(
            f"the write would leave {siblings} concurrent versions, at most {SIBLING_LIMIT} are kept; "
            "read the key and write with the version that the read returned"
        )
    return State(joined, _compact(joined, state.cloud), dots)


def resolve(dots: Mapping[Dot, Version], now_ms: int | None) -> Resolution:
    """Decide what a reader at ``now_ms`` sees; None leaves expiry out of it."""
    deleted = hidden = (-1, ((0, 0), 0))
    registers: list[tuple[int, Dot]] = []
    cells: list[tuple[int, Dot]] = []
    yielding = len(dots) > 1 and _fills_yield(dots)
    for dot, version in dots.items():
        key = (version.time, dot)
        if version.kind == REGISTER:
            if version.flags & FILL and yielding:
                continue
            if now_ms is not None and 0 < version.expire_ms <= now_ms:
                hidden = max(hidden, key)
            else:
                registers.append(key)
        elif version.kind == COUNTER:
            cells.append(key)
        elif version.flags & EXPIRED:
            if version.flags & BLIND:
                hidden = max(hidden, key)
        elif version.flags & BLIND:
            deleted = max(deleted, key)
    if now_ms is not None and 0 < cells_expiry(dots) <= now_ms:
        cells.clear()
    registers.sort(reverse=True)
    visible = sorted((key for key in cells if key > deleted), reverse=True)
    base = registers[0] if registers and registers[0] > deleted and registers[0] > hidden else None
    top = max(visible[:1] + ([base] if base else []), default=None)
    return Resolution(
        top[1] if top else None,
        base[1] if base else None,
        tuple(dot for _, dot in visible),
        tuple(dot for _, dot in (registers[1:] if base else registers)),
    )


def _fills_yield(dots: Mapping[Dot, Version]) -> bool:
    """Return whether something stands beside the fills that they had not seen: a value, alive or ended, or a delete."""
    return any(
        not v.flags & FILL
        and (v.kind == REGISTER or (v.kind == TOMBSTONE and not v.flags & EXPIRED) or v.flags & BLIND)
        for v in dots.values()
    )


def cells_expiry(dots: Mapping[Dot, Version]) -> int:
    """Return the instant at which all counter cells expire together; 0 if never or if there are none."""
    latest = 0
    for version in dots.values():
        if version.kind == COUNTER:
            if version.expire_ms == 0:
                return 0
            latest = max(latest, version.expire_ms)
    return latest


def next_change(dots: Mapping[Dot, Version]) -> int:
    """Return the next instant at which something expires; 0 if nothing ever does."""
    instants = [version.expire_ms for version in dots.values() if version.kind == REGISTER]
    instants.append(cells_expiry(dots))
    return min((instant for instant in instants if instant), default=0)


def expire(state: State, now_ms: int) -> State:
    """Turn every version that has expired into the tombstone it leaves; the same state if there is none."""
    cells_gone = 0 < cells_expiry(state.dots) <= now_ms
    dots: dict[Dot, Version] = {}
    changed = False
    for dot, version in state.dots.items():
        gone = cells_gone if version.kind == COUNTER else 0 < version.expire_ms <= now_ms
        if gone:
            changed = True
            version = _remains(version)
        dots[dot] = version
    return State(state.context, state.cloud, dots) if changed else state


def invalidate(state: State, fate: Callable[[Version], int]) -> State:
    """Let every version meet its ``fate``; the same state if all stay as they are.

    A DEAD version leaves the tombstone that its expiry would leave, so that neither an older sibling nor an older
    version elsewhere takes its place, a GUARDED one such a tombstone that is not forgotten (``is_spent``) until it is
    reaped; deletes stay. A WIPED one leaves only its dot in the context.
    """
    dots: dict[Dot, Version] = {}
    changed = False
    for dot, version in state.dots.items():
        met = fate(version)
        if met == WIPED:
            changed = True
            continue
        if met != ALIVE and version.kind != TOMBSTONE:
            changed = True
            version = _remains(version)
            if met == GUARDED:
                version = attrs.evolve(version, flags=version.flags | MAY_BE_OUTLIVED)
        dots[dot] = version
    return State(state.context, state.cloud, dots) if changed else state


def is_spent(state: State) -> bool:
    """Return whether nothing but expiries is left that no older version can outlive: the key may be forgotten."""
    return all(v.flags & EXPIRED and not v.flags & MAY_BE_OUTLIVED for v in state.dots.values())


def outlives(dots: Mapping[Dot, Version], expire_ms: int) -> bool:
    """Return whether one of these versions, or one that they superseded, may live longer than ``expire_ms``."""
    if expire_ms == 0:
        return False
    return any(
        v.kind == TOMBSTONE or v.flags & MAY_BE_OUTLIVED or v.expire_ms == 0 or v.expire_ms > expire_ms
        for v in dots.values()
    )


def apply_touch(state: State, expire_ms: int, dot: Dot | None) -> State:
    """Raise the life of what a reader sees to ``expire_ms``; the same state if ``dot`` is not part of it, or nothing
    would live longer. No dot is minted and no order changes."""
    seen = resolve(state.dots, None)
    parts = [part for part in (seen.base, *seen.cells[:1]) if part is not None]
    if dot is not None and dot not in (seen.base, *seen.cells):
        return state
    raised = {part: attrs.evolve(state.dots[part], expire_ms=expire_ms) for part in parts}
    raised = {part: v for part, v in raised.items() if longest(state.dots[part].expire_ms, expire_ms) == expire_ms}
    if all(state.dots[part] == version for part, version in raised.items()):
        return state
    return State(state.context, state.cloud, {**state.dots, **raised})


def prune_context(
    context: Mapping[Actor, int], dots: Mapping[Dot, Version], newest_ms: int, now_ms: int
) -> Mapping[Actor, int]:
    """Forget the oldest actors without a live dot, if there are too many and every dot is older than PRUNE_AGE_MS.

    ``newest_ms`` is the physical time of the newest version that the context was held with: no covered dot is younger.
    Forgetting can only make false siblings of plain values. Counters are never pruned: a forgotten cell would return.
    """
    surplus = len(context) - PRUNE_ABOVE_ACTORS
    if surplus <= 0 or now_ms - newest_ms <= PRUNE_AGE_MS or any(v.kind == COUNTER for v in dots.values()):
        return context
    alive = {dot[0] for dot in dots}
    forgotten = [actor for actor in sorted(context) if actor not in alive][:surplus]
    return {actor: n for actor, n in context.items() if actor not in forgotten}


def _remains(version: Version) -> Version:
    flags = version.flags & MAY_BE_OUTLIVED | EXPIRED
    if version.kind == REGISTER:
        flags |= BLIND
    return Version(TOMBSTONE, flags, version.time, 0, version.expire_ms, b"")


def _rank(version: Version) -> tuple[int, bool, int, int, int, int, int, bytes]:
    """A total order over the forms that one dot's version can take."""
    alive = version.kind != TOMBSTONE
    end_ms = version.created_ms if version.flags & EXPIRED else version.expire_ms
    rest = (version.time, version.kind, version.flags, version.created_ms, version.expire_ms, version.payload)
    return (end_ms or _NEVER, alive, *rest)


def _join_version(first: Version, second: Version) -> Version:
    return first if first == second or _rank(first) > _rank(second) else second


def _compact(context: dict[Actor, int], cloud: frozenset[Dot]) -> frozenset[Dot]:
    """Absorb into the vector the dots that continue it (in place); return the rest."""
    if not cloud:
        return cloud
    loose = []
    for actor, n in sorted(cloud):
        if n == context.get(actor, 0) + 1:
            context[actor] = n
        elif n > context.get(actor, 0):
            loose.append((actor, n))
    return frozenset(loose)
