"""I11: repair costs bytes in proportion to the differences it repairs, and nothing at rest.

What: in each phase in which no process ends, repair sends at most ``BYTES_A_DIFFERENCE`` and a value for each
difference, ``BYTES_AN_EXCHANGE`` for each exchange, and ``FIXED_BYTES`` for walks. In the phase ``rest``, when nobody
asks anything and nothing is wrong, an exchange costs ``BYTES_AT_REST`` and no record crosses the network.

Invariant kept by: ``repair.exchange`` and its parts, ``coordination.hint_replay``.

Why the figures: some 260 bytes a difference were measured for a walk down the trees (brief section 8), beside the
values; 79 bytes are sent for an exchange of equal copies.
"""

from dynacache.versioning.kernel import SIBLING_LIMIT

from ..evidence import Evidence, Traffic, Violation

__all__ = ["BYTES_AN_EXCHANGE", "BYTES_AT_REST", "BYTES_A_DIFFERENCE", "FIXED_BYTES", "RECORD_MESSAGES", "check"]

BYTES_A_DIFFERENCE = 600
"""Bytes of repair for one difference, values left out."""

BYTES_AN_EXCHANGE = 400
BYTES_AT_REST = 150

FIXED_BYTES = 40_000
"""Bytes of repair in a phase without any difference: walks through copies that were never compared."""

RECORD_MESSAGES = frozenset({"WRITE", "READ", "RECORDS", "PULL"})
"""Messages that carry records or ask for them; none of them is sent at rest. (A late answer may be.)"""

_NEARLY_FULL_SHARE = 0.75
_SHORT_WALK_INTERVAL_S = 60.0

_WITHOUT_ENDS = frozenset({"drain", "settle", "rest", "read"})
"""Phases in which no process ends, and with it its account."""


def check(evidence: Evidence) -> list[Violation]:
    """Return a violation for each phase that cost too much, and for traffic at rest."""
    return [
        violation
        for traffic in evidence.traffic
        for violation in (*_proportion(evidence, traffic), *_rest(evidence, traffic))
    ]


def _proportion(evidence: Evidence, traffic: Traffic) -> list[Violation]:
    value_bytes = SIBLING_LIMIT * evidence.options.value_bytes_maximum
    allowed = (BYTES_A_DIFFERENCE + value_bytes) * traffic.differences
    exchanges = traffic.exchanges + len(evidence.snapshots)  # each node may have had one under way when it began
    allowed += (BYTES_AT_REST if traffic.phase == "rest" else BYTES_AN_EXCHANGE) * exchanges
    if traffic.phase != "rest" or any(snapshot.evicted for snapshot in evidence.snapshots.values()):
        allowed += FIXED_BYTES  # what was evicted differs until it is settled, and is looked at until then
    if traffic.phase not in _WITHOUT_ENDS or traffic.repair_bytes <= allowed:
        return []
    text = (
        f"repair took {traffic.repair_bytes} bytes in phase {traffic.phase} for {traffic.differences} differences, "
        f"at most {allowed} are allowed"
    )
    return [Violation("I11", None, text, ())]


def _rest(evidence: Evidence, traffic: Traffic) -> list[Violation]:
    if traffic.phase != "rest":
        return []
    judged = RECORD_MESSAGES - _offers_without_room(evidence)
    sent = {name: count for name, count in sorted(traffic.messages.items()) if name in judged and count}
    return [Violation("I11", None, f"at rest the nodes sent {sent}", ())] if sent else []


def _has_some_room(evidence: Evidence) -> bool:
    """Return whether a nearly full store may have had room for a moment, when settled differences are looked at again:
    once in a walk interval, which here may be a few seconds."""
    options = evidence.options
    nearly_bytes = options.storage_limit_bytes * _NEARLY_FULL_SHARE
    nearly = any(snapshot.used_bytes > nearly_bytes for snapshot in evidence.snapshots.values())
    return nearly and options.walk_interval_s < _SHORT_WALK_INTERVAL_S


def _offers_without_room(evidence: Evidence) -> set[str]:
    """Return the messages that offer again and again what a full store has no room for: hints, and what differs."""
    full = {node_id: snapshot.refused for node_id, snapshot in evidence.snapshots.items() if snapshot.refused}
    hinted = {(target, key) for snapshot in evidence.snapshots.values() for target, key, _ in snapshot.hints}
    offers = {"RECORDS"} if full or _has_some_room(evidence) else set()
    return offers | ({"WRITE"} if any(key in full.get(target, ()) for target, key in hinted) else set())
