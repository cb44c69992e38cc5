"""I11: repair costs bytes in proportion to the differences it repairs, and nothing at rest.

What: in each phase the bytes of repair are at most ``BYTES_A_DIFFERENCE`` for each difference plus ``FIXED_BYTES``; in
the phase ``rest``, when nobody asks anything and nothing is wrong, no record crosses the network.

Invariant kept by: today ``coordination.read_repair`` and ``coordination.hint_replay``, which are silent at rest; from
anti-entropy on, ``repair.exchange``.

Why the figures: some 260 bytes a difference were measured for a walk down the trees (brief section 8), beside the
values, which are counted apart.
"""

from ..evidence import Evidence, Traffic, Violation

__all__ = ["BYTES_A_DIFFERENCE", "FIXED_BYTES", "RECORD_MESSAGES", "check"]

BYTES_A_DIFFERENCE = 600
"""Bytes of repair for one difference, values left out."""

FIXED_BYTES = 20_000
"""Bytes of repair in a phase without any difference: the questions themselves."""

RECORD_MESSAGES = frozenset({"WRITE", "READ"})
"""Messages that carry records or ask for them; none of them is sent at rest. (A late answer may be.)"""


def check(evidence: Evidence) -> list[Violation]:
    """Return a violation for each phase that cost too much, and for traffic at rest."""
    return [
        violation for traffic in evidence.traffic for violation in (*_proportion(traffic), *_rest(evidence, traffic))
    ]


def _proportion(traffic: Traffic) -> list[Violation]:
    allowed = BYTES_A_DIFFERENCE * traffic.differences + FIXED_BYTES
    if traffic.repair_bytes <= allowed:
        return []
    text = (
        f"repair took {traffic.repair_bytes} bytes in phase {traffic.phase} for {traffic.differences} differences, "
        f"at most {allowed} are allowed"
    )
    return [Violation("I11", None, text, ())]


def _rest(evidence: Evidence, traffic: Traffic) -> list[Violation]:
    if traffic.phase != "rest":
        return []
    judged = RECORD_MESSAGES - {"WRITE"} if _hints_wait_for_room(evidence) else RECORD_MESSAGES
    sent = {name: count for name, count in sorted(traffic.messages.items()) if name in judged and count}
    return [Violation("I11", None, f"at rest the nodes sent {sent}", ())] if sent else []


def _hints_wait_for_room(evidence: Evidence) -> bool:
    """Return whether a hint is offered to its target again and again whose full store has no room for it."""
    return any(
        target in evidence.snapshots and key in evidence.snapshots[target].refused
        for snapshot in evidence.snapshots.values()
        for target, key, _ in snapshot.hints
    )
