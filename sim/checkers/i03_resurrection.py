"""I3: what is gone stays gone, and a touch never changes the winner.

What: five things are breaches. A node takes back a version that it had seen superseded, or a touch changes what is held
(the ledger's entries). A version lives at the end although one that superseded it was acknowledged and not lost within
the fault model. A read returns a value well after the longest life it was ever given. A read returns bytes that nobody
wrote. A store drops a value as expired well before its time.

Invariant kept by: ``versioning.kernel`` (merge, expire, touch), ``storage.expiry``, ``storage.reaper``.

Slack: clocks differ by what the options and the faults say, and a coordinator accepts ``max_clock_skew`` on top, so a
life may end that much later in true time.

Known limits, left out: a touch that crosses a write (``versioning.kernel``). A tombstone that lives on although a write
superseded it: its successor was evicted where it was known, a reader gets a miss either way, and the tombstone goes by
age. So what is judged is which values live, not which tombstones are left over.
"""

from dynacache.types import Level
from dynacache.versioning.actors import Dot
from dynacache.versioning.kernel import TOMBSTONE, Version
from dynacache.versioning.layout import decode

from ..evidence import Evidence, Violation
from ..history import OperationKind, OperationRecord, Outcome, StoreCause
from ..ledger import Mint, dots_of
from . import i03_invalidations, i03_lives
from .case import Case

__all__ = ["check"]

_MAX_CLOCK_SKEW_S = 0.5
_LATENESS_S = 0.2


def check(evidence: Evidence) -> list[Violation]:
    """Return a violation for each value that came back, and each that nobody wrote."""
    case = Case.of(evidence)
    found = [
        Violation("I3", breach.key, breach.text, (breach.sequence,))
        for breach in case.ledger.breaches
        if breach.invariant == "I3"
    ]
    found += [*_alive_at_the_end(case), *_too_early(case), *_reads(case)]
    return [*found, *i03_invalidations.check(evidence), *i03_lives.check(evidence)]


def _is_value(version: Version) -> bool:
    """A tombstone that outlived its successor shows nobody anything: that one was evicted, and a miss is a miss."""
    return version.kind != TOMBSTONE


def _alive_at_the_end(case: Case) -> list[Violation]:
    found = []
    acknowledged = {
        (operation.key, mint.dot): (operation, [each.dot for each in mints])
        for operation, mints in case.acknowledged()
        for mint in mints
    }
    for key, living in sorted(case.living.items()):
        for dot in sorted(dot for dot, version in living.items() if _is_value(version)):
            successors = case.ledger.successors(key, dot)
            for successor in sorted(successors):
                operation, minted = acknowledged.get((key, successor), (None, []))
                # Of a write that was tried again elsewhere one version was acknowledged, and nobody can tell which.
                if operation is None or not successors.issuperset(minted) or not _binds(case, key, dot, successor):
                    continue
                text = (
                    f"version {dot} lives at the end, although operation {operation.number} "
                    f"({operation.kind.value}, acknowledged) superseded it by {successor}"
                )
                sequences = (case.ledger.mints[key, successor].event.sequence, operation.return_sequence or 0)
                found.append(Violation("I3", key, text, sequences))
                break
    return found


def _binds(case: Case, key: bytes, dot: Dot, successor: Dot) -> bool:
    """Return whether the successor had to be remembered where the dot lives: neither it nor what took its place was
    evicted or lost, no touch crossed it, and the store that holds the dot did not refuse it for want of room."""
    if (key, dot) in case.ledger.touched or _refused_there(case, key, dot):
        return False
    followers = (successor, *case.ledger.successors(key, successor))
    return not any(case.evicted(key, each) or case.unprotected(key, each) for each in followers)


def _refused_there(case: Case, key: bytes, dot: Dot) -> bool:
    """Return whether all who hold a dot at the end are stores that refused the last they were to merge of its key."""
    holders = [
        snapshot
        for snapshot in case.evidence.snapshots.values()
        if dot in dots_of(snapshot.records.get(key))
        or any(hinted == key and dot in dots_of(record) for _, hinted, record in snapshot.hints)
    ]
    return bool(holders) and all(key in snapshot.refused for snapshot in holders)


def _too_early(case: Case) -> list[Violation]:
    """Find what expired in some store well before the end that its writer gave it."""
    found = []
    slack_s = _slack_s(case.evidence)
    for (key, dot), changes in case.ledger.departures.items():
        mint = case.ledger.mints.get((key, dot))
        for change in changes:
            event = change.event
            if mint is None or event.cause is not StoreCause.EXPIRE or event.before is None or event.place:
                continue
            version = decode(event.before).dots[dot]
            # From its mint and not from its time: a fill has that of its miss, a shortened life that of its value.
            lasts_s = (version.expire_ms - mint.event.hybrid_ms) / 1000
            if version.expire_ms and event.at_s + slack_s < mint.event.at_s + lasts_s:
                early_s = mint.event.at_s + lasts_s - event.at_s
                text = f"{dot} expired at {event.node_id} {early_s:.1f} s before its time"
                found.append(Violation("I3", key, text, (mint.event.sequence, event.sequence)))
                break
    return found


def _reads(case: Case) -> list[Violation]:
    found = []
    slack_s = _slack_s(case.evidence)
    for read in case.evidence.history:
        if read.kind is not OperationKind.GET or read.outcome is not Outcome.OK or not isinstance(read.result, bytes):
            continue
        mints = case.minted_value(read.key, read.result)
        if not mints:
            if case.evidence.store_events:
                found.append(_violation(read, f"read {read.result[:40]!r}, which nobody wrote", ()))
        elif all(_over(case, mint, read.call_s, slack_s) for mint in mints):
            text = f"read {read.result[:40]!r} after the end of its life"
            found.append(_violation(read, text, tuple(mint.event.sequence for mint in mints)))
    return found


def _over(case: Case, mint: Mint, at_s: float, slack_s: float) -> bool:
    """Return whether a version's life had ended at this moment, whatever the clocks said."""
    life_ms = case.ledger.life_ms[mint.event.key, mint.dot]
    if not life_ms:
        return False
    lasted_s = (life_ms - (mint.version.time >> 16)) / 1000
    return mint.event.at_s + lasted_s + slack_s < at_s


def _slack_s(evidence: Evidence) -> float:
    options = evidence.options
    offset_ms = max([0.0, *_arguments(evidence, "clock_offset", "offset_ms")]) + options.clock_offset_ms
    drift_ppm = max([float(options.clock_drift_ppm), *_arguments(evidence, "clock_drift", "parts_per_million")])
    drift_s = drift_ppm * 1e-6 * (evidence.end_s - evidence.start_s)
    # A client that hangs on a paused node hears late of a read that was in time; the call's moment is what counts.
    return 2 * offset_ms / 1000 + 2 * drift_s + _MAX_CLOCK_SKEW_S + _LATENESS_S


def _arguments(evidence: Evidence, kind: str, name: str) -> list[float]:
    return [abs(float(fault.arguments[name])) for fault in evidence.faults if fault.kind == kind]


def _violation(read: OperationRecord, text: str, sequences: tuple[int, ...]) -> Violation:
    named = f"operation {read.number} (get at {Level(read.level).name.lower()}) {text}"
    return Violation("I3", read.key, named, (read.call_sequence, read.return_sequence or 0, *sequences))
