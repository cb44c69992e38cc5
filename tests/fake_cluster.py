"""A cluster on a fake wire: real nodes, virtual time, messages that travel as packed bytes.

What: ``FakeCluster`` runs N node cores, performs their effects on links it can cut, and lets a test act as a client of
any node. Every message is packed and unpacked on its way, as on a socket. Time moves only when a test says so.

Invariant: messages between two connected nodes arrive in order, after ``delay_s``; a cut loses what is under way.

Why not the simulator: this harness is for tests that say exactly what happens when; it draws nothing at random.
"""

from heapq import heapify, heappop, heappush
from random import Random
from typing import Any

import attrs
import msgpack

from dynacache.config import Config
from dynacache.events import (
    Connect,
    Connected,
    DatagramReceived,
    Disconnect,
    Disconnected,
    Effects,
    Halt,
    Input,
    Message,
    Note,
    Stopped,
    StopRequested,
)
from dynacache.membership.birth import Birth, Born, Joined
from dynacache.node import Node
from dynacache.placement.table import MemberEntry, MemberState, MemberTable
from dynacache.types import Instant, Role

WALL_MS = 1_700_000_000_000
CLIENT = 1_000_000


def _through_the_wire(message: Message) -> Any:
    return msgpack.unpackb(msgpack.packb(message, use_bin_type=True), raw=False, strict_map_key=False)


@attrs.define(eq=False)
class FakeCluster:
    """N founders, linked and ready, plus whatever joins later."""

    size: int = 3
    config: Config = attrs.field(factory=Config)
    delay_s: float = 0.001
    now_s: float = 100.0
    nodes: dict[str, Node] = attrs.field(factory=dict)
    notes: list[tuple[str, Note]] = attrs.field(factory=list)
    stopped: set[str] = attrs.field(factory=set)
    halted: dict[str, Halt] = attrs.field(factory=dict)
    cut: set[frozenset[str]] = attrs.field(factory=set)
    paused: set[str] = attrs.field(factory=set)
    replies: dict[int, list[Any]] = attrs.field(factory=dict)
    pushed: list[Any] = attrs.field(factory=list)
    seen: list[tuple[str, str, int, Any]] = attrs.field(factory=list)
    wall_offset_ms: dict[str, int] = attrs.field(factory=dict)
    repair: bool = True
    """False takes the cores out that fill and compare copies, for tests of what happens without them."""
    copies: int = 3
    _wire: list[tuple[float, int, str, str, int, Any]] = attrs.field(factory=list)
    _sent: int = 0
    _links: dict[tuple[str, int], tuple[str, int]] = attrs.field(factory=dict)
    _wanted: set[tuple[str, str]] = attrs.field(factory=set)
    _outbound: set[tuple[str, str]] = attrs.field(factory=set)
    _table: MemberTable = attrs.field(init=False)
    _next_connection: int = 1
    next_rid: int = 1
    _incarnations: int = 1

    def __attrs_post_init__(self) -> None:
        """Found the cluster and let it settle."""
        names = [f"n{index}" for index in range(1, self.size + 1)]
        self._table = MemberTable.of(
            b"c" * 16, 1024, self.copies, [self._entry(name, MemberState.NORMAL) for name in names]
        )
        for name in names:
            self._start(name, self._table, complete=True)
        self._dial()
        self.run(0.05)

    # Control

    def run(self, seconds: float) -> None:
        """Let virtual time pass, delivering messages and deadlines in order."""
        end_s = self.now_s + seconds
        for _ in range(200_000):
            next_s = min((node.next_deadline() for name, node in self._awake()), default=end_s)
            if self._wire:
                next_s = min(next_s, self._wire[0][0])
            if next_s > end_s:
                break
            self.now_s = max(self.now_s, next_s)
            self._deliver()
            for name, node in self._awake():
                if node.next_deadline() <= self.now_s:
                    self._turn(name, [], [])
            self._dial()
        else:
            raise AssertionError("the cluster does not come to rest")
        self.now_s = max(self.now_s, end_s)

    def ask(self, name: str, message: list[Any], wait_s: float = 0.2) -> Any:
        """Send one client message to a node, wait, and return the reply (None for none yet)."""
        return self.ask_many(name, [message], wait_s)[0]

    def ask_many(self, name: str, messages: list[list[Any]], wait_s: float = 0.2) -> list[Any]:
        """Send client messages in one batch; returns their replies in order, None for none yet."""
        rids = []
        for message in messages:
            message.insert(1, self.next_rid)
            rids.append(self.next_rid)
            self.next_rid += 1
        self._turn(name, [(CLIENT, [_through_the_wire(each) for each in messages])], [])
        self.run(wait_s)
        return [next(iter(self.replies.get(rid, [])), None) for rid in rids]

    def cut_link(self, first: str, second: str) -> None:
        """End the connections between two nodes and keep them apart."""
        self.cut.add(frozenset((first, second)))
        self._disconnect(first, second)

    def heal(self) -> None:
        """Let every pair connect again."""
        self.cut.clear()
        self._dial()

    def kill(self, name: str) -> None:
        """Discard a node with its memory, without a word."""
        del self.nodes[name]
        for other in list(self.nodes):
            self._disconnect(name, other)

    def restart(self, name: str) -> None:
        """Start a killed node again with an empty memory."""
        table = next(iter(self.nodes.values())).members.table
        entry, known = self._entry(name, MemberState.OUTSIDE), table.entries.get(name)
        if known is not None and known.state in (MemberState.LEFT, MemberState.REMOVED, MemberState.REMOVING):
            entry = attrs.evolve(entry, place=known.place + 1)
        elif known is not None:
            entry = attrs.evolve(known, generation=entry.generation)
        self._start(name, table.with_entry(entry), complete=False)
        self._dial()

    def join(self, name: str) -> None:
        """Start a node that was not a founder."""
        self.restart(name)

    def stop(self, name: str, within_s: float) -> None:
        """Ask a node to stop without leaving."""
        self._turn(name, [], [StopRequested(self.now_s + within_s)])

    def tell(self, name: str, item: Input) -> None:
        """Give a node one input."""
        self._turn(name, [], [item])

    def set_state(self, name: str, state: MemberState, *, known_to: tuple[str, ...] = ()) -> None:
        """Let a member's place be another one, in the tables of some nodes (all by default), which spread it."""
        for node_name in known_to or tuple(self.nodes):
            members = self.nodes[node_name].members
            entry = members.table.entries[name]
            changed = attrs.evolve(entry, state=state, version=entry.version + 1)
            self._turn(node_name, [], [])
            members._set_table(members.table.with_entry(changed))
            self.perform(node_name, members.shared.effects)

    def holders(self, key: bytes) -> list[str]:
        """Return the nodes whose store has a record of the key."""
        return [name for name, node in self.nodes.items() if self.record(name, key) is not None]

    def record(self, name: str, key: bytes) -> bytes | None:
        """Return a node's stored record of the key."""
        node = self.nodes[name]
        return node.engine.peek(self.partition(key), key)

    def partition(self, key: bytes) -> int:
        """Return the key's partition."""
        return int(self.ask(next(iter(self.nodes)), [48, "owners", key], 0.0)[2]["partition"])

    def owners(self, key: bytes) -> list[str]:
        """Return the key's owners in order."""
        return list(self.ask(next(iter(self.nodes)), [48, "owners", key], 0.0)[2]["owners"])

    def instant(self, name: str) -> Instant:
        """Return the time on a node's clocks."""
        offset = self.wall_offset_ms.get(name, 0)
        return Instant(self.now_s, WALL_MS + int(self.now_s * 1000) + offset)

    def inbound(self, name: str, source: str) -> int:
        """Return the connection of a node on which another one sends it requests."""
        return self._links[source, self.nodes[source].links.by_node[name].connection][1]

    # Inside

    def _entry(self, name: str, state: MemberState) -> MemberEntry:
        self._incarnations += 1
        return MemberEntry(name, self._incarnations, 1, state, "", 1, name, 1)

    def _awake(self) -> list[tuple[str, Node]]:
        return [(name, node) for name, node in self.nodes.items() if name not in self.paused]

    def _start(self, name: str, table: MemberTable, *, complete: bool) -> None:
        entry = table.entries[name]
        birth = Birth(node_id=name, incarnation=entry.generation, host=name, port=1, founders=1, join_timeout_s=1.0)
        assert isinstance(birth.outcome, Born)
        birth.outcome = Joined(birth.outcome.record, table, entry)
        node = Node(self.config, name, entry.generation, birth, table, complete, Random(name), self.instant(name))
        if not self.repair:
            node.upkeep.cores.clear()
        self.nodes[name] = node
        self.stopped.discard(name)
        self._turn(name, [], [Connected(CLIENT, Role.CLIENT, None, False)])

    def _turn(self, name: str, received: list[Any], inputs: list[Input]) -> None:
        if name not in self.nodes:
            return
        self.perform(name, self.nodes[name].handle(self.instant(name), received, inputs))

    def perform(self, name: str, effects: Effects) -> None:
        """Carry out what a node asked for."""
        for connections, message in effects.shared:
            for connection in connections:
                self._send(name, connection, message)
        for connection, messages in effects.sends.items():
            for message in messages:
                self._send(name, connection, message)
        for payload, address in effects.datagrams:
            self._post(self.delay_s, name, address[0], -1, payload)
        for effect in effects.others:
            if isinstance(effect, Connect):
                self._wanted.add((name, effect.node_id))
            elif isinstance(effect, Disconnect):
                self._wanted.discard((name, effect.node_id))
            elif isinstance(effect, Note):
                self.notes.append((name, effect))
            elif isinstance(effect, Stopped):
                self.stopped.add(name)
            elif isinstance(effect, Halt):
                self.halted[name] = effect

    def _send(self, name: str, connection: int, message: Message) -> None:
        if connection == CLIENT:
            reply = _through_the_wire(message)
            if reply[1]:
                self.replies.setdefault(reply[1], []).append(reply)
            else:
                self.pushed.append(reply)
            return
        to = self._links.get((name, connection))
        if to is not None:
            self._post(self.delay_s, name, to[0], to[1], _through_the_wire(message))

    def _post(self, delay_s: float, source: str, target: str, connection: int, content: Any) -> None:
        self._sent += 1
        heappush(self._wire, (self.now_s + delay_s, self._sent, source, target, connection, content))

    def _deliver(self) -> None:
        while self._wire and self._wire[0][0] <= self.now_s:
            _, _, source, target, connection, content = heappop(self._wire)
            if target in self.paused:
                self._post(0.05, source, target, connection, content)
            elif frozenset((source, target)) in self.cut or target not in self.nodes:
                continue
            elif connection == -1:
                self._turn(target, [], [DatagramReceived(content, (source, 1))])
            elif (target, connection) in self._links:
                self.seen.append((source, target, self._links[target, connection][1], content))
                self._turn(target, [(connection, [content])], [])

    def _dial(self) -> None:
        for source, target in sorted(self._wanted):
            usable = source in self.nodes and target in self.nodes and frozenset((source, target)) not in self.cut
            if not usable or self._linked(source, target):
                continue
            for role in (Role.PEER, Role.BULK):
                mine, theirs = self._next_connection, self._next_connection + 1
                self._next_connection += 2
                self._links[source, mine] = (target, theirs)
                self._links[target, theirs] = (source, mine)
                self._turn(target, [], [Connected(theirs, role, source, False)])
                self._turn(source, [], [Connected(mine, role, target, True)])
                self._outbound.add((source, target))

    def _linked(self, source: str, target: str) -> bool:
        return (source, target) in self._outbound

    def _disconnect(self, first: str, second: str) -> None:
        ends = [(end, other) for end, other in list(self._links.items()) if {end[0], other[0]} == {first, second}]
        self._outbound -= {(first, second), (second, first)}
        for end, _ in ends:
            del self._links[end]
        self._wire = [item for item in self._wire if {item[2], item[3]} != {first, second} or item[4] == -1]
        heapify(self._wire)
        for (name, connection), _ in ends:
            self._turn(name, [], [Disconnected(connection)])
