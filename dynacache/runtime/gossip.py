"""The UDP socket of membership, read and written without waiting.

What: `receive` returns the datagrams that are there, at most `DATAGRAM_LIMIT` a turn; `send` hands datagrams to the
kernel and forgets them.

Invariant: nothing is queued here. The kernel's receive buffer is the bounded queue: when it is full, further datagrams
are lost, as they may be on any network. A datagram that cannot be sent at once, or whose host's name is not looked up
yet, is counted and dropped.

Why: the membership protocol expects loss and repeats itself; a queue of old probes would only make a slow node look
alive to itself. The socket stands in the data loop's selector, so a flood of gossip cannot take more than its bounded
part of a turn and a flood of requests cannot keep gossip out of one.
"""

from collections.abc import Sequence
from socket import socket as Socket
from typing import Final

import attrs

from dynacache.events import Address, DatagramReceived
from dynacache.runtime.names import Names

__all__ = ["DATAGRAM_LIMIT", "DATAGRAM_LIMIT_BYTES", "GossipSocket"]

DATAGRAM_LIMIT: Final = 256
"""Datagrams taken in one turn."""
DATAGRAM_LIMIT_BYTES: Final = 2048
"""Longer ones are cut by the kernel, and then fail their authentication."""


@attrs.define(eq=False)
class GossipSocket:
    """A bound, non-blocking UDP socket."""

    socket: Socket
    names: Names = attrs.field(init=False)
    descriptor: int = attrs.field(init=False)
    received: int = attrs.field(default=0, init=False)
    sent: int = attrs.field(default=0, init=False)
    dropped: int = attrs.field(default=0, init=False)
    """Datagrams that could not be sent at once."""

    def __attrs_post_init__(self) -> None:
        """Remember the descriptor, which outlives a close."""
        self.socket.setblocking(False)
        self.names = Names(self.socket.family)
        self.descriptor = self.socket.fileno()

    def receive(self) -> list[DatagramReceived]:
        """Return what has arrived, oldest first."""
        datagrams: list[DatagramReceived] = []
        for _ in range(DATAGRAM_LIMIT):
            try:
                payload, address = self.socket.recvfrom(DATAGRAM_LIMIT_BYTES)
            except BlockingIOError:
                break
            except OSError:
                # An earlier datagram met a closed port; the kernel reports it here once, and the next read goes on.
                continue
            datagrams.append(DatagramReceived(payload, (address[0], address[1])))
        self.received += len(datagrams)
        return datagrams

    def send(self, datagrams: Sequence[tuple[bytes, Address]]) -> None:
        """Send what the kernel takes; drop and count the rest."""
        address_of, sendto = self.names.address_of, self.socket.sendto
        for payload, (host, port) in datagrams:
            address = address_of(host)
            if address is None:
                self.dropped += 1
                continue
            try:
                sendto(payload, (address, port))
            except (OSError, OverflowError):
                self.dropped += 1
            else:
                self.sent += 1

    def close(self) -> None:
        """Give the socket back."""
        self.socket.close()
