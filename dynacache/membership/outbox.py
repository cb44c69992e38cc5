"""The way out of a membership core: it gathers effects and lets rumours ride on every packet.

All parts of a core hand what they want sent to the one outbox, which fits messages and the most urgent rumours into
packets, counts, and gives the effects of one call back in their order. The clock readings of the current call stand
here too, so that no part needs them passed through every function.

Invariants: every packet fits `packet_limit_bytes`; a silenced core sends nothing more; `drain` empties the outbox.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from dynacache.config.membership import MembershipConfig
from dynacache.membership.datagram import MESSAGES_LIMIT, DatagramCodec
from dynacache.membership.effects import Effect, MemberChanged, NameConflict, Note, NoteKind, SendDatagram, SendStream
from dynacache.membership.messages import encode_claim
from dynacache.membership.roster import Roster
from dynacache.membership.rumours import RumourQueue, sends_limit
from dynacache.membership.state import Address, Member, NodeState
from dynacache.membership.statistics import Counters

__all__ = ["Outbox"]


@attrs.define
class Outbox:
    """Effects of the current call; `now_s` is monotonic, `wall_ms` the wall clock of that call."""

    _config: MembershipConfig
    _codec: DatagramCodec
    _roster: Roster
    rumours: RumourQueue
    counters: Counters
    now_s: float = 0.0
    wall_ms: int = 0
    is_silenced: bool = False
    _effects: list[Effect] = attrs.field(factory=list)
    _sends_of: tuple[int, int] = (-1, 0)
    """Live members, and how often a rumour is sent among so many."""

    @property
    def room_bytes(self) -> int:
        """How many bytes of encoded messages fit into one packet."""
        return self._codec.room_bytes

    def begin(self, now_s: float, wall_ms: int) -> None:
        """Start a call at these clock readings."""
        self.now_s = now_s
        self.wall_ms = wall_ms

    def drain(self) -> list[Effect]:
        """The effects since the last time, in order."""
        effects = self._effects
        self._effects = []
        return effects

    def send(self, address: Address, messages: Sequence[bytes]) -> None:
        """One packet with these encoded messages, filled up with rumours."""
        if self.is_silenced:
            return
        room_bytes = self._codec.room_bytes - sum(map(len, messages))
        rumours = self.rumours.take(room_bytes, self._sends_limit(), MESSAGES_LIMIT - len(messages))
        self.counters.rumour_bytes_sent += sum(map(len, rumours))
        self._send_packet(address, [*messages, *rumours])

    def tell(self, address: Address, message: bytes) -> None:
        """One packet with this encoded message alone."""
        self._send_packet(address, [message])

    def gossip(self, address: Address) -> bool:
        """One packet of rumours alone; False if there is none to tell."""
        rumours = self.rumours.take(self._codec.room_bytes, self._sends_limit(), MESSAGES_LIMIT)
        if rumours:
            counters = self.counters
            before = counters.bytes_sent
            self._send_packet(address, rumours)
            counters.gossip_sent += 1
            counters.rumour_bytes_sent += counters.bytes_sent - before
        return bool(rumours)

    def stream(self, node_id: str | None, address: Address | None, payload: list[object]) -> None:
        """One peer message over TCP."""
        if self.is_silenced:
            return
        self.counters.streams_sent += 1
        self._effects.append(SendStream(node_id, address, payload))

    def spread(self, member: Member, source: str, *, once: bool = False) -> None:
        """Tell everybody, over time, that `source` says this; or `once`, whoever comes first."""
        sent = self._sends_limit() - 1 if once else 0
        self.rumours.add(member.node_id, encode_claim(member, source), sent=sent)

    def member_changed(self, member: Member, previous_state: NodeState | None) -> None:
        """Tell the driver."""
        self._effects.append(MemberChanged(member, previous_state))

    def note(self, kind: NoteKind, subject: str, detail: str = "") -> None:
        """Tell whoever watches."""
        self._effects.append(Note(kind, subject, detail))

    def lose_name(self, winner: Member) -> None:
        """Say nothing more under this name, and have the process shut down."""
        if not self.is_silenced:
            self.is_silenced = True
            self._effects.append(NameConflict(winner))

    def _sends_limit(self) -> int:
        members = self._roster.live_count
        if self._sends_of[0] != members:
            config = self._config
            self._sends_of = members, sends_limit(members, config.rumour_sends_minimum, config.rumour_sends_factor)
        return self._sends_of[1]

    def _send_packet(self, address: Address, messages: list[bytes]) -> None:
        if self.is_silenced:
            return
        payload = self._codec.encode(messages, self.wall_ms)
        self.counters.datagrams_sent += 1
        self.counters.bytes_sent += len(payload)
        self._effects.append(SendDatagram(address, payload))
