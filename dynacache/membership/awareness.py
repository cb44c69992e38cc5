"""How well this node itself is doing: the local health of Lifeguard.

A failure detector that is starved of CPU sees everybody else as late. Lifeguard counts signs of that: own probes that
fail, NACKs that do not come, accusations against oneself, and here also measured delays of the own event loop, which
is what a garbage collection or a long decode looks like in Python. The count stretches the probe period and timeout,
so a slow node accuses more slowly.

Invariant: 0 <= score < limit. Source: Dadgar et al., "Lifeguard: Local Health Awareness for More Accurate Failure
Detection" (2017), section 3.
"""

from __future__ import annotations

import attrs

from dynacache.config.membership import MembershipConfig

__all__ = ["LocalHealth"]


@attrs.define
class LocalHealth:
    """The local health score: 0 is well, `health_limit` - 1 is the worst that is told apart."""

    _config: MembershipConfig
    score: int = 0

    @property
    def multiplier(self) -> int:
        """By how much probe period and timeout are stretched; at least 1."""
        return self.score + 1

    def adjust(self, change: int) -> None:
        """Add good (negative) or bad (positive) signs."""
        self.score = min(max(self.score + change, 0), self._config.health_limit - 1)

    def note_loop_lag(self, lag_s: float) -> None:
        """Take in a measured delay of the own event loop, in seconds."""
        if lag_s > self._config.lag_alarm_s:
            self.adjust(2)
        elif lag_s > self._config.lag_warning_s:
            self.adjust(1)
