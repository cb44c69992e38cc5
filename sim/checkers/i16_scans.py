"""I16: a scan returns every key that was there throughout.

What: for each scan that came to its end, the keys with its prefix that every reader of their partition held, as one
value without an end to its life, from before the scan was called until after it returned. Each of them must be among
what it returned, and nothing may be that nobody ever wrote.

Invariant kept by: ``coordination.scan``, ``wire.cursors``.

Why only what all owners held: a scan asks one complete owner of each partition, so what a single owner has missed it
may miss too; what all of them have, no eviction elsewhere, change of owners or death of a node may hide. Owners are
those of every table that any node used meanwhile.
"""

from collections.abc import Iterator

from dynacache.versioning.layout import VALUE
from dynacache.versioning.packed import HEADER

from ..evidence import Evidence, TableEvent, Violation
from ..history import OperationKind, OperationRecord, Outcome, StoreEvent
from .case import Case
from .invalidations import namespace_of

__all__ = ["check"]


def check(evidence: Evidence) -> list[Violation]:
    """Return a violation for each key that a scan left out, and each that it made up."""
    scans = [record for record in evidence.history if record.kind is OperationKind.SCAN]
    scans = [record for record in scans if record.outcome is Outcome.OK and record.return_sequence is not None]
    if not scans:
        return []
    case = Case.of(evidence)
    changes: dict[bytes, dict[str, list[StoreEvent]]] = {}
    for event in evidence.store_events:
        if not event.place:
            changes.setdefault(event.key, {}).setdefault(event.node_id, []).append(event)
    return [violation for scan in scans for violation in _judge(case, scan, changes)]


def _judge(case: Case, scan: OperationRecord, changes: dict[bytes, dict[str, list[StoreEvent]]]) -> Iterator[Violation]:
    begin, end = scan.call_sequence, scan.return_sequence or 0
    returned = set(scan.result)
    tables = _tables(case.evidence, begin, end)
    for key in sorted(returned - set(changes)):
        yield Violation("I16", key, f"operation {scan.number} (scan) returned a key that nobody wrote", (begin, end))
    for key in sorted(set(changes) - returned):
        if not _asked_for(scan.arguments["prefix"], key) or key not in case.evidence.partitions:
            continue
        partition = case.evidence.partitions[key]
        sets = [owners for table in tables for owners in table.owners[partition : partition + 1]]
        owners = sorted({owner for each in sets for owner in each})
        if owners and all(_held(case, changes[key].get(owner, []), begin, end) for owner in owners):
            text = f"operation {scan.number} (scan) left out a key that {', '.join(owners)} held throughout"
            yield Violation("I16", key, text, (begin, end))


def _asked_for(prefix: bytes, key: bytes) -> bool:
    """Return whether a key has a prefix; none at all is that of the default namespace."""
    return key.startswith(prefix) if prefix else namespace_of(key)[0] == b""


def _tables(evidence: Evidence, begin: int, end: int) -> list[TableEvent]:
    """Return every member table that some node used between two moments."""
    last: dict[str, TableEvent] = {}
    used = []
    for table in evidence.tables:
        if table.sequence <= begin:
            last[table.node_id] = table
        elif table.sequence <= end:
            used.append(table)
    return [*last.values(), *used]


def _held(case: Case, events: list[StoreEvent], begin: int, end: int) -> bool:
    """Return whether a store held a lasting value from one moment to another."""
    before = [event.after for event in events if event.sequence < begin][-1:]
    records = before + [event.after for event in events if begin <= event.sequence <= end]
    return bool(before) and all(_lasts(case, events[0].key, record) for record in records)


def _lasts(case: Case, key: bytes, record: bytes | None) -> bool:
    if record is None or record[1] != VALUE or HEADER.unpack_from(record)[6]:
        return False
    time = HEADER.unpack_from(record)[5]
    return not any(case.invalidations.ends(key, time, tags) for tags in case.invalidations.all_tags())
