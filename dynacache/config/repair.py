"""Anti-entropy between owners: how often, how fast, and how patient with what is under way.

What: the section that ``repair.exchange`` receives.

Invariant: intervals and rates are positive; a leaf is confirmed no later than the next exchange is due.

Why these numbers: brief section 8 (R8.4 to R8.6): ten seconds keep the gap short after a fault, and an exchange without
differences costs one small message pair; ten minutes for the walk that trusts no bookkeeping.
"""

import attrs

from dynacache.errors import InvalidOption

__all__ = ["RepairConfig"]


@attrs.frozen
class RepairConfig:
    """Intervals, rates and patience of the exchanges between owners."""

    exchange_interval_s: float = 10.0
    """Seconds between two exchanges with one peer, drawn 10 % shorter or longer; peers take turns in asking. Less finds
    a difference sooner, more costs less at rest."""

    walk_interval_s: float = 600.0
    """Seconds after which an exchange with differences looks at everything and not only at leaves known as changed, and
    a node that has room looks again at what could not be repaired."""

    confirm_s: float = 1.0
    """Seconds between the two comparisons that a leaf must fail before anything is sent for it."""

    young_ms: int = 2_000
    """Age below which an entry is left alone, and life left below which one is; writes need that long to arrive."""

    session_limit: int = 2
    """Exchanges that a node drives at the same time."""

    repair_bytes_per_s: int = 4 * 1024 * 1024
    """Bytes a second that a node sends and receives for repair, at least 65,536. Less heals more slowly and is felt
    less by clients."""

    pause_load: float = 0.5
    """Load (0 to 1) from which repair waits for clients."""

    busy_pause_s: float = 1.0
    """Seconds between two steps of an exchange while clients keep the node that busy; never none at all, or replicas
    of a busy cluster would drift apart for good."""

    answer_timeout_ms: int = 10_000
    """Milliseconds to wait for an answer before an exchange is given up until the next one."""

    def __attrs_post_init__(self) -> None:
        """Check that numbers are positive and the confirmation fits between two exchanges."""
        for field in attrs.fields(RepairConfig):
            value = getattr(self, field.name)
            if value <= 0:
                raise InvalidOption(f"repair.{field.name}: got {value}, expected a number above 0")
        if self.repair_bytes_per_s < 65_536:
            raise InvalidOption(f"repair.repair_bytes_per_s: got {self.repair_bytes_per_s}, expected at least 65536")
        if self.confirm_s > self.exchange_interval_s:
            raise InvalidOption(
                f"repair.confirm_s: got {self.confirm_s}, expected at most exchange_interval_s"
                f" ({self.exchange_interval_s})"
            )
