"""I3, as far as invalidations go: what was invalidated stays so, and no slow fill brings it back.

What: four things are breaches. A read at quorum or above returns what an invalidation, acknowledged at quorum or above
before the read began, had ended. A final read returns it, or a store or a hint holds it when all is at rest. A read
returns what a fill brought that had not seen a delete, or a write of a value that lasts, which was acknowledged at
quorum before the read: whatever the times, a fill never hides what somebody wrote or deleted.

Ended is what was minted before the invalidation was called, or began to be filled before it: clocks differ by less than
the epoch lies ahead. What was minted while it was under way may be ended or not.

Left out: runs with a clock beyond the skew that is borne, where stamps mean little; reads for which somebody stood in
(the receipt says so), since who stands in for an owner need not know what the owner knows; and an invalidation of which
as many nodes lost their memory as make a quorum, which is beyond the fault model.

Invariant kept by: ``storage.epochs``, ``storage.invalidation``, ``node.catalogue_sync``, ``versioning.kernel.resolve``.
"""

from collections.abc import Iterator

from dynacache.types import Level
from dynacache.versioning.actors import Dot
from dynacache.versioning.kernel import COUNTER, TOMBSTONE
from dynacache.versioning.layout import decode

from ..evidence import Evidence, Violation
from ..history import OperationKind, OperationRecord, Outcome
from ..ledger import Mint
from .case import Case
from .invalidations import concerns, lost_while_spreading

__all__ = ["check"]


def check(evidence: Evidence) -> list[Violation]:
    """Return a violation for each invalidated value that was read or is still held, and each fill that came late."""
    if any(fault.kind == "clock_wrong" for fault in evidence.faults):
        return []
    case = Case.of(evidence)
    return [*_reads(case), *_held(case), *_fills(case)]


# Reads


def _reads(case: Case) -> Iterator[Violation]:
    binding = [each for each in case.invalidations.operations if _binds(case, each)]
    final = {record.number for record in case.evidence.final_reads}
    for read in case.evidence.history if binding else ():
        if read.kind is not OperationKind.GET or read.outcome is not Outcome.OK or not isinstance(read.result, bytes):
            continue
        if not _sees_all(read) and read.number not in final:
            continue
        mints = case.minted_value(read.key, read.result)
        tags = case.invalidations.tags_of(read.result)
        for each in binding:
            if (each.return_sequence or 0) >= read.call_sequence or not concerns(each, read.key, tags):
                continue
            if mints and all(_began(case, mint, read.result) < each.call_sequence for mint in mints):
                text = f"read {read.result[:40]!r}, which operation {each.number} ({each.kind.value}) had invalidated"
                yield _violation(read, text, (each.return_sequence or 0, *(mint.event.sequence for mint in mints)))
                break


def _sees_all(read: OperationRecord) -> bool:
    """Return whether a read asked a quorum of owners and nobody stood in for one."""
    if read.level in (Level.STRICT_QUORUM, Level.ALL):
        return True
    receipt = read.metadata.get("receipt")
    if read.level != Level.QUORUM or not receipt:
        return False
    return not (receipt.get("stood_in") or receipt.get("degraded") or receipt.get("unknown"))


def _binds(case: Case, operation: OperationRecord) -> bool:
    """Return whether a quorum acknowledged an invalidation, whose memories were not lost before it had spread."""
    if operation.outcome is not Outcome.OK or operation.level < Level.QUORUM:
        return False
    return not lost_while_spreading(case.evidence, operation)


def _began(case: Case, mint: Mint, value: bytes) -> int:
    """Return when a version began to be: when it was minted, or when its fill was given its token."""
    return case.fills.get(value, mint.event.sequence)


# What is held at the end


def _held(case: Case) -> Iterator[Violation]:
    if not case.evidence.converged or case.evidence.stopped_early:
        return
    for name, snapshot in case.evidence.snapshots.items():
        places = [("", key, record) for key, record in snapshot.records.items()]
        places += [(f" for {target}", key, record) for target, key, record in snapshot.hints]
        for place, key, record in places:
            for dot, version in decode(record).dots.items():
                if version.kind not in (TOMBSTONE, COUNTER) and case.invalidated(key, dot, version):
                    text = f"{name} holds {dot}{place} at the end, which was invalidated"
                    yield Violation("I3", key, text, (case.ledger.mints[key, dot].event.sequence,))


# Fills


def _fills(case: Case) -> Iterator[Violation]:
    for read in case.evidence.history if case.fills else ():
        value = read.result
        if read.kind is not OperationKind.GET or read.outcome is not Outcome.OK or not isinstance(value, bytes):
            continue
        began = case.fills.get(value)
        if began is None or not _sees_all(read):
            continue
        for operation, mints in case.acknowledged():
            if operation.key != read.key or operation.kind is OperationKind.FILL:
                continue
            if (operation.return_sequence or 0) >= read.call_sequence or _seen_by(case, read.key, value, mints):
                continue
            if _lasts(case, operation, mints):
                named = f"operation {operation.number} ({operation.kind.value})"
                text = f"read {value[:40]!r}, a fill that had not seen {named}"
                yield _violation(read, text, (began, operation.return_sequence or 0))
                break


def _seen_by(case: Case, key: bytes, value: bytes, mints: list[Mint]) -> bool:
    """Return whether a fill followed some version that an operation minted."""
    fills = {mint.dot for mint in case.minted_value(key, value)}
    return any(not fills.isdisjoint(case.ledger.successors(key, mint.dot)) for mint in mints)


def _lasts(case: Case, operation: OperationRecord, mints: list[Mint]) -> bool:
    """Return whether what an operation wrote is still known wherever it was acknowledged."""
    key = operation.key
    for mint in mints:
        for dot in (mint.dot, *case.ledger.successors(key, mint.dot)):
            if case.evicted(key, dot) or case.unprotected(key, dot) or case.ledger.life_ms.get((key, dot)):
                return False
            if _reaped(case, key, dot) or case.invalidated(key, dot, case.ledger.mints[key, dot].version):
                return False
    return bool(mints)


def _reaped(case: Case, key: bytes, dot: Dot) -> bool:
    changes = case.ledger.departures.get((key, dot), [])
    return any(change.event.after is None for change in changes)


def _violation(read: OperationRecord, text: str, sequences: tuple[int, ...]) -> Violation:
    named = f"operation {read.number} (get at {Level(read.level).name.lower()}) {text}"
    return Violation("I3", read.key, named, (read.call_sequence, read.return_sequence or 0, *sequences))
