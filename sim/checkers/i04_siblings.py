"""I4: siblings are concurrent writes, and there are no more of them than writers.

What: of two versions that live beside each other in one record, neither superseded the other, first hand or through
others. A coordinator that mints without a context leaves nothing beside the new version but counter cells. A
coordinator never leaves more siblings than the limit. A read shows no more different values than writes had been begun.

Invariant kept by: ``versioning.kernel.write`` and ``merge``, ``coordination.write``.

A copy that was out of touch for too long keeps what is young, without the context that it was written in
(``repair.exchange_drive``), so such a version may stand beside what it has superseded.

Why not "no siblings without partitions": two coordinators may take two writes at the same time on any day.
"""

from dynacache.versioning.actors import Dot
from dynacache.versioning.kernel import REGISTER, SIBLING_LIMIT
from dynacache.versioning.layout import MANY, decode

from ..evidence import Evidence, Violation
from ..history import OperationKind, Outcome, StoreCause
from ..ledger import Mint
from .case import SETTERS, Case

__all__ = ["check"]


def check(evidence: Evidence) -> list[Violation]:
    """Return a violation for each record with siblings that are none, and each read that shows too many."""
    case = Case.of(evidence)
    return [*_false_siblings(case), *_minted_beside(case), *_shown(case)]


def _false_siblings(case: Case) -> list[Violation]:
    found = []
    judged: set[tuple[bytes, tuple[Dot, ...]]] = set()
    bare: set[tuple[bytes, Dot]] = set()
    for event in case.evidence.store_events:
        if event.after is not None and event.cause is StoreCause.DISCARD:
            bare.update((event.key, dot) for dot in decode(event.after).dots)
        if event.after is None or event.after[1] != MANY:
            continue
        dots = tuple(sorted(decode(event.after).dots))
        if len(dots) < 2 or (event.key, dots) in judged:
            continue
        judged.add((event.key, dots))
        for dot in dots:
            older = case.ledger.ancestors(event.key, dot).intersection(dots)
            if older and (event.key, dot) not in bare:
                text = f"{event.node_id} holds {dot} and {min(older)} as siblings, but the first superseded the second"
                found.append(Violation("I4", event.key, text, (event.sequence,)))
                break
    return found


def _minted_beside(case: Case) -> list[Violation]:
    found = []
    plain = {
        mint.dot: operation
        for operation in case.evidence.history
        if operation.kind is OperationKind.SET and not operation.arguments.get("version")
        for mint in case.mints_of(operation)
    }
    for mint in case.ledger.mints.values():
        registers = 1 + _registers_beside(mint)
        operation = plain.get(mint.dot)
        if operation is not None and registers > 1 and operation.key == mint.event.key:
            text = (
                f"operation {operation.number} (set without a version) left {registers - 1} version(s) beside its own "
                f"at {mint.event.node_id}"
            )
            found.append(Violation("I4", mint.event.key, text, (mint.event.sequence,)))
        elif registers > SIBLING_LIMIT:
            text = f"{mint.event.node_id} left {registers} siblings, the limit is {SIBLING_LIMIT}"
            found.append(Violation("I4", mint.event.key, text, (mint.event.sequence,)))
    return found


def _registers_beside(mint: Mint) -> int:
    if not mint.beside or mint.event.after is None:
        return 0
    versions = decode(mint.event.after).dots
    return sum(versions[dot].kind == REGISTER for dot in mint.beside)


def _shown(case: Case) -> list[Violation]:
    found = []
    for read in case.evidence.history:
        siblings = read.metadata.get("siblings")
        if not siblings or read.outcome is not Outcome.OK:
            continue
        writers = sum(
            operation.key == read.key
            and operation.outcome is not Outcome.FAILED
            and operation.kind in SETTERS | {OperationKind.INCREMENT}
            and operation.call_sequence < (read.return_sequence or 0)
            for operation in case.evidence.history
        )
        # A write that was tried again elsewhere stands there twice, with one value.
        values = len({repr(value) for value in (*siblings, read.result)} - {"None"})
        if values > writers:
            text = f"operation {read.number} shows {values} values, {writers} writes had been begun"
            found.append(Violation("I4", read.key, text, (read.call_sequence, read.return_sequence or 0)))
    return found
