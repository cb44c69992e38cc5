"""I17: who subscribed is told what happened, once and in order, or told that something was lost.

What: two things. *Truth*: each event that a node had for its subscribers is one of a version that this node minted at
that moment (set, delete), or of an entry that went there then (expire, evict), one event for each; and while it has
subscribers no mint passes without one, but for touches, and for deletes that may have found nothing. When all is calm,
an expiry is told by one node. *Telling*: what a subscriber heard of a node is, in order, what happened there from its
subscription on, but for as many as it was told to have lost, or any number where nobody could know. A question that was
answered with nothing was told all that had happened before it was asked. At the end every running node was asked so.

Invariant kept by: ``coordination.key_events``, ``client.watching``.

What the promise leaves out (docs/keys.md): events of one write that was tried again at another coordinator, and of one
expiry while nodes disagree on who can be reached, are several; what happens to a copy that is being filled is not told.

How the telling is judged: by the set of places in the list of what happened at which the subscriber may stand. An event
moves each place over its like, a loss of n by n, an unknown loss to anywhere behind; an empty set is a breach.
"""

from collections import Counter
from collections.abc import Iterator

from dynacache.storage.records import is_tombstone
from dynacache.types import KeyChange
from dynacache.versioning.kernel import COUNTER, REGISTER, TOMBSTONE, resolve
from dynacache.versioning.layout import decode

from ..evidence import Evidence, KeyHappening, Subscriber, Told, Violation
from ..history import OperationKind, StoreCause, StoreEvent
from ..ledger import Mint
from .case import DELETERS, Case
from .memory_losses import founded_since

__all__ = ["check"]

_Moment = tuple[str, bytes, float]
"""A node, a key, a virtual second."""


def check(evidence: Evidence) -> list[Violation]:
    """Return a violation for each event that was made up, told twice or not at all."""
    if not evidence.subscribers:
        return []
    case = Case.of(evidence)
    happened = [each for each in evidence.happenings if each.key]
    found = [*_made_up(case, happened), *_untold(case, happened), *_expiries(case, happened)]
    for subscriber in evidence.subscribers:
        for node_id in sorted({each.node_id for each in evidence.told if each.name == subscriber.name}):
            told = [each for each in evidence.told if (each.name, each.node_id) == (subscriber.name, node_id)]
            events = [each for each in happened if each.node_id == node_id and _wanted(subscriber, each)]
            found += _follow(subscriber, told, events)
        found += _in_the_end(evidence, subscriber)
    return found


# Truth


def _made_up(case: Case, happened: list[KeyHappening]) -> Iterator[Violation]:
    """Yield each event that nothing stands behind."""
    causes: dict[int, Counter[_Moment]] = {change: Counter() for change in KeyChange}
    for mint in case.ledger.mints.values():
        change = KeyChange.DELETE if mint.version.kind == TOMBSTONE else KeyChange.SET
        causes[change][_moment(mint.event)] += 1
    for event in case.evidence.store_events:
        if not event.place and event.cause is StoreCause.EXPIRE:
            causes[KeyChange.EXPIRE][_moment(event)] += 1
        elif not event.place and event.cause is StoreCause.EVICT:
            causes[KeyChange.EVICT][_moment(event)] += 1
    for each in happened:
        left = causes[each.change]
        moment = (each.node_id, each.key, each.at_s)
        left[moment] -= 1
        if left[moment] < 0:
            text = f"{each.node_id} had an event ({_name(each.change)}) at {each.at_s:.3f} s for nothing that happened"
            yield Violation("I17", each.key, text, (each.sequence,))


def _untold(case: Case, happened: list[KeyHappening]) -> Iterator[Violation]:
    """Yield each version that was minted while its node had subscribers, and of which none was told."""
    told = Counter((each.node_id, each.key, each.at_s, each.change) for each in happened)
    listening = _listening(case.evidence)
    for mint in case.ledger.mints.values():
        event = mint.event
        spans = listening.get((event.node_id, event.incarnation), [])
        if not any(begin < event.sequence < end for begin, end in spans):
            continue
        change = KeyChange.DELETE if mint.version.kind == TOMBSTONE else KeyChange.SET
        if told[(*_moment(event), change)] or (change is KeyChange.DELETE and not _found(case, mint)):
            continue
        if _touched(case, mint):
            continue
        text = f"{event.node_id} minted {mint.dot} ({_name(change)}) and had no event for its subscribers"
        yield Violation("I17", event.key, text, (event.sequence,))


def _listening(evidence: Evidence) -> dict[tuple[str, int], list[tuple[int, int]]]:
    """Return, by node and incarnation, from when to when it had subscribers."""
    spans: dict[tuple[str, int], list[tuple[int, int]]] = {}
    last = max((event.sequence for event in evidence.store_events), default=0) + 1
    for each in evidence.happenings:
        if each.key:
            continue
        known = spans.setdefault((each.node_id, each.incarnation), [])
        is_open = bool(known) and known[-1][1] > each.sequence
        if each.change and not is_open:
            known.append((each.sequence, last))
        elif not each.change and is_open:
            known[-1] = (known[-1][0], each.sequence)
    return spans


def _found(case: Case, mint: Mint) -> bool:
    """Return whether a delete superseded a value that its node had shown since before the delete was called: a delete
    looks before it writes, and what is written in between it has not found, nor what a blind delete hides (seed 153).
    """
    event = mint.event
    called = [
        operation.call_sequence
        for operation in case.evidence.history
        if operation.kind in DELETERS
        and operation.key == event.key
        and operation.call_sequence < event.sequence < (operation.return_sequence or 0)
    ]
    if event.before is None or event.place or not called:
        return False
    versions = decode(event.before).dots
    seen = resolve(versions, event.hybrid_ms)
    for dot in mint.superseded:
        if dot != seen.base and dot not in seen.cells:
            continue
        arrivals = case.ledger.arrivals.get((event.key, dot), [])
        here = [change.event.sequence for change in arrivals if change.event.node_id == event.node_id]
        version = versions[dot]
        if version.kind in (REGISTER, COUNTER) and not version.expire_ms and here and here[-1] < min(called):
            return True
    return False


def _touched(case: Case, mint: Mint) -> bool:
    """Return whether a touch may have minted a version: one that shortens a life writes over what it found."""
    return any(
        operation.kind is OperationKind.TOUCH
        and operation.key == mint.event.key
        and operation.call_sequence < mint.event.sequence
        for operation in case.evidence.history
    )


def _expiries(case: Case, happened: list[KeyHappening]) -> Iterator[Violation]:
    """Yield each expiry that two nodes told when all was calm, or that the first owner did not tell."""
    calm = case.evidence.calm_sequence
    if not calm:
        return
    tellers: dict[bytes, set[str]] = {}
    for each in happened:
        if each.sequence > calm and each.change == KeyChange.EXPIRE:
            tellers.setdefault(each.key, set()).add(each.node_id)
    for key, nodes in tellers.items():
        if len(nodes) > 1:
            text = f"{', '.join(sorted(nodes))} all told of its expiry, though they reach each other"
            yield Violation("I17", key, text, ())
    listening = _listening(case.evidence)
    for event in case.evidence.store_events:
        if event.sequence <= calm or event.cause is not StoreCause.EXPIRE or event.place or not _is_all(event):
            continue
        spans = listening.get((event.node_id, event.incarnation), [])
        is_first = case.evidence.owners.get(event.key, ("",))[0] == event.node_id
        heard = any(begin < event.sequence < end for begin, end in spans)
        if is_first and heard and event.node_id not in tellers.get(event.key, ()):
            yield Violation("I17", event.key, f"{event.node_id} did not tell of its expiry", (event.sequence,))


def _is_all(event: StoreEvent) -> bool:
    """Return whether nothing is left beside what expired."""
    return event.after is None or is_tombstone(event.after)


# Telling


def _wanted(subscriber: Subscriber, event: KeyHappening) -> bool:
    prefix, key = subscriber.prefix, event.key
    is_of_it = key.startswith(prefix) if prefix else key[:1] != b"\0" or key[:2] == b"\0\0"
    return is_of_it and bool(subscriber.changes & event.change)


def _follow(subscriber: Subscriber, told: list[Told], events: list[KeyHappening]) -> Iterator[Violation]:
    """Yield a violation if what was told of one node is not what happened there, and nothing else."""
    places: set[int] | None = None  # before the first subscription nobody expects anything
    for each in told:
        before = places
        if each.kind == "refused":
            return
        if each.kind == "subscribed":
            if places is None:
                begin = _after(events, max(subscriber.began_sequence, each.asked_sequence))
                places = set(range(begin, _after(events, each.sequence) + 1))
            continue
        if each.kind == "lost" and each.count is None:
            first = min(places) if places else 0
            places = set(range(first, _after(events, each.sequence) + 1))
            continue
        places = _moved(each, events, places or set())
        if not places:
            at = f"{_shown(each)}" if each.kind == "event" else f"{each.kind} {each.count or ''}"
            expected = [_shown(events[place]) for place in sorted(before or ())[:2] if place < len(events)]
            text = (
                f"{subscriber.name} heard {at} of {each.node_id} at {each.at_s:.3f} s, "
                f"where {' or '.join(expected) or 'nothing'} came next"
            )
            yield Violation("I17", each.key or None, text, (each.sequence,))
            return


def _moved(told: Told, events: list[KeyHappening], places: set[int]) -> set[int]:
    """Return where a subscriber may stand after it was told something."""
    if told.kind == "event":
        like = (told.change, told.key, told.event_ms)
        return {
            place + 1
            for place in places
            if place < len(events)
            and (events[place].change, events[place].key, events[place].hybrid_ms) == like
            and events[place].sequence < told.sequence
        }
    if told.kind == "lost":
        return {place + (told.count or 0) for place in places if place + (told.count or 0) <= len(events)}
    least = _after(events, told.asked_sequence)
    return {place for place in places if place >= least}


def _after(events: list[KeyHappening], sequence: int) -> int:
    """Return how many of the events happened before a moment."""
    return sum(each.sequence < sequence for each in events)


def _in_the_end(evidence: Evidence, subscriber: Subscriber) -> Iterator[Violation]:
    """Yield each running node that never told a subscriber at the end that there is nothing more."""
    told = [each for each in evidence.told if each.name == subscriber.name]
    if evidence.stopped_early or not evidence.calm_sequence or any(each.kind == "refused" for each in told):
        return
    if founded_since(evidence, subscriber.began_sequence):
        return
    for node_id in sorted(evidence.snapshots):
        quiet = [each.at_s for each in told if each.node_id == node_id and each.kind == "quiet"]
        if not quiet or max(quiet) < evidence.faults_end_s:
            text = f"{subscriber.name} has not been told by {node_id} in the end that there is nothing more"
            yield Violation("I17", None, text, ())


def _moment(event: StoreEvent) -> _Moment:
    return (event.node_id, event.key, event.at_s)


def _name(change: int) -> str:
    return str(KeyChange(change).name).lower()


def _shown(event: KeyHappening | Told) -> str:
    return f"{_name(event.change)} of {event.key!r}"
