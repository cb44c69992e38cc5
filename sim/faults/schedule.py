"""A schedule of faults is data: it can be printed, kept, replayed and shrunk.

What: ``Fault`` is one thing that goes wrong at one moment, with plain arguments; ``FAULT_KINDS`` names what there is
and which arguments each takes. ``to_json`` and ``from_json`` carry a schedule there and back.

Invariant: a fault that lasts carries its own end (``duration_s``), so that any subset of a schedule is a schedule.
Nodes are named; a fault on a node that is not in the right state for it (a crash of one that is down) does nothing.

Why durations and not pairs of begin and end: while shrinking, a lone end would be noise and a lone begin would never
heal.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

import attrs

__all__ = ["FAULT_KINDS", "Fault", "from_json", "to_json"]

FAULT_KINDS: Final[dict[str, tuple[str, ...]]] = {
    "cut": ("sources", "targets", "duration_s"),  # nothing from any source reaches any target; streams stall or break
    "split": ("side", "duration_s"),  # nodes of side and all others lose each other, both ways; clients see all
    "isolate": ("node", "duration_s"),  # one node away from all others and all clients
    "loss": ("rate", "duration_s"),  # datagrams lost, stream frames delayed as by retransmission
    "duplicate": ("rate", "duration_s"),  # datagrams delivered twice, the second late
    "reorder": ("rate", "duration_s"),  # datagrams held back
    "corrupt": ("rate", "duration_s"),  # a byte of a datagram or frame is changed; a corrupt stream breaks
    "delay": ("node", "extra_s", "duration_s"),  # every message to and from the node takes longer
    "reset": ("first", "second"),  # every connection between two nodes breaks at once
    "pause": ("node", "duration_s"),  # the process stands still; what arrives waits
    "slow": ("node", "factor_s", "duration_s"),  # every turn of the node takes this long
    "crash": ("node", "down_s"),  # memory lost; started again after down_s
    "stop": ("node", "within_s", "down_s"),  # asked to stop gracefully; started again after down_s
    "join": ("node",),  # a node that was never there comes in by the seeds and becomes an owner
    "leave": ("node", "down_s"),  # asked to give its place up; started again so long after it has ended, to join again
    "remove": ("node", "after_s", "down_s"),  # killed; then removed for good; started after down_s, to join again
    "wipe": ("nodes", "apart_s", "down_s"),  # killed one after the other, each started again empty after down_s
    "standstill": ("nodes", "duration_s"),  # all these processes stand still at once
    "blackout": ("duration_s",),  # no node reaches any other; clients reach all
    "clock_wrong": ("node", "offset_ms", "duration_s"),  # the wall clock jumps beyond the skew that is borne, and back
    "repair_now": ("node",),  # an operator asks for repair of everything
    "clock_offset": ("node", "offset_ms", "duration_s"),  # the wall clock jumps, and back at the end
    "clock_drift": ("node", "parts_per_million", "duration_s"),
    "memory": ("node", "limit_bytes", "duration_s"),  # the store's limit is lowered
}
"""Kinds and their arguments."""


@attrs.frozen
class Fault:
    """One fault; ``at_s`` counts from the begin of the safety phase (negative: during start-up)."""

    at_s: float
    kind: str
    arguments: dict[str, Any] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Check kind and arguments."""
        wanted = FAULT_KINDS.get(self.kind)
        if wanted is None:
            raise ValueError(f"fault: got kind {self.kind!r}, expected one of {', '.join(sorted(FAULT_KINDS))}")
        if set(self.arguments) != set(wanted):
            raise ValueError(f"fault {self.kind}: got {sorted(self.arguments)}, expected {sorted(wanted)}")


def to_json(faults: Sequence[Fault]) -> str:
    """Return a schedule as JSON text."""
    return json.dumps([[fault.at_s, fault.kind, fault.arguments] for fault in faults], sort_keys=True)


def from_json(text: str) -> tuple[Fault, ...]:
    """Return the schedule of a text that ``to_json`` made; raises ValueError."""
    return tuple(Fault(at_s, kind, arguments) for at_s, kind, arguments in json.loads(text))
