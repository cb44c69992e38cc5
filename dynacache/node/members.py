"""The node's view of the cluster: who belongs to it, who is alive, and who must be told.

What: ``Members`` joins the three sources of that view: the member table (placement), SWIM (liveness) and the birth
machine (what strangers are answered). It turns their effects into the node's: datagrams, stream messages, links to
keep, tables to send, the topology for clients.

Invariant: the table only grows (merges); routes and digest always follow the table that is current; every member that
keeps a place has a link and is known to SWIM as one to contact for ever.

Why apart from the data path: nothing here happens per request (DESIGN sections 5 and 6).
"""

from collections.abc import Callable
from hashlib import blake2b
from random import Random

import attrs
import msgpack

from dynacache.coordination.shared import Shared
from dynacache.errors import AddressInUse, DynacacheError
from dynacache.events import Address, Connect, ConnectionId, Disconnect, Effects, Halt, Note
from dynacache.membership import effects as swim_effects
from dynacache.membership.birth import Birth
from dynacache.membership.state import Member, NodeState
from dynacache.membership.swim import Swim
from dynacache.placement.placement import Placement
from dynacache.placement.table import FACTORS_PARTITION_LIMIT, MemberEntry, MemberState, MemberTable
from dynacache.types import MEMBER_STOPPING, Instant, NodeId
from dynacache.wire.messages import BIRTH, MEMBERSHIP, STALE_TABLE, TABLE, TOPOLOGY

__all__ = ["Members"]


def _nobody(before: Placement, after: Placement) -> None:
    """Nobody asked to be told."""


def _unheard(reason: str) -> None:
    """Nobody asked to be told."""


_GONE = frozenset({MemberState.LEFT, MemberState.REMOVED})


@attrs.define(eq=False)
class Members:
    """Cluster membership as one node sees it."""

    shared: Shared
    table: MemberTable
    swim: Swim
    birth: Birth
    random: Random
    placement: Placement = attrs.field(init=False)
    peers: dict[NodeId, Address] = attrs.field(factory=dict)
    clients: set[ConnectionId] = attrs.field(factory=set)
    inbound: dict[NodeId, ConnectionId] = attrs.field(factory=dict)
    owners_changed: Callable[[Placement, Placement], None] = attrs.field(default=_nobody)
    """Called with the placements before and after whenever the owners change."""
    place_learned: Callable[[str], None] = attrs.field(default=_unheard)
    """Called, with the reason in words, when others knew more of our own place than we did."""
    topology_changed: bool = True
    is_stopping: bool = False
    """Clients are told to go elsewhere."""
    swim_due_s: float = float("-inf")
    """When SWIM must be called; looked up after each call of it and not in every turn."""

    def __attrs_post_init__(self) -> None:
        """Derive the placement from the first table."""
        self.placement = Placement.from_table(self.table)
        self.shared.routes.replace(self.placement)
        self.shared.digest = _placement_digest(self.table)

    def start(self, now: Instant) -> None:
        """Ask for links to every member and tell SWIM about them."""
        self._follow_table()
        self._warn_of_zones()
        known = [entry for entry in self._others() if entry.state not in _GONE]
        self._perform(self.swim.join(now.monotonic_s, now.wall_ms, [(entry.host, entry.port) for entry in known]))

    def merge_table(self, wire: object, connection: ConnectionId) -> None:
        """Take another node's table; answer with ours where it knows less, tell everyone what is new."""
        try:
            theirs = MemberTable.from_wire(wire)
            merged = self.table.merge(theirs)
        except DynacacheError as error:
            self.shared.counters.malformed_messages += 1
            self.shared.note("table.refused", "warning", reason=str(error))
            return
        if merged is not self.table:
            known = self.table.entries[self.shared.node_id]
            self._set_table(merged)
            own = merged.entries[self.shared.node_id]
            if (known.place, known.version) != (own.place, own.version):
                # We were started with an older table: whatever was filled by it may have missed what came later.
                self.place_learned("this node's place had changed since the table it was started with")
        if theirs.digest != self.table.digest:
            self.shared.effects.send(connection, (TABLE, self.shared.clock.last, self.table.to_wire()))

    def refuse_stale(self, connection: ConnectionId, request_id: int) -> None:
        """Refuse a request unread, because its sender's table is not ours; it asks again after merging."""
        shared = self.shared
        shared.counters.stale_tables += 1
        shared.effects.send(connection, (STALE_TABLE, request_id, shared.clock.last, self.table.to_wire()))

    def write_entry(self, entry: MemberEntry) -> None:
        """Merge an entry that this node wrote into the table, and tell everyone."""
        merged = self.table.with_entry(entry)
        if merged is not self.table:
            self._set_table(merged)

    def add_factor(self, factor: int, born_ms: int) -> None:
        """Let there be partitions of a further replication factor, which nobody had before a hybrid millisecond."""
        table = self.table
        if table.partition_count <= FACTORS_PARTITION_LIMIT and (merged := table.with_factor(factor, born_ms)) != table:
            self._set_table(merged)

    def liveness(self, node_id: NodeId) -> str:
        """Return "alive", "suspect", "dead" or "stopped"; a member that SWIM has not heard of counts as dead."""
        if node_id == self.shared.node_id:
            return "alive"
        member = self.swim.member(node_id)
        if member is None:
            return "dead"
        return "stopped" if member.state is NodeState.LEFT else member.state.name.lower()

    def table_message(self) -> tuple[int, int, object]:
        """Return the message that carries our table."""
        return (TABLE, self.shared.clock.last, self.table.to_wire())

    def answer_birth(self, connection: ConnectionId, message: object, now: Instant) -> None:
        """Answer a node that is not part of the cluster yet."""
        reply = self.birth.handle_request(now.monotonic_s, message)
        self.shared.effects.send(connection, (BIRTH, reply))

    def handle_stream(self, connection: ConnectionId, sender: NodeId, payload: object, now: Instant) -> None:
        """Hand a membership message that came over a connection to SWIM."""
        self.inbound[sender] = connection
        self._perform(self.swim.handle_stream(now.monotonic_s, now.wall_ms, sender, payload))

    def handle_datagram(self, payload: bytes, address: Address, now: Instant) -> None:
        """Hand a datagram to SWIM."""
        self._perform(self.swim.handle_datagram(now.monotonic_s, now.wall_ms, payload, address))

    def tick(self, now: Instant) -> None:
        """Let SWIM act when it is due."""
        if self.swim_due_s <= now.monotonic_s:
            self._perform(self.swim.tick(now.monotonic_s, now.wall_ms))

    def note_loop_lag(self, seconds: float) -> None:
        """Let SWIM know that this node itself is slow."""
        self.swim.note_loop_lag(seconds)
        self.swim_due_s = self.swim.next_deadline()

    def stop(self, now: Instant) -> None:
        """Announce that this node stops: it keeps its place, or it is gone for good where it gave that up."""
        has_left = self.table.entries[self.shared.node_id].state is MemberState.LEFT
        announce = self.swim.leave if has_left else self.swim.stop
        self._perform(announce(now.monotonic_s, now.wall_ms))

    def links_changed(self) -> None:
        """Tell the birth machine which members are linked; the others are asked whether they know the cluster."""
        linked = [link.node_id for link in self.shared.links.by_node.values() if link.connection]
        self.birth.set_connected(frozenset(linked))

    def push_topology(self) -> None:
        """Tell every client who owns what and who is alive, if that changed since they were told."""
        if not self.topology_changed:
            return
        self.topology_changed = False
        if self.clients:
            self.shared.effects.shared.append((tuple(sorted(self.clients)), self.topology_message()))

    def topology_message(
        self,
    ) -> tuple[int, int, object, dict[NodeId, int], int, dict[str, str], dict[str, int]]:
        """Return the message that tells a client the table, the states, this node's monotonic time, and what it must
        know of namespaces."""
        states = self.states()
        if self.is_stopping:
            states[self.shared.node_id] = MEMBER_STOPPING
        namespaces = self.shared.namespaces
        told = (namespaces.for_clients(), namespaces.factors_for_clients())
        return (TOPOLOGY, 0, self.table.to_wire(), states, int(self.shared.now_s * 1000), *told)

    def tell_stopping(self, stopping: bool) -> None:
        """Tell every client whether to ask other nodes instead of this one."""
        self.topology_changed = self.topology_changed or stopping != self.is_stopping
        self.is_stopping = stopping

    def states(self) -> dict[NodeId, int]:
        """Return the liveness of every member of the table; a member SWIM does not know counts as dead."""
        states = {}
        for node_id in self.table.entries:
            member = self.swim.member(node_id)
            states[node_id] = int(NodeState.DEAD if member is None else member.state)
        return states

    def _set_table(self, table: MemberTable) -> None:
        before = self.table
        self.table = table
        self.shared.digest = _placement_digest(table)
        self.birth.set_table(table)
        if _placement_digest(before) != self.shared.digest:
            placement, self.placement = self.placement, Placement.from_table(table)
            self.shared.routes.replace(self.placement)
            self.shared.routes.refresh()
            self.owners_changed(placement, self.placement)
            self._warn_of_zones()
        self.topology_changed = True
        self._follow_table()
        links = self.shared.links.by_node.values()
        connections = tuple(link.connection for link in links if link.connection)
        if connections:
            self.shared.effects.shared.append((connections, self.table_message()))

    def _warn_of_zones(self) -> None:
        """Say that a zone holds more copies of some partitions than it should, because the zones cannot hold them."""
        partitions = self.placement.zone_violations
        if partitions:
            self.shared.note("placement.zone_violation", "warning", partitions=partitions)

    def _others(self) -> list[MemberEntry]:
        return [entry for entry in self.table.entries.values() if entry.node_id != self.shared.node_id]

    def _follow_table(self) -> None:
        """Keep links to exactly the members of the table."""
        effects = self.shared.effects.others
        wanted = {entry.node_id: (entry.host, entry.port) for entry in self._others() if entry.state not in _GONE}
        for node_id in [node_id for node_id, address in self.peers.items() if wanted.get(node_id) != address]:
            del self.peers[node_id]
            effects.append(Disconnect(node_id))
        for node_id, address in wanted.items():
            if node_id not in self.peers:
                self.peers[node_id] = address
                effects.append(Connect(node_id, address))
        self.swim.set_ring_members([entry.node_id for entry in self._others() if entry.state != MemberState.OUTSIDE])
        self.swim_due_s = self.swim.next_deadline()

    def _perform(self, asked: list[swim_effects.Effect]) -> None:
        self.swim_due_s = self.swim.next_deadline()
        effects: Effects = self.shared.effects
        for effect in asked:
            if isinstance(effect, swim_effects.SendDatagram):
                effects.datagrams.append((effect.payload, effect.address))
            elif isinstance(effect, swim_effects.SendStream):
                self._send_stream(effect)
            elif isinstance(effect, swim_effects.MemberChanged):
                self._member_changed(effect.member, effect.previous_state)
            elif isinstance(effect, swim_effects.NameConflict):
                reason = f"the name {effect.winner.node_id} is used by another process at {effect.winner.address}"
                effects.others.append(Halt(reason, AddressInUse.exit_code))
            else:
                fields = {"subject": effect.subject, "detail": effect.detail}
                effects.others.append(Note(f"membership.{effect.kind.value}", fields, "debug"))

    def _send_stream(self, effect: swim_effects.SendStream) -> None:
        """Send a membership message over the link to the peer, or back over the connection it asked on."""
        node_id = effect.node_id or self._node_at(effect.address)
        if node_id is None:
            return
        connection = self.shared.links.link(node_id).connection or self.inbound.get(node_id, 0)
        if connection:
            self.shared.effects.send(connection, (MEMBERSHIP, effect.payload))

    def _node_at(self, address: Address | None) -> NodeId | None:
        return next((node_id for node_id, at in self.peers.items() if at == address), None)

    def _member_changed(self, member: Member, previous: NodeState | None) -> None:
        if member.node_id == self.shared.node_id:
            return
        down = member.state in (NodeState.DEAD, NodeState.LEFT)
        self.shared.links.set_down(member.node_id, down)
        self.topology_changed = True
        fields = {"node": member.node_id, "state": member.state.name.lower(), "stopped": member.stopped}
        before = "unknown" if previous is None else previous.name.lower()
        self.shared.effects.others.append(Note("member.changed", {**fields, "before": before}))


def _placement_digest(table: MemberTable) -> int:
    """Return 64 bits of what the owners depend on. A restart or a node that owns nothing changes the table, but it
    moves no partition and need not make nodes refuse each other's requests."""
    inputs: list[object] = [
        [entry.node_id, int(entry.state), entry.zone, entry.weight, *_removal(entry)]
        for entry in table.entries.values()
        if entry.state not in _GONE and entry.state != MemberState.OUTSIDE
    ]
    if table.factors:
        inputs.append(table.factors)
    return int.from_bytes(blake2b(msgpack.packb(inputs), digest_size=8).digest(), "big")


def _removal(entry: MemberEntry) -> tuple[int, ...]:
    """Return how far the removal of a member has come, and how far the member had: both decide who is complete."""
    return (entry.removal, int(entry.written), entry.version) if entry.removal else ()
