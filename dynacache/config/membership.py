"""Every figure of the membership protocol, in one frozen value.

The defaults suit a local network and Python processes that may be held up for some hundred milliseconds by a
collection or by other work on the machine. Figures that depend on each other are checked together when the value is
made, so a core never meets an impossible combination. Sources: SWIM (Das et al. 2002), Lifeguard (Dadgar et al.
2017); rules R3.5 to R3.14 of the brief.

Invariant: a MembershipConfig that exists is consistent. Times are in seconds, sizes in bytes, as the names say.
"""

from typing import Self

import attrs

from dynacache.errors import InvalidOption

__all__ = ["MembershipConfig"]

_PACKET_MINIMUM_BYTES = 1_024
_PACKET_MAXIMUM_BYTES = 60_000


@attrs.frozen(kw_only=True)
class MembershipConfig:
    """The settings of one SWIM core. Raises InvalidOption, naming the field, for an impossible value."""

    probe_period_s: float = 1.0
    """One other member is probed each period, stretched by (local health + 1). Shorter finds a death sooner and costs
    two packets a period and node; longer saves them."""

    probe_timeout_s: float = 0.5
    """The most that a direct probe waits before others are asked to help, stretched by (local health + 1). The wait
    itself adapts to three times the 99th percentile of measured round trips and stays between this and
    `probe_timeout_minimum_s`."""

    probe_timeout_minimum_s: float = 0.1
    """The least that a direct probe waits. Lower asks for help too eagerly when a process is held up for a moment."""

    indirect_probes: int = 3
    """How many other members are asked to probe a target that did not answer. More of them lowers the chance that
    lost packets alone raise a suspicion."""

    suspicion_minimum_factor: float = 4.0
    """The shortest suspicion lasts this x max(1, log10 N) x probe period. Higher gives a slow node longer to
    contradict, and the cluster longer to notice a death."""

    suspicion_maximum_factor: float = 6.0
    """The longest suspicion is this x the shortest. A suspicion that nobody confirms lasts that long."""

    suspicion_confirmations: int = 2
    """After so many independent confirmations a suspicion has shrunk to its minimum. Taken as 0 in clusters too small
    to have so many other witnesses."""

    gossip_interval_s: float = 0.2
    """While there are rumours to spread, they are sent to `gossip_fanout` members this often. Nothing is sent
    otherwise."""

    gossip_fanout: int = 3
    """Members that one round of gossip goes to. Higher spreads faster for more packets."""

    gossip_to_dead_s: float = 30.0
    """For so long after its death a member still receives gossip, so that a wrongly buried one hears of it and
    contradicts."""

    rumour_sends_minimum: int = 8
    """The least number of times that each node sends one rumour. With 4, a rumour among five nodes stayed incomplete
    in 0.6 to 10.8 % of measured cases."""

    rumour_sends_factor: int = 4
    """A rumour is sent at most max(`rumour_sends_minimum`, this x ceil(log10(N + 1))) times by each node."""

    rumours_limit: int = 4_096
    """Rumours that wait to be sent. At the limit the most sent one is dropped and counted; a full exchange heals what
    it misses."""

    push_pull_interval_s: float = 30.0
    """How often the whole member table is exchanged with one random live member over a stream. Above 32 members the
    interval is multiplied by ceil(log2 N - 5) + 1, so that the load stays flat."""

    reconnect_interval_s: float = 10.0
    """How often, give or take a fifth, one member of the ring or seed that is not alive is contacted over a stream,
    for ever. This is what lets the halves of a split find each other; a longer interval heals later."""

    join_retry_s: float = 1.0
    """The first wait before seeds are contacted again while no other member is known; it doubles up to
    `reconnect_interval_s`."""

    forget_after_s: float = 86_400.0
    """A member that is DEAD or LEFT, and that is no member of the ring, is forgotten after so long."""

    health_limit: int = 8
    """Local health counts from 0 (fine) to this - 1. A higher limit lets a starved node slow its own accusations
    further."""

    lag_warning_s: float = 0.1
    """A delay of our own event loop above this counts as one bad sign for local health."""

    lag_alarm_s: float = 0.5
    """A delay of our own event loop above this counts as two, and holds back every verdict for one probe period: what
    we did not hear may lie unread in our own socket."""

    packet_limit_bytes: int = 1_400
    """The most bytes of one datagram, below the usual MTU so that none is fragmented. Must be the same or lower on
    senders than on receivers."""

    clock_skew_limit_ms: int = 30_000
    """A datagram stamped further from our wall clock than this is refused: it is the window in which replays are
    remembered."""

    replay_limit: int = 1_024
    """Stamps remembered for each sender to refuse replays. At the limit the oldest goes and everything not newer is
    refused."""

    members_limit: int = 4_096
    """Members in the table. At the limit a new one is not taken in, which is noted."""

    pending_limit: int = 256
    """Accusations kept about members not yet known. At the limit the oldest is dropped."""

    relay_limit: int = 256
    """Indirect probes carried out for others at once. At the limit a request is answered with a NACK at once."""

    answers_limit: int = 5
    """Stale claims answered in one gossip interval; the rest wait for a later claim or a full exchange."""

    last_calls_limit: int = 5
    """Members about whom is asked once more before they are held dead, in one gossip interval; more of them, as after
    a split, are held dead without. At 0 nobody is asked."""

    announce_limit: int = 16
    """Members that are told of our stop or leave at once; the others hear it as a rumour."""

    seeds_limit: int = 64
    """Seed addresses kept; `join` refuses more."""

    protocol_minimum: int = 1
    """The oldest datagram version that we understand. Packets whose range does not meet ours are refused, and noted."""

    protocol_maximum: int = 1
    """The newest datagram version that we understand."""

    def __attrs_post_init__(self) -> None:
        for field in attrs.fields(type(self)):
            _check_positive(field.name, getattr(self, field.name), zero=field.name in _MAY_BE_ZERO)
        for low, high in _ORDERED:
            if getattr(self, low) > getattr(self, high):
                raise InvalidOption(
                    f"membership.{low}: got {getattr(self, low)}, expected at most {high} ({getattr(self, high)})"
                )
        if self.suspicion_maximum_factor < 1:
            raise InvalidOption(
                f"membership.suspicion_maximum_factor: got {self.suspicion_maximum_factor}, expected at least 1"
            )
        if not _PACKET_MINIMUM_BYTES <= self.packet_limit_bytes <= _PACKET_MAXIMUM_BYTES:
            raise InvalidOption(
                f"membership.packet_limit_bytes: got {self.packet_limit_bytes}, "
                f"expected {_PACKET_MINIMUM_BYTES} to {_PACKET_MAXIMUM_BYTES}"
            )
        if self.protocol_maximum > 255:
            raise InvalidOption(f"membership.protocol_maximum: got {self.protocol_maximum}, expected at most 255")

    @classmethod
    def lan(cls) -> Self:
        """The defaults: real processes on a local network."""
        return cls()

    @classmethod
    def simulated(cls) -> Self:
        """For virtual time: healing after long splits is exercised in minutes instead of an hour."""
        return cls(reconnect_interval_s=3.0, push_pull_interval_s=10.0)


_MAY_BE_ZERO = frozenset(
    {"indirect_probes", "suspicion_confirmations", "protocol_minimum", "gossip_to_dead_s", "last_calls_limit"}
)
_ORDERED = (
    ("probe_timeout_minimum_s", "probe_timeout_s"),
    ("probe_timeout_s", "probe_period_s"),
    ("join_retry_s", "reconnect_interval_s"),
    ("lag_warning_s", "lag_alarm_s"),
    ("protocol_minimum", "protocol_maximum"),
)


def _check_positive(name: str, value: object, *, zero: bool) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (value > 0 or (zero and value == 0)):
        wanted = "a number, 0 or above" if zero else "a number above 0"
        raise InvalidOption(f"membership.{name}: got {value!r}, expected {wanted}")
