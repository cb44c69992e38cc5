"""I3, as far as lives go: a value lives as long as its write and its namespace say, and a read renews it by no more.

What: two things are breaches. A version is minted with another life than its write asked for, as the settings that its
coordinator held put it: the namespace's default for who names none, cut to the namespace's maximum. A life is changed
to a longer one than a client's touch asked for, or than a sliding value's own, both cut to the maximum; or of a value
that neither slides nor was touched.

Invariant kept by: ``namespaces.settings`` (``lifetime_ms``), ``coordination.gate``, ``coordination.sliding``.

That nothing is read after the latest expiry that it was ever given is judged beside this (``i03_resurrection``), and
so is that no touch changes which version wins (the ledger). Together: nothing is read longer after its last write,
touch or read than its life and the maximum allow.

Which settings: those that the coordinator's catalogue held within what a request may take before it writes. The rules
are told here once more, since the product's own might share its mistake.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import attrs
import msgpack

from dynacache.coordination.namespaces import SETTINGS_KIND
from dynacache.versioning.attachments import sliding_ms_of
from dynacache.versioning.kernel import REGISTER, SLIDING, Version
from dynacache.versioning.layout import decode

from ..evidence import CatalogueEvent, Evidence, Violation
from ..history import OperationKind, OperationRecord, StoreCause, StoreEvent
from .case import SETTERS, Case
from .invalidations import namespace_of

__all__ = ["Settings", "check", "settings_held"]

_SLACK_MS = 2
"""Rounding."""
_UNDER_WAY_S = 5.0
"""A request may be under way for so long between its arrival, when its settings count, and what it writes."""


@attrs.frozen
class Settings:
    """What a namespace said of lives."""

    default_ttl_ms: int = 0
    maximum_ttl_ms: int = 0

    def life_ms(self, asked_ms: int) -> int:
        """Return the life of a write that asked for one (0: it named none); 0 for a life without end."""
        life_ms = asked_ms or self.default_ttl_ms
        if self.maximum_ttl_ms and (life_ms == 0 or life_ms > self.maximum_ttl_ms):
            return self.maximum_ttl_ms
        return life_ms


def check(evidence: Evidence) -> Iterator[Violation]:
    """Yield a violation for each version that was given a life that nobody asked for."""
    if not any(event.name[:1] == SETTINGS_KIND for event in evidence.catalogue) and not evidence.options.sliding_share:
        return
    case = Case.of(evidence)
    touches: dict[bytes, list[OperationRecord]] = {}
    for operation in evidence.history:
        if operation.kind is OperationKind.TOUCH:
            touches.setdefault(operation.key, []).append(operation)
    yield from _minted(case, touches)
    for event in evidence.store_events:
        if event.cause is StoreCause.PUT and not event.place and event.before is not None and event.after is not None:
            yield from _changed(evidence, event, touches.get(event.key, []))


def _minted(case: Case, touches: dict[bytes, list[OperationRecord]]) -> Iterator[Violation]:
    for operation in case.evidence.history:
        if operation.kind not in SETTERS:
            continue
        asked = operation.arguments.get("ttl_s")
        for mint in case.mints_of(operation):
            event = mint.event
            held = settings_held(case.evidence, event, _UNDER_WAY_S)
            touched = [_asked_ms(each) for each in touches.get(operation.key, []) if each.call_s <= event.at_s]
            lives = {each.life_ms(asked_ms) for each in held for asked_ms in (_milliseconds(asked), *touched)}
            life_ms = mint.version.expire_ms and mint.version.expire_ms - event.hybrid_ms
            if not any(abs(life_ms - each) <= _SLACK_MS for each in lives if bool(each) == bool(life_ms)):
                said = ", ".join(f"{each} ms" if each else "no end" for each in sorted(lives))
                text = (
                    f"operation {operation.number} ({operation.kind.value}) was given a life of {life_ms} ms by "
                    f"{event.node_id}, expected {said}"
                )
                yield Violation("I3", operation.key, text, (operation.call_sequence, event.sequence))


def _changed(evidence: Evidence, event: StoreEvent, touches: list[OperationRecord]) -> Iterator[Violation]:
    """Judge what a coordinator stored over something: lives that became longer."""
    if event.before is None or event.after is None:
        return
    before, after = decode(event.before).dots, decode(event.after).dots
    for dot, version in after.items():
        old = before.get(dot)
        if old is None or version.kind != REGISTER or old.expire_ms == version.expire_ms:
            continue
        most_ms = _most_ms(evidence, event, version, touches)
        life_ms = version.expire_ms - event.hybrid_ms
        if version.expire_ms and life_ms <= most_ms + _SLACK_MS:
            continue
        if not version.expire_ms and any(_asked_ms(each) == 0 for each in touches):
            continue
        text = f"{event.node_id} made the life of {dot} {life_ms} ms long, expected at most {most_ms} ms"
        yield Violation("I3", event.key, text, (event.sequence,))


def _most_ms(evidence: Evidence, event: StoreEvent, version: Version, touches: list[OperationRecord]) -> int:
    """Return the longest life that a touch or a read may give a version now; -1 for none."""
    asked = [_asked_ms(each) for each in touches if each.call_s <= event.at_s]
    if version.flags & SLIDING:
        asked.append(sliding_ms_of(version.flags, version.payload))
    held = settings_held(evidence, event, _UNDER_WAY_S)
    return max((each.life_ms(asked_ms) for each in held for asked_ms in asked), default=-1)


def _asked_ms(touch: OperationRecord) -> int:
    return _milliseconds(touch.arguments.get("ttl_s"))


def _milliseconds(ttl_s: Any) -> int:
    return 0 if ttl_s is None else max(1, -int(-float(ttl_s) * 1000 // 1))


def settings_held(evidence: Evidence, event: StoreEvent, within_s: float) -> set[Settings]:
    """Return every settings of an event's namespace that its node held at that moment or within so long before."""
    changes = _changes(evidence).get((event.node_id, event.incarnation, namespace_of(event.key)[0]), [])
    held = {Settings()} if not changes or changes[0].at_s > event.at_s - within_s else set()
    for number, change in enumerate(changes):
        following = changes[number + 1].at_s if number + 1 < len(changes) else float("inf")
        if change.sequence < event.sequence and following >= event.at_s - within_s:
            held.add(_settings(change.value))
    return held


_Changes = dict[tuple[str, int, bytes], list[CatalogueEvent]]


def _changes(evidence: Evidence) -> _Changes:
    """Return the changes of settings by node, incarnation and namespace; those of the last evidence are remembered."""
    if not _last or _last[0][0] is not evidence:
        found: _Changes = {}
        for event in evidence.catalogue:
            if event.name[:1] == SETTINGS_KIND:
                found.setdefault((event.node_id, event.incarnation, event.name[1:]), []).append(event)
        _last[:] = [(evidence, found)]
    return _last[0][1]


@cache
def _settings(value: bytes) -> Settings:
    fields = msgpack.unpackb(value) if value else {}
    return Settings(fields.get("default_ttl_ms", 0), fields.get("maximum_ttl_ms", 0))


_last: list[tuple[Evidence, _Changes]] = []
