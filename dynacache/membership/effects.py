"""What a membership core asks of the world, and what it tells about itself.

A core never sends: it returns a list of these values, and whoever drives it carries them out in order. All are
frozen, so one list may be recorded, compared and replayed. Nothing here has a deadline or an answer of its own: a
datagram or a stream message that is lost is an ordinary event for the protocol, so the driver reports no failures
back.

Invariant: an effect carries everything that is needed to perform it.
"""

from __future__ import annotations

import enum

import attrs

from dynacache.membership.state import Address, Member, NodeState

__all__ = ["Effect", "MemberChanged", "NameConflict", "Note", "NoteKind", "SendDatagram", "SendStream"]


@attrs.frozen
class SendDatagram:
    """Send `payload` as one UDP datagram to `address`."""

    address: Address
    payload: bytes


@attrs.frozen
class SendStream:
    """Send `payload`, lists of numbers, text and bytes, inside a peer message over TCP.

    At least one of `node_id` and `address` is given: the id alone in an answer to a peer of unknown address, the
    address alone when a seed is contacted whose id is not known yet. The other side passes it to `Swim.handle_stream`
    with our node id.
    """

    node_id: str | None
    address: Address | None
    payload: list[object]


@attrs.frozen
class MemberChanged:
    """The view of one member changed, in more than its incarnation; `previous_state` is None for a new one.

    It is also issued for this node itself when it raised its own generation, which must then be stored.
    """

    member: Member
    previous_state: NodeState | None


@attrs.frozen
class NameConflict:
    """Another live process with our node id and a better claim to it exists; this core is silent from now on and must
    be shut down."""

    winner: Member


class NoteKind(enum.Enum):
    """Things worth counting or logging that change nothing."""

    MEMBERS_LIMIT_REACHED = "members_limit_reached"
    MEMBER_FORGOTTEN = "member_forgotten"
    PACKET_REJECTED = "packet_rejected"
    PAUSED = "paused"
    PROBE_FAILED = "probe_failed"
    REFUTED = "refuted"
    STREAM_ONLY = "stream_only"
    STREAM_REJECTED = "stream_rejected"
    VERSION_REJECTED = "version_rejected"


@attrs.frozen
class Note:
    """An observation: `subject` is a node id or an address as text, `detail` one short phrase."""

    kind: NoteKind
    subject: str
    detail: str = ""


Effect = SendDatagram | SendStream | MemberChanged | NameConflict | Note
"""Anything that a membership core returns."""
