"""What several judges need of one run: its ledger, and which operation minted which version.

What: ``Case.of`` derives both once for each evidence. ``accounted`` follows the chain of a version to a lawful end:
it lives, it expired, it was evicted, its tombstone was reaped, or a version that superseded it is accounted for.

Invariant: where the fault model does not protect a version (too many memories lost, a lost hint that was counted and
noted), ``accounted`` says so, and nobody is accused. A loss that was noted excuses what that hint held, and no more.

Why operations are found by value: every write of a value writes a value of its own, so its payload names it; a delete
is found among the tombstones that were minted between its call and its return.
"""

from collections.abc import Mapping

import attrs
import msgpack

from dynacache.types import Level
from dynacache.versioning import packed
from dynacache.versioning.actors import Dot
from dynacache.versioning.attachments import value_start
from dynacache.versioning.kernel import COUNTER, EXPIRED, RAW, REGISTER, TOMBSTONE, Version
from dynacache.versioning.layout import decode

from ..evidence import Evidence
from ..history import OperationKind, OperationRecord, Outcome, StoreCause, StoreEvent
from ..ledger import Ledger, Mint
from ..options import write_quorum
from .invalidations import Invalidations, namespace_of
from .lost_hints import lost_hints
from .memory_losses import MemoryLosses, was_told

__all__ = ["DELETERS", "SETTERS", "Case", "value_of"]

SETTERS = frozenset({
    OperationKind.SET, OperationKind.SET_IF_ABSENT, OperationKind.SET_IF_PRESENT, OperationKind.SET_IF_VERSION,
    OperationKind.GET_AND_SET, OperationKind.FILL,
})  # fmt: skip
"""Operations that write a value."""

DELETERS = frozenset({OperationKind.DELETE, OperationKind.DELETE_IF_VERSION, OperationKind.INVALIDATE_VERSION})
"""Operations that delete one."""


@attrs.define(eq=False)
class Case:
    """One run, prepared for its judges."""

    evidence: Evidence
    ledger: Ledger
    end_ms: int
    """The latest hybrid clock at the end."""
    living: dict[bytes, dict[Dot, Version]]
    """What lives anywhere at the end, hints included."""
    lost_hints: Mapping[bytes, frozenset[Dot]]
    """What went with hints whose loss was told."""
    losses: MemoryLosses
    invalidations: Invalidations
    fills: dict[bytes, int]
    """When the fill that brought a value had its token."""
    _by_value: dict[tuple[bytes, bytes], list[Mint]] = attrs.field(factory=dict)
    _accounted: dict[bytes, dict[Dot, bool]] = attrs.field(factory=dict)
    _evicted_times: dict[bytes, frozenset[int]] | None = None

    @classmethod
    def of(cls, evidence: Evidence) -> "Case":
        """Return the case of this evidence; the last one is remembered."""
        if not _last or _last[0].evidence is not evidence:
            _last[:] = [cls._make(evidence)]
        return _last[0]

    @classmethod
    def _make(cls, evidence: Evidence) -> "Case":
        ledger = Ledger.of(evidence.store_events)
        end_ms = max((snapshot.hybrid_ms for snapshot in evidence.snapshots.values()), default=0)
        living: dict[bytes, dict[Dot, Version]] = {}
        for snapshot in evidence.snapshots.values():
            for key, record in snapshot.records.items():
                living.setdefault(key, {}).update(decode(record).dots)
            for _, key, record in snapshot.hints:
                living.setdefault(key, {}).update(decode(record).dots)
        losses = MemoryLosses.of(
            ledger,
            evidence.store_events,
            lambda key: write_quorum(evidence.options, namespace_of(key)[0].decode()),
            evidence.tables,
            evidence.partitions,
        )
        fills = {
            record.arguments["value"]: record.metadata["token_sequence"]
            for record in evidence.history
            if record.kind is OperationKind.FILL
        }
        given = (lost_hints(evidence), losses, Invalidations.of(evidence), fills)
        case = cls(evidence, ledger, end_ms, living, *given)
        for mint in ledger.mints.values():
            value = value_of(mint.version)
            if value is not None:
                case._by_value.setdefault((mint.event.key, value), []).append(mint)
        return case

    def mints_of(self, operation: OperationRecord) -> list[Mint]:
        """Return the versions that an operation minted, or may have minted."""
        if operation.kind in SETTERS:
            return self._by_value.get((operation.key, operation.arguments.get("value", b"")), [])
        kind = TOMBSTONE if operation.kind in DELETERS else COUNTER
        until = operation.return_sequence
        mints = [self.ledger.mints[operation.key, dot] for dot in self.ledger.dots(operation.key)]
        return [
            mint
            for mint in mints
            if mint.version.kind == kind
            and mint.event.sequence > operation.call_sequence
            and (until is None or mint.event.sequence < until)
        ]

    def minted_value(self, key: bytes, value: bytes) -> list[Mint]:
        """Return the versions of a key that carry this value."""
        return self._by_value.get((key, value), [])

    def acknowledged(self, least_level: int = Level.QUORUM) -> list[tuple[OperationRecord, list[Mint]]]:
        """Return the writes that were acknowledged at this level or above, with what they minted."""
        return [
            (operation, self.mints_of(operation))
            for operation in self.evidence.history
            if operation.outcome is Outcome.OK and operation.level >= least_level and self.applied(operation)
        ]

    def applied(self, operation: OperationRecord) -> bool:
        """Return whether an operation that succeeded wrote a value or deleted one."""
        if operation.kind in (OperationKind.SET, OperationKind.GET_AND_SET):
            return True
        return operation.kind in SETTERS | DELETERS and operation.result is True

    def unprotected(self, key: bytes, dot: Dot) -> bool:
        """Return whether more memories lost this version than the fault model allows, or its hint was lost aloud."""
        if self.losses.exceeded_by(key, dot):
            return True
        # A hint that held the version's successor had taken its place, and was what should have been remembered.
        lost = self.lost_hints.get(key)
        return lost is not None and not lost.isdisjoint((dot, *self.ledger.successors(key, dot)))

    def untold(self, key: bytes, dot: Dot) -> tuple[StoreEvent, ...]:
        """Return the losses of memory that alone excuse a version's end and that no node spoke of."""
        losses = self.losses.exceeded_by(key, dot)
        if not losses or self.ledger.successors(key, dot) or was_told(self.evidence, key, losses):
            return ()
        lawful = dot in self.living.get(key, {}) or self.expired(key, dot) or self.evicted(key, dot)
        lawful = lawful or self.invalidated(key, dot)
        return () if lawful or self.ledger.left_by(key, dot, StoreCause.REAP) else losses

    def invalidated(self, key: bytes, dot: Dot, version: Version | None = None) -> bool:
        """Return whether some epoch that any node knew ends this version (as it was minted, or in this form)."""
        if not self.invalidations.epochs:
            return False
        mint = self.ledger.mints.get((key, dot))
        form = version if version is not None else mint.version if mint is not None else None
        if form is None:
            return False
        tags = self.invalidations.tags_of(None if mint is None else value_of(mint.version))
        return self.invalidations.ends(key, form.time, tags)

    def expired(self, key: bytes, dot: Dot) -> bool:
        """Return whether a version's longest life was over when the run ended."""
        return 0 < self.ledger.life_ms.get((key, dot), 0) <= self.end_ms

    def evicted(self, key: bytes, dot: Dot) -> bool:
        """Return whether some place evicted this version; or a full store refused its key, and had the last word when
        a stale copy dropped what complete ones did not have, or an owner handed its place over to it (seed 3266)."""
        if self.ledger.left_by(key, dot, StoreCause.EVICT) > 0:
            return True
        refused = any(key in snapshot.refused for snapshot in self.evidence.snapshots.values())
        return refused and any(
            change.event.cause is StoreCause.DISCARD
            or (change.event.cause is StoreCause.REMOVE and change.event.after is None)
            for change in self.ledger.departures.get((key, dot), ())
        )

    def evicted_times(self, key: bytes) -> frozenset[int]:
        """Return the hybrid times of all versions of a key that some store evicted, or was too full to take."""
        if self._evicted_times is None:
            times = {key: set(found) for key, found in self.evidence.witnessed.items()}
            for event in self.evidence.store_events:
                if event.cause is StoreCause.EVICT and event.before is not None and not event.place:
                    times.setdefault(event.key, set()).add(packed.HEADER.unpack_from(event.before)[5])
            self._evicted_times = {each: frozenset(found) for each, found in times.items()}
        return self._evicted_times.get(key, frozenset())

    def accounted(self, key: bytes, dot: Dot) -> bool:
        """Return whether a version came to a lawful end, or to none."""
        if key not in self._accounted:
            # Whoever supersedes is minted later, so the last is judged first.
            judged = self._accounted[key] = {}
            for each in reversed(self.ledger.dots(key)):
                successors = self.ledger.superseders.get((key, each), [])
                judged[each] = self._ends(key, each) or any(judged.get(other, False) for other in successors)
        return self._accounted[key].get(dot, False)

    def _ends(self, key: bytes, dot: Dot) -> bool:
        """Return whether a version lives, or went for a lawful reason other than being superseded."""
        if dot in self.living.get(key, {}) or self.expired(key, dot) or self.evicted(key, dot):
            return True
        if self.invalidated(key, dot):
            return True
        return self.ledger.left_by(key, dot, StoreCause.REAP) > 0 or self.unprotected(key, dot)


def value_of(version: Version) -> bytes | None:
    """Return the bytes that a version's reader gets; None where there are none."""
    if version.kind != REGISTER or version.flags & EXPIRED:
        return None
    payload = version.payload[value_start(version.flags, version.payload, 0) :]
    if version.flags & RAW:
        return payload
    try:
        value = msgpack.unpackb(payload)
    except (ValueError, msgpack.UnpackException):
        return None
    return value if isinstance(value, bytes) else None


_last: list[Case] = []
"""The case of the last evidence. One is kept, so that the judges of one run share it."""
