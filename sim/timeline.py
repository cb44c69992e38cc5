"""The story of one key, for people: who asked what, who stored which version, what went wrong meanwhile.

What: ``timeline`` puts the operations of a key, the changes of every node's record of it, the faults and the life of
the machines into one list in order, one line each, with short names for versions (``v1``, ``v2`` in order of minting).

Invariant: derived from evidence alone, so that what is told is what the judges saw. Times are seconds since the safety
phase began; operations that overlap are shown by their call and their return.

Why short names: a dot is two numbers of eighty bits, and nobody can follow a story with names like that.
"""

from collections.abc import Iterator

import attrs

from dynacache.types import Level
from dynacache.versioning.actors import Dot
from dynacache.versioning.kernel import COUNTER, EXPIRED, TOMBSTONE, Version
from dynacache.versioning.layout import decode

from .evidence import Evidence, Violation
from .history import OperationRecord, Outcome, StoreEvent
from .ledger import Ledger

__all__ = ["Line", "story", "timeline"]

_MACHINE_KINDS = frozenset({"serving", "crashed", "stopping", "stopped", "halted", "paused", "resumed"})
_VALUE_SHOWN = 16


@attrs.frozen(order=True)
class Line:
    """One event."""

    at_s: float
    sequence: int
    text: str


def story(evidence: Evidence, violation: Violation) -> str:
    """Return the timeline of a violation's key as text, with the violation last."""
    lines = timeline(evidence, violation.key) if violation.key is not None else _common(evidence)
    shown = [f"{line.at_s:9.3f}  {line.text}" for line in sorted(lines)]
    return "\n".join([*shown, f"{violation.invariant} violated: {violation.text}"])


def timeline(evidence: Evidence, key: bytes) -> list[Line]:
    """Return everything that concerns a key, in order."""
    ledger = Ledger.of(event for event in evidence.store_events if event.key == key)
    names = {dot: f"v{number}" for number, dot in enumerate(ledger.dots(key), 1)}
    lines = [*_common(evidence), *_operations(evidence, key)]
    lines.extend(
        Line(event.at_s - evidence.start_s, event.sequence, _change(event, names, ledger))
        for event in evidence.store_events
        if event.key == key
    )
    return sorted(lines)


def _common(evidence: Evidence) -> list[Line]:
    faults = [Line(fault.at_s, 0, f"fault {fault.kind}: {_arguments(fault.arguments)}") for fault in evidence.faults]
    machines = [
        Line(event.at_s - evidence.start_s, event.sequence, f"{event.node_id} {event.kind}")
        for event in evidence.machines
        if event.kind in _MACHINE_KINDS and event.at_s > evidence.start_s
    ]
    end = Line(evidence.faults_end_s - evidence.start_s, 0, "faults end")
    return [*faults, *machines, *([end] if evidence.faults_end_s else [])]


def _arguments(arguments: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(arguments.items()))


def _operations(evidence: Evidence, key: bytes) -> Iterator[Line]:
    for operation in evidence.history:
        if operation.key not in (key, b""):
            continue
        level = Level(operation.level).name.lower() if operation.level else "default"
        given = operation.arguments.get("value", operation.arguments.get("delta", ""))
        named = f"client{operation.client} #{operation.number} {operation.kind.value} {_value(given)}".rstrip()
        yield Line(operation.call_s - evidence.start_s, operation.call_sequence, f"{named} at {level}")
        if operation.return_sequence is not None and operation.return_s is not None:
            answer = Line(operation.return_s - evidence.start_s, operation.return_sequence, _answer(operation))
            yield answer


def _answer(operation: OperationRecord) -> str:
    coordinator = (operation.metadata.get("receipt") or {}).get("coordinator")
    by = f" by {coordinator}" if coordinator else ""
    if operation.outcome is Outcome.OK:
        return f"client{operation.client} #{operation.number} -> {_value(operation.result)}{by}"
    error = operation.metadata.get("error") or [operation.outcome.value, ""]
    return f"client{operation.client} #{operation.number} -> {operation.outcome.value}: {error[0]}"


def _value(value: object) -> str:
    if isinstance(value, bytes):
        text = value[:_VALUE_SHOWN].decode("ascii", "replace")
        return f"'{text}{'…' if len(value) > _VALUE_SHOWN else ''}'"
    return "nothing" if value is None else str(value)


def _change(event: StoreEvent, names: dict[Dot, str], ledger: Ledger) -> str:
    place = f"{event.node_id} ({event.place})" if event.place else event.node_id
    if event.after is None:
        return f"{place} {event.cause.value}: holds nothing"
    state = decode(event.after)
    held = ", ".join(_version(dot, version, names) for dot, version in sorted(state.dots.items()))
    minted = [dot for dot in state.dots if _is_minted_by(event, dot, ledger)]
    gone = [
        names.get(dot, "?")
        for dot in minted
        for dot in (*ledger.mints[event.key, dot].superseded, *ledger.mints[event.key, dot].beyond)
    ]
    over = f" over {', '.join(gone)}" if gone else ""
    seen = ", ".join(names[dot] for dot in names if state.context.get(dot[0], 0) >= dot[1] and dot not in state.dots)
    beside = f" [has seen {seen}]" if seen else ""
    verb = "mints" if minted else event.cause.value
    return f"{place} {verb}{over}: holds {held or 'nothing alive'}{beside}"


def _is_minted_by(event: StoreEvent, dot: Dot, ledger: Ledger) -> bool:
    mint = ledger.mints.get((event.key, dot))
    return mint is not None and mint.event is event


def _version(dot: Dot, version: Version, names: dict[Dot, str]) -> str:
    name = names.get(dot, "v?")
    if version.kind == TOMBSTONE:
        return f"{name} ({'expired' if version.flags & EXPIRED else 'deleted'})"
    if version.kind == COUNTER:
        return f"{name} (counter)"
    life = f", until {version.expire_ms} ms" if version.expire_ms else ""
    return f"{name} {_value(version.payload)}{life}"
