"""I8: no live healthy member is removed, every dead one is noticed in bounded time, and the views converge.

What: from the life of the machines and the faults as applied, what must have been noticed is computed; the membership
events say what was. At the end everyone who runs is alive to everyone who runs.

Invariant kept by: ``membership.swim``, ``membership.suspicion``, ``membership.evidence``.

``DETECTION_S`` is a bound, not an estimate: one round of probes, the longest suspicion, and the spread of the rumour. A
verdict is called false only if nothing at all had been wrong for ``QUIET_S`` before it: a network that loses datagrams
may bury a healthy node for a while, and be contradicted.
"""

import attrs

from dynacache.config import MembershipConfig
from dynacache.membership.state import NodeState
from dynacache.placement.table import MemberState

from ..evidence import Evidence, MembershipEvent, Violation

__all__ = ["DETECTION_S", "QUIET_S", "check"]

QUIET_S = 45.0
"""After this long without any fault a verdict rests on nothing but the protocol."""

_HARMLESS_TO_OTHERS = frozenset({"crash", "stop", "join", "memory", "leave", "remove", "wipe", "repair_now"})
"""Faults that leave the network, the clocks and the processes of all other members as they are."""

_HEALTHY_LOSS = 0.02
"""Loss, duplication and reordering below this never bury a healthy member."""


def _detection_s() -> float:
    settings = MembershipConfig.simulated()
    suspicion_s = settings.suspicion_minimum_factor * settings.suspicion_maximum_factor * settings.probe_period_s
    return 2 * 10 * settings.probe_period_s + suspicion_s + settings.push_pull_interval_s


DETECTION_S = _detection_s()
"""A dead member is noticed by everyone who is well within this."""


@attrs.frozen
class _Span:
    """A stretch of time in which a machine is up, or something is wrong."""

    begin_s: float
    end_s: float

    def meets(self, begin_s: float, end_s: float) -> bool:
        """Return whether it has a moment in common with another stretch."""
        return self.begin_s <= end_s and begin_s <= self.end_s


def check(evidence: Evidence) -> list[Violation]:
    """Return a violation for each false verdict, each death that went unnoticed, and each view that stayed wrong."""
    up = _spans_up(evidence)
    trouble = _trouble(evidence)
    return [*_removed(evidence, up, trouble), *_false_verdicts(evidence, up, trouble),
            *_unnoticed(evidence, up, trouble), *_final_views(evidence)]  # fmt: skip


def _spans_up(evidence: Evidence) -> dict[str, list[_Span]]:
    """Return when each node was serving."""
    found: dict[str, list[_Span]] = {}
    since: dict[str, float] = {}
    for event in evidence.machines:
        if event.kind == "serving":
            since[event.node_id] = event.at_s
        elif event.kind in ("crashed", "stopping", "stopped", "halted") and event.node_id in since:
            found.setdefault(event.node_id, []).append(_Span(since.pop(event.node_id), event.at_s))
    for node_id, at_s in since.items():
        found.setdefault(node_id, []).append(_Span(at_s, evidence.end_s))
    return found


def _trouble(evidence: Evidence) -> list[_Span]:
    """Return when anything was wrong with the network, a clock or a process (a plain crash harms no third)."""
    spans = []
    options = evidence.options
    if max(options.loss_rate, options.corrupt_rate) > _HEALTHY_LOSS:
        spans.append(_Span(evidence.start_s, max(evidence.faults_end_s, evidence.start_s)))
    safety_s = _safety_begin_s(evidence)
    for fault in evidence.faults:
        if fault.kind not in _HARMLESS_TO_OTHERS:
            begin_s = safety_s + fault.at_s
            spans.append(_Span(begin_s, begin_s + float(fault.arguments.get("duration_s", 0.0))))
    return spans


def _safety_begin_s(evidence: Evidence) -> float:
    return next((each.begin_s for each in evidence.traffic if each.phase == "safety"), evidence.start_s)


def _is_up(up: dict[str, list[_Span]], node_id: str, begin_s: float, end_s: float) -> bool:
    return any(span.begin_s <= begin_s and end_s <= span.end_s for span in up.get(node_id, []))


def _removed(evidence: Evidence, up: dict[str, list[_Span]], trouble: list[_Span]) -> list[Violation]:
    """A member that was cut off or stood still is rightly removed in the end, though its process is up."""
    found = []
    window_s = QUIET_S + evidence.options.auto_remove_after_s
    for event in evidence.tables:
        begin_s = event.at_s - window_s
        if any(span.meets(begin_s, event.at_s) for span in trouble):
            continue
        for node_id, state, _, _ in event.members:
            if state == MemberState.REMOVED and _is_up(up, node_id, begin_s, event.at_s):
                text = f"{event.node_id} took {node_id} for removed, which was up and well"
                found.append(Violation("I8", None, text, (event.sequence,)))
    return found


def _false_verdicts(evidence: Evidence, up: dict[str, list[_Span]], trouble: list[_Span]) -> list[Violation]:
    found = []
    for event in evidence.membership:
        if event.state != "dead":
            continue
        begin_s = event.at_s - QUIET_S
        if begin_s < evidence.start_s or any(span.meets(begin_s, event.at_s) for span in trouble):
            continue
        well = _is_up(up, event.subject, begin_s, event.at_s) and _is_up(up, event.observer, begin_s, event.at_s)
        if well:
            text = f"{event.observer} held {event.subject} dead, which had been well for {QUIET_S:.0f} s"
            found.append(Violation("I8", None, text, (event.sequence,)))
    return found


def _unnoticed(evidence: Evidence, up: dict[str, list[_Span]], trouble: list[_Span]) -> list[Violation]:
    found = []
    by_pair: dict[tuple[str, str], list[MembershipEvent]] = {}
    for event in evidence.membership:
        by_pair.setdefault((event.observer, event.subject), []).append(event)
    for subject, spans in up.items():
        for number, span in enumerate(spans):
            began_s = span.end_s
            back_s = spans[number + 1].begin_s if number + 1 < len(spans) else evidence.end_s
            until_s = began_s + DETECTION_S
            if until_s > back_s or any(each.meets(began_s - 5, until_s) for each in trouble):
                continue
            for observer in up:
                if observer == subject or not _is_up(up, observer, began_s, until_s):
                    continue
                if _held_alive(by_pair.get((observer, subject), []), until_s):
                    text = f"{observer} had not noticed {DETECTION_S:.0f} s after it that {subject} was gone"
                    found.append(Violation("I8", None, text, ()))
    return found


def _held_alive(events: list[MembershipEvent], at_s: float) -> bool:
    """Return whether the last word about a member up to a moment was that it lives (its first word is)."""
    states = [event.state for event in events if event.at_s <= at_s]
    return not states or states[-1] in ("alive", "suspect")


def _final_views(evidence: Evidence) -> list[Violation]:
    found = []
    running = sorted(evidence.snapshots)
    for observer in running:
        states = evidence.snapshots[observer].member_states
        for subject in running:
            if subject == observer or not states:
                continue
            state = states.get(subject)
            if state != NodeState.ALIVE:
                shown = "unknown" if state is None else NodeState(state).name.lower()
                text = f"at the end {subject} runs, and to {observer} it is {shown}"
                found.append(Violation("I8", None, text, ()))
    return found
