"""Probes that this node carries out for others.

A member that got no answer from a target asks some others to try. Each of them pings the target under a sequence
number of its own, passes an ACK on, and sends a NACK when 80 % of a probe timeout went by without one: the NACK tells
the asker that the relay and the path to it are fine, so its own health is not in doubt (Lifeguard, section 3.1). The
entry stays until a whole probe period is over, since a late ACK is still worth passing on.

Invariants: at most `relay_limit` requests within one probe period; every entry ends. At the limit
a request is answered with a NACK at once.
"""

from __future__ import annotations

import heapq
import math
from typing import Final

import attrs

from dynacache.config.membership import MembershipConfig
from dynacache.membership.state import Address

__all__ = ["Relay", "RelayTable"]

_NACK_SHARE: Final = 0.8


@attrs.frozen
class Relay:
    """One probe for somebody else: who asked under which sequence, and about whom."""

    asker: Address
    asker_sequence: int
    target_id: str


@attrs.define
class RelayTable:
    """Probes for others under way, by our own sequence number."""

    _config: MembershipConfig
    _relays: dict[int, Relay] = attrs.field(factory=dict)
    _deadlines: list[tuple[float, int, bool]] = attrs.field(factory=list)

    def __len__(self) -> int:
        return len(self._relays)

    @property
    def is_full(self) -> bool:
        """True if no further request is taken."""
        return len(self._deadlines) >= 2 * self._config.relay_limit

    def add(self, sequence: int, relay: Relay, now_s: float) -> None:
        """Remember that our ping `sequence` is for somebody else."""
        assert not self.is_full
        self._relays[sequence] = relay
        heapq.heappush(self._deadlines, (now_s + _NACK_SHARE * self._config.probe_timeout_s, sequence, False))
        heapq.heappush(self._deadlines, (now_s + self._config.probe_period_s, sequence, True))

    def answered(self, sequence: int, sender_id: str) -> Relay | None:
        """The relay that this ACK of `sender_id` completes, if there is one; it is then over."""
        relay = self._relays.get(sequence)
        if relay is None or relay.target_id != sender_id:
            return None
        return self._relays.pop(sequence)

    def due(self, now_s: float) -> list[Relay]:
        """The relays for which a NACK is due; entries at their end are dropped."""
        late: list[Relay] = []
        while self._deadlines and self._deadlines[0][0] <= now_s:
            _, sequence, is_end = heapq.heappop(self._deadlines)
            if is_end:
                self._relays.pop(sequence, None)
            elif sequence in self._relays:
                late.append(self._relays[sequence])
        return late

    def next_deadline_s(self) -> float:
        """When `due` has something to look at; infinity if never."""
        return self._deadlines[0][0] if self._deadlines else math.inf
