"""I6: operations at level ``strong`` on one key are linearizable.

What: a search for an order of the operations that respects real time and explains every answer, per key (keys are
independent), after Wing and Gong, with Lowe's memory of (operations done, value) so that no state is explored twice.
An operation of unknown outcome may take effect at any time after its call, or never.

Invariant: ``search`` answers HELD only with an order in hand, VIOLATED only when there is none, and INCONCLUSIVE when
it met its limit of states; a run with an inconclusive search has not held, its verdict is unknown. Intervals are closed
and in global sequence numbers, because many events share a virtual moment.

Why two passes: unknown operations double the states each. Those whose value nobody ever saw can be left out at first:
an order without them is an order; only if there is none are all of them admitted.
"""

import enum
from collections.abc import Sequence
from typing import Any

import attrs

from dynacache.types import Level

from ..evidence import Evidence, Violation
from ..history import OperationKind, OperationRecord, Outcome

__all__ = ["ANY", "STATE_LIMIT", "Step", "Verdict", "check", "inconclusive", "search", "steps_of"]

STATE_LIMIT = 300_000
"""States after which a search gives up."""

_NEVER = float("inf")


class Verdict(enum.StrEnum):
    """How a search ended."""

    HELD = "held"
    VIOLATED = "violated"
    INCONCLUSIVE = "inconclusive"


@attrs.frozen
class Step:
    """One operation on a register whose absence is None.

    ``kind``: get, set, delete, or compare (``demanded`` -> ``value``; ``demanded`` may be ANY for "whatever is
    there"). ``answer`` is what a get returned, or whether a compare succeeded; meaningless when not ``known``.
    """

    call: float
    returned: float
    kind: str
    value: Any = None
    demanded: Any = None
    answer: Any = None
    known: bool = True


class _Mark(enum.Enum):
    ANY = "any"


ANY = _Mark.ANY
"""What a compare demands that succeeds on any value, but not on absence."""


def check(evidence: Evidence) -> list[Violation]:
    """Return a violation for each key whose strong operations have no order. Inconclusive searches accuse nobody."""
    found = []
    operations = _strong(evidence)
    for key, verdict in _verdicts(evidence).items():
        if verdict is Verdict.VIOLATED:
            sequences = tuple(operation.call_sequence for operation in operations[key])
            text = f"no order of {len(sequences)} strong operations explains their answers"
            found.append(Violation("I6", key, text, sequences))
    return found


def inconclusive(evidence: Evidence) -> list[bytes]:
    """Return the keys whose search met its limit."""
    return [key for key, verdict in _verdicts(evidence).items() if verdict is Verdict.INCONCLUSIVE]


def _verdicts(evidence: Evidence) -> dict[bytes, Verdict]:
    """Return the verdict of each key's search; those of the last evidence are remembered, as a search may be long."""
    if not _last or _last[0][0] is not evidence:
        found = {key: search(steps_of(operations)) for key, operations in sorted(_strong(evidence).items())}
        _last[:] = [(evidence, found)]
    return _last[0][1]


def search(steps: Sequence[Step], initial: Any = None, limit: int | None = None) -> Verdict:
    """Look for an order of the steps that explains every answer, in at most ``limit`` states (STATE_LIMIT if None)."""
    limit = STATE_LIMIT if limit is None else limit
    observed = {step.answer for step in steps if step.known and step.kind == "get"}
    observed |= {step.demanded for step in steps if step.known and step.kind == "compare" and step.answer is True}
    likely = [step for step in steps if step.known or (step.kind != "get" and step.value in observed)]
    if _search(likely, initial, limit) is Verdict.HELD:
        return Verdict.HELD
    return _search([step for step in steps if step.known or step.kind != "get"], initial, limit)


def steps_of(operations: Sequence[OperationRecord]) -> list[Step]:
    """Turn the operations on one key into steps; failed ones did nothing and are left out."""
    values = {
        operation.metadata["version"]: operation.result
        for operation in operations
        if operation.kind is OperationKind.GET and operation.metadata.get("version")
    }
    return [_step(operation, values) for operation in operations if operation.outcome is not Outcome.FAILED]


def _strong(evidence: Evidence) -> dict[bytes, list[OperationRecord]]:
    by_key: dict[bytes, list[OperationRecord]] = {}
    for operation in evidence.history:
        if operation.level == Level.STRONG:
            by_key.setdefault(operation.key, []).append(operation)
    return by_key


def _step(operation: OperationRecord, values: dict[Any, Any]) -> Step:
    known = operation.outcome is Outcome.OK
    returned = operation.return_sequence if known and operation.return_sequence is not None else _NEVER
    value = operation.arguments.get("value")
    demanded: Any = None
    match operation.kind:
        case OperationKind.GET:
            kind = "get"
        case OperationKind.SET | OperationKind.GET_AND_SET:
            kind = "set"
        case OperationKind.DELETE:
            kind, value = "delete", None
        case OperationKind.SET_IF_ABSENT:
            kind = "compare"
        case OperationKind.SET_IF_PRESENT:
            kind, demanded = "compare", ANY
        case OperationKind.SET_IF_VERSION | OperationKind.DELETE_IF_VERSION:
            kind, demanded = "compare", values.get(operation.arguments.get("version"))
        case _:
            raise ValueError(f"operation kind {operation.kind!r} is no register operation")
    return Step(operation.call_sequence, returned, kind, value, demanded, operation.result, known)


def _search(steps: Sequence[Step], initial: Any, limit: int) -> Verdict:
    ordered = sorted(steps, key=lambda step: step.call)
    needed = sum(1 << index for index, step in enumerate(ordered) if step.known)
    seen: set[tuple[int, Any]] = set()
    left: list[tuple[int, Any]] = [(0, initial)]
    while left:
        done, value = left.pop()
        if done & needed == needed:
            return Verdict.HELD
        if (done, value) in seen:
            continue
        if len(seen) >= limit:
            return Verdict.INCONCLUSIVE
        seen.add((done, value))
        first_return = min(step.returned for index, step in enumerate(ordered) if not done >> index & 1)
        for index, step in enumerate(ordered):
            if step.call > first_return:
                break
            if not done >> index & 1:
                left.extend((done | 1 << index, after) for after in _outcomes(step, value))
    return Verdict.VIOLATED


def _outcomes(step: Step, value: Any) -> list[Any]:
    """Return the value after the step, in a list; an empty one if the answer contradicts the value before it."""
    if step.kind == "get":
        return [value] if not step.known or step.answer == value else []
    if step.kind in ("set", "delete"):
        return [step.value]
    holds = value is not None if step.demanded is ANY else value == step.demanded
    if holds:
        return [step.value] if not step.known or step.answer is True else []
    return [value] if not step.known or step.answer is False else []


_last: list[tuple[Evidence, dict[bytes, Verdict]]] = []
"""The verdicts of the last evidence."""
