"""What a node tells its operator: the cluster, itself, a key, hints, changes, transfers, repair, counters.

What: ``Reports.answer`` serves the ``REPORT`` message; each topic is one method that returns a plain map.

Invariant: a report changes nothing and costs no more than the cluster has members (or the store has partitions).

Why over the client protocol: the command line and the demo need no second port and no second way to prove a secret.
"""

from typing import TYPE_CHECKING, Any

import attrs

from dynacache.errors import InvalidRequest, NotReady
from dynacache.events import ConnectionId, Message
from dynacache.membership.state import NodeState
from dynacache.namespaces.names import split
from dynacache.node.explanation import explain
from dynacache.placement.partitions import factor_in, partition_of_key
from dynacache.wire.messages import KEY_LIMIT_BYTES, REPORTED

if TYPE_CHECKING:
    from dynacache.node.core import Node

__all__ = ["Reports"]


@attrs.define(eq=False)
class Reports:
    """Answers operators' questions about one node."""

    node: "Node"

    def answer(self, connection: ConnectionId, message: Message) -> None:
        """Send the report a message asks for, or an error naming the topics there are."""
        shared = self.node.shared
        about_keys = {"owners": self.owners, "explain": self.explain}
        topics = {
            "change": self.change,
            "handoff": self.handoff,
            "hints": self.hints,
            "hot": self.node.observed.hot,
            "misses": self.node.observed.misses,
            "node": self.node_itself,
            "ready": self.ready,
            "repair": self.repair,
            "statistics": self.statistics,
            "status": self.status,
            "table": self.table,
        }
        rid, topic = (message[1], message[2]) if len(message) > 2 else (0, None)
        if type(rid) is not int:
            rid = 0
        try:
            if isinstance(topic, str) and topic in about_keys:
                result = about_keys[topic](_key(topic, message[3] if len(message) > 3 else None))
            elif topic == "namespaces":
                result = self.node.namespaces.report(message[3] if len(message) > 3 else None)
            elif isinstance(topic, str) and topic in topics:
                result = topics[topic]()
            else:
                expected = ", ".join(sorted([*about_keys, *topics, "namespaces"]))
                raise InvalidRequest(f"report topic: got {topic!r}, expected one of {expected}")
        except (InvalidRequest, NotReady) as error:
            shared.fail(connection, rid, error)
            return
        shared.effects.send(connection, (REPORTED, rid, result))

    def status(self) -> dict[str, Any]:
        """Return the cluster as this node sees it: one row per member, and this node's own figures."""
        node = self.node
        members = []
        states = node.members.states()
        for entry in node.members.table.entries.values():
            link = node.links.by_node.get(entry.node_id)
            members.append(
                {
                    "node": entry.node_id,
                    "address": f"{entry.host}:{entry.port}",
                    "state": NodeState(states[entry.node_id]).name.lower(),
                    "place": entry.state.name.lower(),
                    "zone": entry.zone,
                    "weight": entry.weight,
                    "partitions": len(node.members.placement.owned_by(entry.node_id)),
                    "linked": entry.node_id == node.node_id or (link is not None and link.usable()),
                    "hints": node.hints.counts().get(entry.node_id, 0),
                }
            )
        return {
            "node": node.node_id,
            "cluster": node.members.table.cluster_id.hex(),
            "partition_count": node.members.table.partition_count,
            "replication_factor": node.members.table.replication_factor,
            "other_factors": [factor for factor, _ in node.members.table.factors],
            "zone_violation": node.members.placement.zone_violation,
            "zone_violations": node.members.placement.zone_violations,
            "members": members,
            **self.ready(),
        }

    def owners(self, key: bytes) -> dict[str, Any]:
        """Return the partition, owners and fallbacks of a key."""
        partition = partition_of_key(self._placed(key), self.node.shared.partition_shift)
        placement = self.node.members.placement
        owners = placement.owners(partition)
        preference = placement.preference(partition)
        return {"partition": partition, "owners": list(owners), "fallbacks": list(preference[len(owners) :])}

    def explain(self, key: bytes) -> dict[str, Any]:
        """Return what this node knows of a key: its copy, hints, repair, the last miss."""
        return explain(self.node, self._placed(key))

    def _placed(self, key: bytes) -> bytes:
        """Return a client's key as nodes know it. Raises ``InvalidRequest`` for one that no client makes, ``NotReady``
        where there are no partitions for it."""
        split(key)
        placed = self.node.shared.namespaces.placed(key)
        if not self.node.members.placement.has(partition_of_key(placed, self.node.shared.partition_shift)):
            raise NotReady(f"key: no partitions of replication factor {factor_in(placed)} are known here yet")
        return placed

    def hints(self) -> dict[str, Any]:
        """Return the hints that wait for each owner that is away, and how many have ended, by reason."""
        counters = self.node.counters
        ended = {
            reason: getattr(counters, f"hints_{reason}")
            for reason in ("delivered", "offered", "superseded", "expired", "lost")
        }
        return {"targets": self.node.replay.listing(), "bytes": self.node.hints.total_bytes, "ended": ended}

    def ready(self) -> dict[str, Any]:
        """Return whether this node serves, how many of its partitions are still incomplete, and why it does not serve
        (nil when it does)."""
        node = self.node
        warming = len(node.engine.warming & node.members.placement.owned_by(node.node_id))
        return {"ready": not node.gate.closed, "warming_partitions": warming, "reason": self._why_closed()}

    def node_itself(self) -> dict[str, Any]:
        """Return this node's own state, which no other node can tell: what is incomplete, its clock, what it holds,
        what its own change waits for, whether it is drained."""
        node = self.node
        owned = node.members.placement.owned_by(node.node_id)
        figures = node.engine.statistics()
        return {
            "node": node.node_id,
            **self.ready(),
            "stale_partitions": len(node.engine.stale & owned),
            "owned_partitions": len(owned),
            "departing_partitions": len(node.exchange.departing),
            "clock": node.quarantine.watch.trust.value,
            "drained": node.closing.is_drained,
            "handed_over": node.closing.is_handed_over,
            "in_flight": node.repair_port.other_requests(),
            "hints": node.hints.counts(),
            "entries": figures.entries,
            "entries_bytes": figures.usage.entries_bytes,
            "used_bytes": figures.usage.total_bytes,
            "limit_bytes": figures.limit_bytes,
            "placement_digest": node.shared.digest,
            **node.ring.progress(),
        }

    def change(self) -> dict[str, Any]:
        """Return what this node's own change of place, and the removals it knows of, have come to."""
        node = self.node
        departing = len(node.exchange.departing)
        return {
            "node": node.node_id,
            **node.ring.progress(),
            "departing_partitions": departing,
            "handoff": node.transfer.progress(),
        }

    def repair(self) -> dict[str, Any]:
        """Return how repair stands toward each other owner."""
        return {"node": self.node.node_id, **self.node.exchange.progress()}

    def handoff(self) -> dict[str, Any]:
        """Return how far the filling of this node has come, and what it gives to others."""
        return {"node": self.node.node_id, **self.node.transfer.progress()}

    def table(self) -> dict[str, Any]:
        """Return the member table in its wire form: who asks can derive owners and plans from it without this node."""
        return {"node": self.node.node_id, "table": self.node.members.table.to_wire()}

    def statistics(self) -> dict[str, Any]:
        """Return every counter and gauge of this node."""
        node = self.node
        storage = {f"storage_{name}": value for name, value in attrs.asdict(node.engine.statistics()).items()}
        return {
            **node.counters.snapshot(),
            **storage,
            **node.upkeep.statistics(),
            **node.cleaning.statistics(),
            **node.catalogue_sync.statistics(),
            **node.rehoming.statistics(),
            **node.invalidator.statistics(),
            "hints": node.hints.counts(),
            "hint_bytes": node.hints.total_bytes,
            "pending": len(node.shared.pending),
            "clients": len(node.members.clients),
            "operation_ids": len(node.operations),
            "clock": node.quarantine.report(),
        }

    def _why_closed(self) -> str | None:
        """Return why clients are not served, None when they are."""
        node = self.node
        if not node.gate.closed:
            return None
        if node.closing.is_ending:
            return "the node is stopping"
        if node.closing.is_drained:
            return "the node is drained"
        return "the node's clock is in doubt"


def _key(topic: str, key: object) -> bytes:
    """Return the key that a report is about; raises ``InvalidRequest``."""
    if type(key) is not bytes or not 0 < len(key) <= KEY_LIMIT_BYTES:
        raise InvalidRequest(f"{topic}: got {key!r:.80}, expected a key of 1 to {KEY_LIMIT_BYTES} bytes")
    return key
