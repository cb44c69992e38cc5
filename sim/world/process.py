"""One life of a machine's process: who it is, how it greets, and what hangs on it.

What: ``Settings`` are common to all lives of a machine; ``Process`` holds one; ``birth_of`` starts its birth machine;
``Hellos`` makes the first messages of its streams.

Invariant: an incarnation is new in every life, and a nonce in every hello; both are drawn by name and number.

Why apart from the machine: what is dropped by a crash is exactly one object.
"""

from collections.abc import Callable

import attrs

from dynacache.membership.birth import Birth, Born, Joined
from dynacache.node import Node
from dynacache.types import Role
from dynacache.wire.handshake import NONCE_BYTES, Acceptor, Initiator

from ..draws import Draws
from .connections import Connections
from .network import Address
from .observer import Observer
from .peering import Peering

__all__ = ["Hellos", "Process", "Settings", "birth_of"]


@attrs.frozen
class Settings:
    """What all lives of one machine have in common."""

    name: str
    index: int
    address: Address
    zone: str
    founders: int | None
    seeds: tuple[Address, ...]
    partition_count: int
    replication_factor: int
    secret: str | None
    peer_high_water_bytes: int
    prepare: Callable[[Node], None] = lambda _: None
    """Called with each node that was made."""


@attrs.define(eq=False, repr=False)
class Hellos:
    """The hellos of one process, with what it knows of its cluster at that moment."""

    settings: Settings
    draws: Draws
    birth: Birth
    _nonces: int = 0

    def acceptor(self) -> Acceptor:
        """Return the hello of a stream that somebody opened."""
        return Acceptor(self._cluster_id(), self.settings.name, self.settings.secret, self._nonce())

    def initiator(self, role: Role) -> Initiator:
        """Return the hello of a stream that this process opens."""
        return Initiator(role, self._cluster_id(), self.settings.name, self.settings.secret, self._nonce())

    def _cluster_id(self) -> bytes:
        outcome = self.birth.outcome
        return outcome.record.cluster_id if isinstance(outcome, Born | Joined) else b""

    def _nonce(self) -> bytes:
        self._nonces += 1
        stream = self.draws.stream("nonce", self.settings.name, self.birth.incarnation, self._nonces)
        return b"".join(stream.bits().to_bytes(8, "big") for _ in range(NONCE_BYTES // 8))


@attrs.define(eq=False, repr=False)
class Process:
    """One life."""

    incarnation: int
    birth: Birth
    hellos: "Hellos"
    connections: Connections
    peering: Peering
    node: Node | None = None
    observer: Observer | None = None
    wake_s: float = float("inf")
    """When the core is woken; no later than its deadline."""
    due_s: float = 0.0
    """The core's deadline after its last turn."""
    birth_wake_s: float = float("-inf")
    stopping: bool = False
    digest: int = 0


def birth_of(settings: Settings, incarnation: int) -> Birth:
    """Return the birth machine of a process that starts now."""
    host, port = settings.address
    return Birth(
        node_id=settings.name,
        incarnation=incarnation,
        host=host,
        port=port,
        zone=settings.zone,
        founders=settings.founders,
        seeds=settings.seeds,
        partition_count=settings.partition_count,
        replication_factor=settings.replication_factor,
    )
