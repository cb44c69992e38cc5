"""What a membership core has done so far, as plain numbers.

A core counts in one mutable record of integers, the cheapest counter there is in Python; whoever wants to look gets a
frozen copy together with the gauges of that moment. Metrics, logs, tests and the simulator read the same copy, and
none of them can disturb the core.

Invariant: counters never decrease.
"""

from __future__ import annotations

import attrs

from dynacache.membership.datagram import Rejection

__all__ = ["Counters", "MembershipStatistics"]


@attrs.define
class Counters:
    """Running totals; the core adds to them."""

    datagrams_sent: int = 0
    datagrams_received: int = 0
    bytes_sent: int = 0
    gossip_sent: int = 0
    """Datagrams with rumours alone, among `datagrams_sent`."""
    rumour_bytes_sent: int = 0
    """Those datagrams, and the rumours that rode on others, among `bytes_sent`."""
    bytes_received: int = 0
    streams_sent: int = 0
    streams_received: int = 0
    streams_rejected: int = 0
    messages_skipped: int = 0
    rejections: dict[Rejection, int] = attrs.field(factory=lambda: dict.fromkeys(Rejection, 0))
    probes: int = 0
    probes_failed: int = 0
    probes_answered_by_stream_only: int = 0
    indirect_probes: int = 0
    nacks_missed: int = 0
    relayed: int = 0
    relays_refused: int = 0
    suspicions: int = 0
    confirmations: int = 0
    last_calls: int = 0
    last_calls_omitted: int = 0
    deaths_declared: int = 0
    refutations: int = 0
    stale_claims_answered: int = 0
    stale_claims_unanswered: int = 0
    corrections: int = 0
    reminders: int = 0
    accusations_pending_dropped: int = 0
    members_refused: int = 0
    exchanges: int = 0
    reconnects: int = 0
    pauses: int = 0


@attrs.frozen
class MembershipStatistics:
    """A frozen copy of the totals, and the gauges of the moment."""

    counters: Counters
    alive: int
    suspect: int
    dead: int
    left: int
    local_health: int
    rumours: int
    rumours_dropped: int
    suspicions_running: int
    accusations_pending: int
    probe_timeout_s: float
