"""I1: no acknowledged update is lost.

What: every write that was acknowledged at level quorum or above minted a version, and that version is accounted for at
the end (``case``). Increments are checked as sums: a counter that was only incremented shows at least what was
acknowledged, and at most that and what is unknown.

Invariant kept by: ``coordination.write_group``, ``repair.hints``, ``versioning.kernel``. Fault model: at most W-1 of
the nodes that acknowledged a write lose their memory before W owners hold it again; hints lost at the end of their life
are counted and noted, which is not silent: what such a hint held is excused (``lost_hints``), and nothing else. What
went with more memories than that is excused as well (``memory_losses``), and must have been told by some node.

Why against versions and not values: a later write may rightly have replaced the value; only the ledger knows.
"""

import msgpack

from dynacache.types import Level
from dynacache.versioning.actors import Actor
from dynacache.versioning.kernel import COUNTER, Version

from ..evidence import Evidence, Violation
from ..history import OperationKind, OperationRecord, Outcome
from .case import SETTERS, Case

__all__ = ["check"]

_AHEAD_S = 2.0
"""So long after an invalidation a write may still be stamped below its epoch: the skew that it lies ahead, and twice
what clocks may differ by."""


def check(evidence: Evidence) -> list[Violation]:
    """Return a violation for each acknowledged update that is gone without a reason."""
    case = Case.of(evidence)
    return [*_versions(case), *_counters(case)]


def _versions(case: Case) -> list[Violation]:
    found = []
    for operation, mints in case.acknowledged():
        key = operation.key
        sequences = (operation.call_sequence, operation.return_sequence or 0)
        if any(case.accounted(key, mint.dot) for mint in mints):
            losses = [case.untold(key, mint.dot) for mint in mints]
            if all(losses):
                nodes = ", ".join(dict.fromkeys(event.node_id for event in losses[-1]))
                text = f"{_named(operation)}: lost with the memories of {nodes}, and no node said so"
                found.append(Violation("I1", key, text, (*sequences, *(event.sequence for event in losses[-1]))))
            continue
        if mints:
            text = f"{_named(operation)}: version {mints[-1].dot} is gone from every node for no lawful reason"
        elif _ended_as_it_came(case, operation):
            continue
        elif operation.kind in SETTERS:
            text = f"{_named(operation)}: no node ever stored it"
        else:
            continue  # what was deleted had been deleted by another, and the delete was a repeated one
        found.append(Violation("I1", key, text, (*sequences, *(mint.event.sequence for mint in mints))))
    return found


def _ended_as_it_came(case: Case, operation: OperationRecord) -> bool:
    """Return whether an epoch that was ahead of the clocks may have ended a write in the moment of its mint."""
    tags = tuple(operation.arguments.get("tags") or ())
    end_s = operation.return_s if operation.return_s is not None else case.evidence.end_s
    return case.invalidations.known_between(operation.key, tags, operation.call_s - _AHEAD_S, end_s)


def _counters(case: Case) -> list[Violation]:
    found = []
    by_key: dict[bytes, list[OperationRecord]] = {}
    for operation in case.evidence.history:
        if operation.writes:
            by_key.setdefault(operation.key, []).append(operation)
    for key, operations in by_key.items():
        if any(operation.kind is not OperationKind.INCREMENT for operation in operations):
            continue
        if any(operation.arguments.get("ttl_s") for operation in operations) or _excused(case, key):
            continue
        total = _final_total(case, key)
        low, high = _bounds(operations)
        if not low <= total <= high:
            text = f"the counter shows {total}, acknowledged and unknown increments allow {low} to {high}"
            found.append(Violation("I1", key, text, tuple(operation.call_sequence for operation in operations)))
    return found


def _excused(case: Case, key: bytes) -> bool:
    """Return whether eviction, the end of a life that its namespace gave it, or more losses than the fault model has,
    may have taken part of a counter."""
    return key in case.lost_hints or any(
        case.ledger.life_ms.get((key, dot))
        or case.evicted(key, dot)
        or case.losses.exceeded_by(key, dot)
        or case.invalidated(key, dot)
        for dot in case.ledger.dots(key)
    )


def _final_total(case: Case, key: bytes) -> int:
    """Return the sum of the newest cell of each actor; an actor's cells are cumulative."""
    newest: dict[Actor, Version] = {}
    for dot, version in sorted(case.living.get(key, {}).items(), key=lambda item: item[0]):
        if version.kind == COUNTER:
            newest[dot[0]] = version
    return sum(int(msgpack.unpackb(version.payload)) for version in newest.values())


def _bounds(operations: list[OperationRecord]) -> tuple[int, int]:
    low = high = 0
    for operation in operations:
        delta = int(operation.arguments.get("delta", 0))
        if operation.outcome is Outcome.FAILED:
            continue
        sure = operation.outcome is Outcome.OK and operation.level >= Level.QUORUM
        low += delta if sure else min(0, delta)
        high += delta if sure else max(0, delta)
    return low, high


def _named(operation: OperationRecord) -> str:
    return f"operation {operation.number} ({operation.kind.value} of {operation.key!r}, acknowledged)"
