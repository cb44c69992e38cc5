"""I14: no dot is minted twice, and a dot leaves the cluster only for a reason that is on record.

What: the ledger's breaches (a dot that is another version than it was, one that nobody minted, a clock that forgot),
and every departure by a write or a merge: what is stored instead must cover the dot, and some version must have
superseded it.

Invariant kept by: ``versioning.actors``, ``versioning.packed.mint``, ``versioning.kernel.merge``.

What an epoch has ended may be dropped by whatever comes next: it is over everywhere, and so is all that it superseded.

Why both conditions: a clock that covers a dot nobody superseded loses that write for good, everywhere it is merged.
"""

from dynacache.versioning.actors import Dot

from ..evidence import Evidence, Violation
from ..history import OperationKind, OperationRecord, StoreCause
from ..ledger import Breach, Mint, dots_of
from .case import Case

__all__ = ["check"]


def check(evidence: Evidence) -> list[Violation]:
    """Return a violation for each dot minted twice, made up, or dropped without a reason."""
    case = Case.of(evidence)
    found = [
        Violation("I14", breach.key, breach.text, (breach.sequence,))
        for breach in case.ledger.breaches
        if breach.invariant == "I14" and not _was_over(case, breach)
    ]
    return [*found, *_departures(case), *_overreaching(case)]


def _was_over(case: Case, breach: Breach) -> bool:
    """Return whether epochs had ended all that was held in the place that something was forgotten of."""
    if not case.invalidations.epochs:
        return False
    event = next((event for event in case.evidence.store_events if event.sequence == breach.sequence), None)
    dots = () if event is None else dots_of(event.before)
    return bool(dots) and all(case.invalidated(breach.key, dot) for dot in dots)


def _departures(case: Case) -> list[Violation]:
    found = []
    for (key, dot), changes in case.ledger.departures.items():
        superseded = (key, dot) in case.ledger.superseders or case.expired(key, dot)
        for change in changes:
            event = change.event
            if event.cause not in (StoreCause.PUT, StoreCause.MERGE):
                continue
            if (change.lawful and superseded) or case.invalidated(key, dot):
                continue
            reason = "what replaced it had superseded nothing" if change.lawful else "what replaced it had not seen it"
            text = f"{event.node_id} dropped {dot}: {reason}"
            found.append(Violation("I14", key, text, (event.sequence,)))
            break
    return found


def _overreaching(case: Case) -> list[Violation]:
    """A set without a version covers what its coordinator held, and not a dot more."""
    found = []
    for operation in case.evidence.history:
        if operation.kind is not OperationKind.SET or operation.arguments.get("version"):
            continue
        for mint in case.mints_of(operation):
            if _by_a_touch(case, operation, mint):
                continue
            beyond = [dot for dot in mint.beyond if not _ended_there(case, mint, dot)]
            if beyond and not mint.event.place:
                text = (
                    f"operation {operation.number} (set without a version) covers {beyond[0]}, "
                    f"which {mint.event.node_id} did not hold"
                )
                found.append(Violation("I14", operation.key, text, (mint.event.sequence,)))
    return found


def _by_a_touch(case: Case, operation: OperationRecord, mint: Mint) -> bool:
    """Return whether a touch may have minted the version: one that shortens a life writes the value again, over what it
    has read, after the set that wrote it first has returned (seed 50099)."""
    return mint.event.sequence > (operation.return_sequence or mint.event.sequence) and any(
        each.kind is OperationKind.TOUCH and each.key == operation.key and each.call_sequence < mint.event.sequence
        for each in case.evidence.history
    )


def _ended_there(case: Case, mint: Mint, dot: Dot) -> bool:
    """Return whether a dot, or one that had superseded it, had expired where a mint took place: its record stays until
    its second, and so does its clock, which the mint then follows."""
    key = mint.event.key
    return any(
        change.event.cause is StoreCause.EXPIRE
        and change.event.node_id == mint.event.node_id
        and change.event.incarnation == mint.event.incarnation
        and change.event.sequence < mint.event.sequence
        for each in (dot, *case.ledger.successors(key, dot))
        for change in case.ledger.departures.get((key, each), ())
    )
