"""Sockets: where a node listens, who may talk to it, and every bound on what a connection may hold.

What: the runtime's section.

Invariant: an address other than loopback needs a cluster secret.

Why: safe by default; a cache that answers anyone on the network by accident is the commonest way caches leak.
"""

import ipaddress

import attrs

from dynacache.errors import InvalidOption

__all__ = ["NetworkConfig", "is_loopback"]


def is_loopback(host: str) -> bool:
    """Tell whether ``host`` is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@attrs.frozen
class NetworkConfig:
    """Addresses, the secret, and the limits of connections."""

    name: str = ""
    """The node's stable name; empty means ``host:port``. It decides placement, so a replaced machine keeps it."""

    host: str = "127.0.0.1"
    """Address to listen on, for TCP and UDP alike."""

    port: int = 7400
    """Port to listen on; 0 takes a free one."""

    advertise_host: str = ""
    """Address that others are told; empty means ``host``."""

    zone: str = ""
    """Failure domain; copies of a key go to different zones while there are enough."""

    weight: int = 1
    """Share of the partitions relative to other nodes."""

    secret: str = attrs.field(default="", repr=False)
    """Cluster secret that peers and clients prove in the hello. Required unless ``host`` is loopback."""

    hello_timeout_s: float = 5.0
    """Seconds a new connection has to finish its hello."""

    idle_timeout_s: float = 300.0
    """Seconds without a byte after which a client connection is closed."""

    frame_timeout_s: float = 30.0
    """Seconds within which a frame that has begun must be complete."""

    client_limit: int = 10_000
    """Client connections served at once; one more is closed at once with an error."""

    turn_limit_bytes: int = 4 * 1024 * 1024
    """Bytes taken from all sockets in one turn of the loop, so that gossip and timers are never starved."""

    receive_bytes: int = 262_144
    """Bytes taken from one socket in one turn."""

    client_high_water_bytes: int = 4 * 1024 * 1024
    """Unsent output above which a client is not read until it has drained."""

    peer_high_water_bytes: int = 32 * 1024 * 1024
    """Unsent output above which a peer counts as unreachable and its writes become hints."""

    stop_timeout_s: float = 10.0
    """Seconds a stopping node spends on requests in flight and on hints."""

    def __attrs_post_init__(self) -> None:
        """Check ranges and the rule about secrets."""
        if not 0 <= self.port <= 65_535:
            raise InvalidOption(f"network.port: got {self.port}, expected a number between 0 and 65535")
        if len(self.name) > 64 or not self.name.isprintable():
            raise InvalidOption(f"network.name: got {self.name!r}, expected at most 64 printable characters")
        if not 1 <= self.weight <= 256:
            raise InvalidOption(f"network.weight: got {self.weight}, expected a number between 1 and 256")
        if not self.secret and not is_loopback(self.host):
            raise InvalidOption(
                f"network.host: got {self.host!r}, expected a loopback address such as 127.0.0.1;"
                " any other address needs network.secret"
            )
