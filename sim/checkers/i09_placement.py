"""I9: owners are a pure function of the table, few of them change at a time, changes end, and strict reads are regular.

What: the owners that any node used under a table are those that ``placement`` computes from it afresh. Between two
tables that differ by one owning member, at most one owner of a partition is another. At the end no node is in between
two states, and all have one table. A read at ``strict_quorum`` that began after a write at that level had been
acknowledged returns neither a version that this write superseded, nor (if nothing else can explain it) a miss.

Invariant kept by: ``placement.placement``, ``coordination.read_operation``, ``coordination.replica`` (warming).

Why misses are judged with care: expiry, eviction and any concurrent delete explain one.
"""

import attrs

from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberEntry, MemberState, MemberTable
from dynacache.types import Level
from dynacache.versioning.actors import Dot
from dynacache.versioning.kernel import TOMBSTONE

from ..evidence import Evidence, TableEvent, Violation
from ..history import OperationKind, OperationRecord, Outcome
from ..ledger import Mint
from .case import Case
from .invalidations import INVALIDATORS

__all__ = ["check"]

_IN_BETWEEN = frozenset({
    int(MemberState.JOINING), int(MemberState.SETTLING), int(MemberState.LEAVING), int(MemberState.RETIRING),
})  # fmt: skip
_REMOVERS = frozenset({
    OperationKind.DELETE, OperationKind.DELETE_IF_VERSION, OperationKind.INVALIDATE_VERSION,
})  # fmt: skip
_READ = frozenset({int(MemberState.NORMAL), int(MemberState.SETTLING), int(MemberState.LEAVING)})

_Members = tuple[tuple[str, int, str, int], ...]


def check(evidence: Evidence) -> list[Violation]:
    """Return a violation for each breach of placement, and each strict read that went back."""
    return [*_not_a_function(evidence), *_moved_too_much(evidence), *_unended(evidence), *_reads(Case.of(evidence))]


def _not_a_function(evidence: Evidence) -> list[Violation]:
    found = []
    computed: dict[tuple[_Members, tuple[int, ...]], tuple[tuple[str, ...], ...]] = {}
    for event in evidence.tables:
        name = (event.members, event.factors)
        expected = computed.get(name)
        if expected is None:
            expected = computed[name] = _owners(evidence, event)
        if event.owners != expected:
            pairs = enumerate(zip(event.owners, expected, strict=False))
            partition = next((index for index, (used, right) in pairs if used != right), len(expected))
            text = f"{event.node_id} uses other owners of partition {partition} than its table yields"
            found.append(Violation("I9", None, text, (event.sequence,)))
    return found


def _owners(evidence: Evidence, event: TableEvent) -> tuple[tuple[str, ...], ...]:
    entries = [
        MemberEntry(node_id, 1, 1, MemberState(state), zone, weight, "host", 1)
        for node_id, state, zone, weight in event.members
    ]
    count = evidence.options.partition_count if event.factors or not event.owners else len(event.owners)
    table = MemberTable.of(bytes(16), count, evidence.options.replication_factor, entries)
    for factor in event.factors:
        table = table.with_factor(factor, 1)
    return tuple(Placement.from_table(table).owners_by_partition)


def _moved_too_much(evidence: Evidence) -> list[Violation]:
    found = []
    before: dict[str, TableEvent] = {}
    for event in evidence.tables:
        earlier = before.get(event.node_id)
        before[event.node_id] = event
        if earlier is None or len(_owning(earlier.members) ^ _owning(event.members)) != 1:
            continue
        for partition, (old, new) in enumerate(zip(earlier.owners, event.owners, strict=False)):
            if len(set(new) - set(old)) > 1 or len(set(old) - set(new)) > 1:
                text = f"one member came or went, and partition {partition} went from {old} to {new}"
                found.append(Violation("I9", None, text, (earlier.sequence, event.sequence)))
                break
    return found


def _owning(members: _Members) -> set[tuple[str, str, int]]:
    return {(node_id, zone, weight) for node_id, state, zone, weight in members if state in _READ}


def _unended(evidence: Evidence) -> list[Violation]:
    last: dict[str, TableEvent] = {}
    for event in evidence.tables:
        if event.node_id in evidence.snapshots:
            last[event.node_id] = event
    found = []
    for node_id, event in sorted(last.items()):
        for member, state, _, _ in event.members:
            if state in _IN_BETWEEN:
                text = f"at the end {member} is still {MemberState(state).name.lower()} to {node_id}"
                found.append(Violation("I9", None, text, (event.sequence,)))
    digests = {snapshot.table_digest for snapshot in evidence.snapshots.values()}
    if len(digests) > 1:
        found.append(Violation("I9", None, f"at the end there are {len(digests)} different member tables", ()))
    return found


@attrs.frozen
class _Write:
    """A write at strict level, acknowledged."""

    operation: OperationRecord
    mint: Mint
    superseded: frozenset[Dot]


def _reads(case: Case) -> list[Violation]:
    writes = _strict_writes(case)
    found = []
    for read in case.evidence.history:
        strict = read.level in (Level.STRICT_QUORUM, Level.ALL) and read.kind is OperationKind.GET
        if not strict or read.outcome is not Outcome.OK:
            continue
        before = [
            write for write in writes.get(read.key, []) if (write.operation.return_sequence or 0) < read.call_sequence
        ]
        if isinstance(read.result, bytes):
            found.extend(_went_back(case, read, before))
        elif read.result is None:
            found.extend(_missed(case, read, before))
    return found


def _strict_writes(case: Case) -> dict[bytes, list[_Write]]:
    found: dict[bytes, list[_Write]] = {}
    for operation, mints in case.acknowledged(Level.STRICT_QUORUM):
        if len(mints) == 1:
            mint = mints[0]
            lost = case.evicted(operation.key, mint.dot) or case.unprotected(operation.key, mint.dot)
            if not lost:
                superseded = frozenset(case.ledger.ancestors(operation.key, mint.dot))
                found.setdefault(operation.key, []).append(_Write(operation, mint, superseded))
    return found


def _went_back(case: Case, read: OperationRecord, before: list[_Write]) -> list[Violation]:
    dots = {mint.dot for mint in case.minted_value(read.key, read.result)}
    for write in before:
        if dots and dots <= write.superseded and not any((read.key, dot) in case.ledger.touched for dot in dots):
            text = (
                f"operation {read.number} (get at {Level(read.level).name.lower()}) returned what operation "
                f"{write.operation.number}, acknowledged before it began, had superseded"
            )
            return [Violation("I9", read.key, text, (write.mint.event.sequence, read.call_sequence))]
    return []


def _missed(case: Case, read: OperationRecord, before: list[_Write]) -> list[Violation]:
    until = read.return_sequence or 0
    lasting = [write for write in before if write.mint.version.kind != TOMBSTONE]
    if not lasting or any(operation.outcome is not Outcome.FAILED and _may_remove(operation, read.key, until)
                          for operation in case.evidence.history):  # fmt: skip
        return []
    if any(case.evicted(read.key, dot) or case.ledger.life_ms[read.key, dot] for dot in case.ledger.dots(read.key)):
        return []
    text = (
        f"operation {read.number} (get at {Level(read.level).name.lower()}) found nothing, although operation "
        f"{lasting[-1].operation.number} had been acknowledged and nothing was ever deleted"
    )
    return [Violation("I9", read.key, text, (lasting[-1].mint.event.sequence, read.call_sequence))]


def _may_remove(operation: OperationRecord, key: bytes, until: int) -> bool:
    if operation.kind in INVALIDATORS:
        return operation.call_sequence < until  # whichever keys it concerns
    removing = operation.kind in _REMOVERS
    return operation.key == key and operation.call_sequence < until and removing
