"""Which versions went with hints that were given up aloud.

What: ``lost_hints`` reads the notes of the nodes and the changes of their hint stores. A node that says ``hint.lost``
had removed the hint to offer it to the owners shortly before; one that says ``hints.left`` ends with what it still
keeps. What those hints held is returned, by key.

Invariant: only what a note speaks of is returned. A hint that vanishes without a note is nobody's excuse; nor is a loss
of hints for one target, or of one node, an excuse for what others kept.

Why the events and not the note: a note names the target and not the key, which may be private.
"""

from collections.abc import Mapping

from dynacache.versioning.actors import Dot

from ..evidence import Evidence
from ..history import HINT, StoreCause, StoreEvent
from ..ledger import dots_of

__all__ = ["lost_hints"]

_LATENESS_S = 1.0
_STANDSTILLS = frozenset({"pause", "slow"})


def lost_hints(evidence: Evidence) -> Mapping[bytes, frozenset[Dot]]:
    """Return, by key, the dots of every hint whose loss was told."""
    told = [
        note for note in evidence.notes if note[2] == "hint.lost" or (note[2] == "hints.left" and note[3]["counted"])
    ]
    if not told:
        return {}
    ended: dict[str, list[StoreEvent]] = {}
    for event in evidence.store_events:
        if event.place and event.after is None:
            ended.setdefault(event.node_id, []).append(event)
    found: dict[bytes, set[Dot]] = {}
    for at_s, node_id, name, fields in told:
        events = ended.get(node_id, [])
        if name == "hint.lost":
            lost = _offered(events, at_s, HINT + fields["target"], _offer_s(evidence, node_id))
        else:
            lost = _left(events, at_s)
        for event in lost:
            found.setdefault(event.key, set()).update(dots_of(event.before))
    return {key: frozenset(dots) for key, dots in found.items()}


def _offered(events: list[StoreEvent], at_s: float, place: str, offer_s: float) -> list[StoreEvent]:
    """Return the hints that were removed within the time that an offer takes before the note."""
    return [
        event
        for event in events
        if event.cause is StoreCause.REMOVE and event.place == place and at_s - offer_s <= event.at_s <= at_s
    ]


def _left(events: list[StoreEvent], at_s: float) -> list[StoreEvent]:
    """Return the hints that ended with the process that said so."""
    lost = [event for event in events if event.cause is StoreCause.LOST and event.at_s >= at_s]
    return [event for event in lost if event.incarnation == lost[0].incarnation]


def _offer_s(evidence: Evidence, node_id: str) -> float:
    """Return how long a node may wait before it says that an offer failed; one that stands still says it later."""
    standstills = [
        float(fault.arguments["duration_s"])
        for fault in evidence.faults
        if fault.kind in _STANDSTILLS and fault.arguments["node"] == node_id
    ]
    return evidence.options.write_timeout_ms / 1000 + max(standstills, default=0.0) + _LATENESS_S
