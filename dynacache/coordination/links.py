"""Peers as the data path sees them: connected or not, blocked, failing.

What: one ``Link`` per peer with its two connections (requests and bulk), and failure accrual: after a few consecutive
timeouts a peer is avoided for a second, doubling to ten, long before the membership protocol has an opinion.

Invariant: ``epoch`` grows whenever the set of reachable peers changes, so that whatever was derived from it (routes)
can be kept until then. A peer that said it stopped, or whose output is blocked, is not reachable.

Why apart from membership: SWIM answers "is it dead" in seconds and for everybody; a request needs "shall I wait for it
now" in milliseconds and for itself (brief section 3, numbers).
"""

import attrs

from dynacache.config.coordination import CoordinationConfig
from dynacache.events import ConnectionId
from dynacache.types import NodeId

__all__ = ["Link", "Links"]

_LATENCY_WINDOW = 64


@attrs.define(eq=False)
class Link:
    """What this node knows about reaching one peer; connection 0 means none."""

    node_id: NodeId
    connection: ConnectionId = 0
    bulk_connection: ConnectionId = 0
    blocked: bool = False
    down: bool = False
    failures: int = 0
    avoid_s: float = 0.0
    avoid_until_s: float = 0.0
    connected_at_s: float = 0.0
    incomplete_until_s: float = 0.0
    latency_ms: float = 1.0

    def usable(self) -> bool:
        """Tell whether requests may be sent to this peer now."""
        return self.connection != 0 and not self.blocked and not self.down and self.avoid_until_s == 0.0


@attrs.define(eq=False)
class Links:
    """Every peer's link, by node id and by connection."""

    settings: CoordinationConfig
    by_node: dict[NodeId, Link] = attrs.field(factory=dict)
    by_connection: dict[ConnectionId, Link] = attrs.field(factory=dict)
    epoch: int = 0
    _avoided: dict[NodeId, float] = attrs.field(factory=dict)

    def link(self, node_id: NodeId) -> Link:
        """Return the peer's link, made when first asked for."""
        found = self.by_node.get(node_id)
        if found is None:
            found = self.by_node[node_id] = Link(node_id)
        return found

    def connected(self, node_id: NodeId, connection: ConnectionId, *, bulk: bool, now_s: float) -> None:
        """Note that an outbound connection to the peer is ready."""
        link = self.link(node_id)
        self.by_connection[connection] = link
        if bulk:
            link.bulk_connection = connection
            return
        link.connection = connection
        link.blocked = link.down = False
        link.connected_at_s = now_s
        self._forgive(link)
        self.epoch += 1

    def disconnected(self, connection: ConnectionId) -> Link | None:
        """Note that a connection ended; returns its link if it was an outbound one."""
        link = self.by_connection.pop(connection, None)
        if link is None:
            return None
        if link.connection == connection:
            link.connection = 0
            self.epoch += 1
        elif link.bulk_connection == connection:
            link.bulk_connection = 0
        return link

    def set_blocked(self, connection: ConnectionId, blocked: bool) -> None:
        """Note that a peer's output passed its high-water mark, or drained."""
        link = self.by_connection.get(connection)
        if link is not None and link.connection == connection and link.blocked != blocked:
            link.blocked = blocked
            self.epoch += 1

    def set_down(self, node_id: NodeId, down: bool) -> None:
        """Note what membership holds: dead or stopped peers are not asked."""
        link = self.link(node_id)
        if link.down != down:
            link.down = down
            self.epoch += 1

    def succeeded(self, link: Link, elapsed_ms: float) -> None:
        """Note an answer and how long it took."""
        link.failures = 0
        link.avoid_s = 0.0
        link.latency_ms += (elapsed_ms - link.latency_ms) / _LATENCY_WINDOW

    def failed(self, link: Link, now_s: float) -> None:
        """Note a timeout; at the threshold the peer is avoided for a while."""
        link.failures += 1
        if link.failures < self.settings.failure_threshold or link.avoid_until_s:
            return
        link.avoid_s = min(max(link.avoid_s * 2, self.settings.avoid_first_s), self.settings.avoid_longest_s)
        link.avoid_until_s = now_s + link.avoid_s
        self._avoided[link.node_id] = link.avoid_until_s
        self.epoch += 1

    def tick(self, now_s: float) -> None:
        """Let avoided peers be tried again when their time is over."""
        for node_id in [node_id for node_id, until_s in self._avoided.items() if until_s <= now_s]:
            link = self.by_node[node_id]
            link.avoid_until_s = 0.0
            link.failures = self.settings.failure_threshold - 1
            del self._avoided[node_id]
            self.epoch += 1

    def any_avoided(self) -> bool:
        """Tell whether some peer waits to be tried again."""
        return bool(self._avoided)

    def usable(self, node_id: NodeId) -> bool:
        """Tell whether requests may be sent to this peer now."""
        link = self.by_node.get(node_id)
        return link is not None and link.usable()

    def _forgive(self, link: Link) -> None:
        link.failures = 0
        link.avoid_s = link.avoid_until_s = 0.0
        self._avoided.pop(link.node_id, None)
