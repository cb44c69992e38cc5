"""A network of membership cores under virtual time: one heap of events, everything drawn from one seed.

Datagrams may be lost and delayed, streams are only delayed; a partition cuts both. A node can be killed, started
again with a higher generation, and paused: a paused node handles nothing, and what arrives meanwhile waits in its
socket, as in a process held up by its collector.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Iterable, Sequence

import attrs
import msgpack

from dynacache.config.membership import MembershipConfig
from dynacache.membership.datagram import DatagramCodec, Packet
from dynacache.membership.effects import Effect, MemberChanged, NameConflict, SendDatagram, SendStream
from dynacache.membership.messages import Message, encode_claim
from dynacache.membership.state import Address, Member, NodeState
from dynacache.membership.swim import Swim

__all__ = ["Bench", "Change", "Network", "Node", "node_name"]

WALL_EPOCH_MS = 1_700_000_000_000


def node_name(number: int) -> str:
    """The id of the node of that number."""
    return f"node-{number}"


@attrs.define(eq=False)
class Bench:
    """One core alone on the bench: its peers are codecs in the hands of the test, which writes and reads every
    packet."""

    config: MembershipConfig = attrs.field(factory=MembershipConfig)
    keyring: tuple[bytes, ...] = (b"a secret of the cluster",)
    now_s: float = 1_000.0
    own: Member = attrs.field(factory=lambda: Member("self", "10.0.0.1", 7000, generation=10))
    swim: Swim = attrs.field(init=False)
    _codecs: dict[str, DatagramCodec] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.swim = Swim(self.config, self.own, random.Random(7), self.keyring, b"cluster")

    @property
    def wall_ms(self) -> int:
        return WALL_EPOCH_MS + int(self.now_s * 1000)

    def codec(self, name: str) -> DatagramCodec:
        """The codec of the peer of that name."""
        if name not in self._codecs:
            self._codecs[name] = DatagramCodec(self.config, name, b"cluster")
            self._codecs[name].set_keyring(self.keyring)
        return self._codecs[name]

    def hear(self, sender: str, *messages: list[object] | bytes, at: Address = ("10.9.9.9", 7000)) -> list[Effect]:
        """What the core does about a packet of `sender` with these messages."""
        encoded = [message if isinstance(message, bytes) else msgpack.packb(message) for message in messages]
        payload = self.codec(sender).encode(encoded, self.wall_ms)
        return self.swim.handle_datagram(self.now_s, self.wall_ms, payload, at)

    def hear_of(self, *members: Member, source: str = "peer") -> list[Effect]:
        """What the core does about these claims in one packet."""
        return self.hear("peer", *(encode_claim(member, source) for member in members))

    def stream(self, sender: str, payload: object) -> list[Effect]:
        """What the core does about a peer message."""
        return self.swim.handle_stream(self.now_s, self.wall_ms, sender, payload)

    def tick(self, seconds: float = 0.0) -> list[Effect]:
        """What the core does until so many seconds have passed, woken whenever it asks to be."""
        effects: list[Effect] = []
        end_s = self.now_s + seconds
        while self.swim.next_deadline() <= end_s:
            self.now_s = max(self.now_s, self.swim.next_deadline())
            effects += self.swim.tick(self.now_s, self.wall_ms)
        self.now_s = end_s
        return effects

    def sent(self, effects: Sequence[Effect], to: Address | None = None) -> list[Message]:
        """All messages in the datagrams among these effects (to that address), read by a stranger with the right
        key."""
        reader = DatagramCodec(self.config, "reader", b"cluster")
        reader.set_keyring(self.keyring)
        messages: list[Message] = []
        for effect in effects:
            if isinstance(effect, SendDatagram) and to in (None, effect.address):
                packet = reader.decode(effect.payload, self.wall_ms)
                assert isinstance(packet, Packet)
                messages += packet.messages
        return messages


@attrs.frozen
class Change:
    """One change of a view."""

    at_s: float
    viewer: str
    member: Member
    previous_state: NodeState | None


@attrs.define(eq=False)
class Node:
    """One process: its core, and whether it runs."""

    swim: Swim
    address: Address
    is_running: bool = True
    paused_until_s: float = -math.inf
    slept_until_s: float = math.inf
    conflicts: list[NameConflict] = attrs.field(factory=list)


@attrs.define(eq=False)
class Network:
    """Nodes and the wire between them."""

    seed: int
    config: MembershipConfig = attrs.field(factory=MembershipConfig)
    loss: float = 0.0
    delay_s: tuple[float, float] = (0.000_2, 0.002)
    keyring: tuple[bytes, ...] = (b"a secret of the cluster",)
    now_s: float = 0.0
    nodes: dict[str, Node] = attrs.field(factory=dict)
    changes: list[Change] = attrs.field(factory=list)
    packet_sizes: list[int] = attrs.field(factory=list)
    taps: list[Callable[[bytes], None]] = attrs.field(factory=list)
    cut: set[tuple[str, str]] = attrs.field(factory=set)
    datagrams: int = 0
    _random: random.Random = attrs.field(init=False)
    _heap: list[tuple[float, int, int, Callable[[], None]]] = attrs.field(factory=list)
    _counter: int = 0
    _sides: dict[str, int] = attrs.field(factory=dict)
    _by_address: dict[Address, Node] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @property
    def wall_ms(self) -> int:
        return WALL_EPOCH_MS + int(self.now_s * 1000)

    def start(
        self, number: int, seeds: Iterable[int] = (), *, generation: int | None = None, place: int | None = None
    ) -> Node:
        """Start node `number` with a generation from the clock, at the address of number `place`, joining through
        these.

        A process that runs under the same name somewhere else goes on, but is no longer in `nodes`.
        """
        name = node_name(number)
        place = number if place is None else place
        address = (f"10.0.{place // 250}.{place % 250 + 1}", 7000)
        member = Member(name, *address, generation=self.wall_ms if generation is None else generation)
        core_random = random.Random(self._random.getrandbits(64))
        swim = Swim(self.config, member, core_random, self.keyring, b"cluster")
        node = self.nodes[name] = self._by_address[address] = Node(swim, address)
        seed_addresses = [self.nodes[node_name(seed)].address for seed in seeds]
        self.perform(node, swim.join(self.now_s, self.wall_ms, seed_addresses))
        return node

    def cluster(self, size: int) -> list[str]:
        """Start `size` nodes that join through the first, give them a few seconds and check that they agree; their
        ids."""
        for number in range(size):
            self.start(number, [0] if number else [])
        names = list(self.nodes)
        for node in self.nodes.values():
            node.swim.set_ring_members(names)
        self.run(5.0)
        assert self.all_alive()
        self.changes.clear()
        return names

    def kill(self, name: str) -> None:
        """The process is gone, without a word."""
        self.nodes[name].is_running = False

    def pause(self, name: str, seconds: float) -> None:
        """The process handles nothing for so long."""
        self.nodes[name].paused_until_s = self.now_s + seconds

    def split(self, *sides: Sequence[str]) -> None:
        """Only nodes of one side reach each other; without sides, all do."""
        self._sides = {name: number for number, side in enumerate(sides) for name in side}

    def at(self, time_s: float, action: Callable[[], None]) -> None:
        """Do this at that virtual time."""
        self._push(time_s, 0, action)

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        end_s = self.now_s + seconds
        while self._heap and self._heap[0][0] <= end_s:
            self.now_s, _, _, action = heapq.heappop(self._heap)
            action()
        self.now_s = end_s

    def run_until(self, condition: Callable[[], bool], limit_s: float, step_s: float = 0.05) -> float:
        """Let time pass until `condition` holds; the seconds that took. Fails after `limit_s`."""
        began_s = self.now_s
        while not condition():
            assert self.now_s - began_s < limit_s, f"not within {limit_s} s: {self.views()}"
            self.run(step_s)
        return self.now_s - began_s

    def running(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.is_running]

    def all_alive(self) -> bool:
        """Every running node holds exactly the running ones ALIVE, at their present generation."""
        wanted = {node.swim.own.node_id: node.swim.own.generation for node in self.running()}
        return all(self.alive_in(node) == wanted for node in self.running())

    def alive_in(self, node: Node) -> dict[str, int]:
        return {m.node_id: m.generation for m in node.swim.members() if m.state is NodeState.ALIVE}

    def states_of(self, name: str) -> list[NodeState | None]:
        """How all other running nodes hold that one."""
        held = [node.swim.member(name) for node in self.running() if node.swim.own.node_id != name]
        return [None if member is None else member.state for member in held]

    def views(self) -> dict[str, dict[str, str]]:
        return {
            node.swim.own.node_id: {m.node_id: f"{m.state.name}@{m.incarnation}" for m in node.swim.members()}
            for node in self.running()
        }

    def deaths(self) -> list[Change]:
        return [change for change in self.changes if change.member.state is NodeState.DEAD]

    def perform(self, node: Node, effects: list[Effect]) -> None:
        """Carry out what a core asked for, and wake it when it wants."""
        for effect in effects:
            if isinstance(effect, SendDatagram):
                self._send_datagram(node, effect)
            elif isinstance(effect, SendStream):
                self._send_stream(node, effect)
            elif isinstance(effect, MemberChanged):
                viewer = node.swim.own.node_id
                self.changes.append(Change(self.now_s, viewer, effect.member, effect.previous_state))
            elif isinstance(effect, NameConflict):
                node.conflicts.append(effect)
        self._schedule_tick(node)

    def inject(self, node: Node, payload: bytes, origin: Address) -> None:
        """Hand these bytes to a node as a datagram, now."""
        self.perform(node, node.swim.handle_datagram(self.now_s, self.wall_ms, payload, origin))

    def _send_datagram(self, sender: Node, effect: SendDatagram) -> None:
        self.datagrams += 1
        self.packet_sizes.append(len(effect.payload))
        for tap in self.taps:
            tap(effect.payload)
        delay_s = self._random.uniform(*self.delay_s)
        if self._random.random() < self.loss:
            return
        self._push(self.now_s + delay_s, 0, lambda: self._deliver_datagram(sender, effect))

    def _deliver_datagram(self, sender: Node, effect: SendDatagram) -> None:
        target = self._at(effect.address)
        if target is None or not self._connected(sender, target):
            return
        if self._is_paused(target):
            self._push(target.paused_until_s, 0, lambda: self._deliver_datagram(sender, effect))
            return
        self.inject(target, effect.payload, sender.address)

    def _send_stream(self, sender: Node, effect: SendStream) -> None:
        payload = msgpack.unpackb(msgpack.packb(effect.payload))
        delay_s = 2 * self._random.uniform(*self.delay_s)
        self._push(self.now_s + delay_s, 0, lambda: self._deliver_stream(sender, effect, payload))

    def _deliver_stream(self, sender: Node, effect: SendStream, payload: object) -> None:
        if effect.address is not None:
            target = self._at(effect.address)
        else:
            assert effect.node_id is not None
            target = self.nodes.get(effect.node_id)
        if target is None or not target.is_running or not self._connected(sender, target):
            return
        if self._is_paused(target):
            self._push(target.paused_until_s, 0, lambda: self._deliver_stream(sender, effect, payload))
            return
        effects = target.swim.handle_stream(self.now_s, self.wall_ms, sender.swim.own.node_id, payload)
        self.perform(target, effects)

    def _schedule_tick(self, node: Node) -> None:
        wanted_s = max(node.swim.next_deadline(), self.now_s)
        if wanted_s < node.slept_until_s:
            node.slept_until_s = wanted_s
            self._push(wanted_s, 1, lambda: self._tick(node, wanted_s))

    def _tick(self, node: Node, wanted_s: float) -> None:
        if not node.is_running or node.slept_until_s != wanted_s:
            return
        node.slept_until_s = math.inf
        if self._is_paused(node):
            resumed_s = node.slept_until_s = node.paused_until_s
            self._push(resumed_s, 1, lambda: self._tick(node, resumed_s))
            return
        self.perform(node, node.swim.tick(self.now_s, self.wall_ms))

    def _at(self, address: Address) -> Node | None:
        node = self._by_address.get(address)
        return node if node is not None and node.is_running else None

    def _is_paused(self, node: Node) -> bool:
        return self.now_s < node.paused_until_s

    def _connected(self, sender: Node, target: Node) -> bool:
        pair = (sender.swim.own.node_id, target.swim.own.node_id)
        if not sender.is_running or pair in self.cut:
            return False
        return self._sides.get(pair[0]) == self._sides.get(pair[1])

    def _push(self, time_s: float, priority: int, action: Callable[[], None]) -> None:
        self._counter += 1
        heapq.heappush(self._heap, (time_s, priority, self._counter, action))
