"""A lean world for membership cores alone: a thousand of them, a heap, and nothing else.

What: ``GossipWorld`` hosts N real ``Swim`` cores. Datagrams are lost and delayed, streams are only delayed; a node can
be crashed, and blocked for a while: a blocked node handles nothing, what arrives waits in its socket, up to the limit
of a socket, and is handled when it comes to, before its timers. Every datagram is the real packet, signed and checked.
Streams are handed over as the values that a peer message would carry, and counted by their packed size.

Invariant: nobody but the heap says what happens next; the same seed gives the same world. Traffic is counted where it
is sent, full exchanges of tables apart from all else.

Why not ``sim.world``: that one packs whole nodes and frames for judges. Here the price of one event decides whether a
thousand nodes fit into minutes, so an event is one tuple and one call. For the same reason delays come from one
generator: nothing here is ever shrunk.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from random import Random
from typing import Any

import attrs
import msgpack

from dynacache.config.membership import MembershipConfig
from dynacache.membership.effects import Effect, MemberChanged, SendDatagram, SendStream
from dynacache.membership.messages import PULL, PUSH, exchange_payload
from dynacache.membership.state import Address, Member, NodeState
from dynacache.membership.swim import Swim

from .draws import Draws, Stream

__all__ = ["GossipNode", "GossipWorld", "Traffic", "Weather", "node_id"]

_EPOCH_MS = 1_700_000_000_000
_PORT = 7400
_KEYRING = (b"the secret of a simulated cluster",)
_CLUSTER_ID = b"simulated cluster"

_Watcher = Callable[["GossipNode", Member, NodeState | None], None]


def node_id(number: int) -> str:
    """Return the name of the node of that number."""
    return f"node-{number:04d}"


@attrs.frozen
class Weather:
    """What the network does. Delays are one way, in seconds, drawn evenly from the range."""

    loss: float = 0.0
    """Share of datagrams that never arrive."""
    delay_minimum_s: float = 0.000_2
    delay_maximum_s: float = 0.001
    socket_limit: int = 256
    """Datagrams that wait for a blocked node; further ones are lost, as in a full socket."""


@attrs.define
class Traffic:
    """What all nodes together sent."""

    datagrams: int = 0
    datagram_bytes: int = 0
    gossip: int = 0
    """Those of the datagrams that carried rumours alone."""
    rumour_bytes: int = 0
    """Bytes of those, and of rumours that rode on probes and answers."""
    streams: int = 0
    """Pings over streams."""
    exchanges: int = 0
    """Tables sent, an answer counting as one of its own."""
    exchange_bytes: int = 0

    def since(self, earlier: "Traffic") -> "Traffic":
        """Return what was added to an earlier copy."""
        later, before = attrs.astuple(self), attrs.astuple(earlier)
        return Traffic(*(new - old for new, old in zip(later, before, strict=True)))


@attrs.define(eq=False)
class GossipNode:
    """One core and its process."""

    number: int
    swim: Swim
    is_running: bool = True
    blocked_until_s: float = -math.inf
    wake_s: float = math.inf
    live_view: int = 1
    """Members that it holds ALIVE or SUSPECT, itself included."""
    inbox: list[tuple[bool, Any, Any]] = attrs.field(factory=list)


@attrs.define(eq=False)
class GossipWorld:
    """N membership cores under virtual time."""

    seed: int
    config: MembershipConfig = attrs.field(factory=MembershipConfig)
    weather: Weather = attrs.field(factory=Weather)
    now_s: float = 100.0
    nodes: list[GossipNode] = attrs.field(factory=list)
    traffic: Traffic = attrs.field(factory=Traffic)
    watchers: list[_Watcher] = attrs.field(factory=list)
    events: int = 0
    lost_in_sockets: int = 0
    _draws: Draws = attrs.field(init=False)
    _chance: Callable[[], float] = attrs.field(init=False)
    _heap: list[tuple[float, int, int, Callable[..., object], tuple[Any, ...]]] = attrs.field(factory=list)
    _by_address: dict[Address, GossipNode] = attrs.field(factory=dict)
    _number: int = 0

    def __attrs_post_init__(self) -> None:
        """Draw from the seed."""
        self._draws = Draws(self.seed)
        self._chance = self._draws.random("network").random

    @property
    def wall_ms(self) -> int:
        """Return the wall clock, the same everywhere."""
        return _EPOCH_MS + int(self.now_s * 1000)

    def random(self, *labels: str | int) -> Random:
        """Return a generator of that name."""
        return self._draws.random(*labels)

    def stream(self, *labels: str | int) -> Stream:
        """Return draws of that name."""
        return self._draws.stream(*labels)

    def at(self, at_s: float, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function at a moment."""
        self._push(at_s, 0, function, arguments)

    def counted(self) -> Traffic:
        """Return the traffic so far; what was rumours is asked of the cores, which alone can tell."""
        counters = [node.swim._outbox.counters for node in self.nodes]
        return attrs.evolve(
            self.traffic,
            gossip=sum(each.gossip_sent for each in counters),
            rumour_bytes=sum(each.rumour_bytes_sent for each in counters),
        )

    def running(self) -> list[GossipNode]:
        """Return the nodes that run."""
        return [node for node in self.nodes if node.is_running]

    def rumours(self) -> int:
        """Return how many rumours wait in all nodes together."""
        return sum(len(node.swim._outbox.rumours) for node in self.nodes)

    def start(self, seeds: Sequence[Address]) -> GossipNode:
        """Start one more node, which asks these seeds."""
        number = len(self.nodes)
        own = Member(node_id(number), f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", _PORT, generation=1)
        swim = Swim(self.config, own, self._draws.random("node", number), _KEYRING, _CLUSTER_ID)
        node = GossipNode(number, swim)
        self.nodes.append(node)
        self._by_address[own.address] = node
        self._perform(node, swim.join(self.now_s, self.wall_ms, seeds))
        return node

    def found(self, count: int) -> None:
        """Start so many nodes as if they had known each other for long: whole tables, no news left to tell, and the
        next exchange of tables somewhere in its interval.

        What a mass start costs grows with the square of the nodes (everybody tells everybody of everybody); it is
        measured in small clusters, and left out of large ones.
        """
        first = len(self.nodes)
        for _ in range(count):
            self.start(())
        members = [node.swim.own for node in self.nodes[first:]]
        table = exchange_payload(_CLUSTER_ID, [(each, each.node_id) for each in members], is_answer=True)
        for node in self.nodes[first:]:
            node.swim.handle_stream(self.now_s, self.wall_ms, members[0].node_id, table)
            node.live_view = sum(member.is_live for member in node.swim.members())
            _settle(node.swim, self.now_s, self._chance())

    def crash(self, node: GossipNode) -> None:
        """End a node without a word."""
        node.is_running = False
        del self._by_address[node.swim.own.address]

    def block(self, node: GossipNode, seconds: float) -> None:
        """Let a node handle nothing for so long."""
        node.blocked_until_s = self.now_s + seconds
        self._push(node.blocked_until_s, 0, self._unblock, (node,))

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        end_s = self.now_s + seconds
        heap = self._heap
        while heap and heap[0][0] <= end_s:
            at_s, _, _, function, arguments = heappop(heap)
            self.now_s = at_s
            function(*arguments)
            self.events += 1
        self.now_s = end_s

    def run_until(self, condition: Callable[[], bool], limit_s: float, step_s: float = 0.05) -> float:
        """Let time pass until a condition holds, at most so long; return the seconds that took, or infinity."""
        began_s = self.now_s
        while not condition():
            if self.now_s - began_s >= limit_s:
                return math.inf
            self.run(step_s)
        return self.now_s - began_s

    def _push(self, at_s: float, priority: int, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self._number = number = self._number + 1
        heappush(self._heap, (at_s, priority, number, function, arguments))

    def _perform(self, node: GossipNode, effects: list[Effect]) -> None:
        """Carry out what a core asks for, and wake it when it wants."""
        for effect in effects:
            if type(effect) is SendDatagram:
                self._send_datagram(node, effect.address, effect.payload)
            elif type(effect) is SendStream:
                self._send_stream(node, effect)
            elif type(effect) is MemberChanged:
                self._note_change(node, effect)
        wanted_s = node.swim.next_deadline()
        if wanted_s < node.wake_s:
            node.wake_s = wanted_s = max(wanted_s, self.now_s)
            self._push(wanted_s, 1, self._tick, (node, wanted_s))

    def _send_datagram(self, sender: GossipNode, address: Address, payload: bytes) -> None:
        traffic = self.traffic
        traffic.datagrams += 1
        traffic.datagram_bytes += len(payload)
        weather = self.weather
        if weather.loss and self._chance() < weather.loss:
            return
        low_s = weather.delay_minimum_s
        delay_s = low_s + (weather.delay_maximum_s - low_s) * self._chance()
        self._number = number = self._number + 1
        arguments = (address, True, payload, sender.swim.own.address)
        heappush(self._heap, (self.now_s + delay_s, 0, number, self._arrive, arguments))

    def _send_stream(self, sender: GossipNode, effect: SendStream) -> None:
        if effect.payload[0] in (PUSH, PULL):
            self.traffic.exchanges += 1
            self.traffic.exchange_bytes += len(msgpack.packb(effect.payload))
        else:
            self.traffic.streams += 1
        address = effect.address
        if address is None:
            held = sender.swim.member(effect.node_id or "")
            address = self._address_of(effect.node_id) if held is None else held.address
        delay_s = 2 * self.weather.delay_maximum_s
        arguments = (address, False, effect.payload, sender.swim.own.node_id)
        self._push(self.now_s + delay_s, 0, self._arrive, arguments)

    def _address_of(self, name: str | None) -> Address | None:
        """Return where the answer to a stranger goes: back on its own connection."""
        found: Iterator[Address] = (a for a, node in self._by_address.items() if node.swim.own.node_id == name)
        return next(found, None)

    def _arrive(self, address: Address, is_datagram: bool, payload: Any, origin: Any) -> None:
        node = self._by_address.get(address)
        if node is None:
            return
        if self.now_s < node.blocked_until_s:
            if len(node.inbox) < self.weather.socket_limit or not is_datagram:
                node.inbox.append((is_datagram, payload, origin))
            else:
                self.lost_in_sockets += 1
            return
        self._handle(node, is_datagram, payload, origin)

    def _handle(self, node: GossipNode, is_datagram: bool, payload: Any, origin: Any) -> None:
        if is_datagram:
            effects = node.swim.handle_datagram(self.now_s, self.wall_ms, payload, origin)
        else:
            effects = node.swim.handle_stream(self.now_s, self.wall_ms, origin, payload)
        self._perform(node, effects)

    def _unblock(self, node: GossipNode) -> None:
        if self.now_s < node.blocked_until_s or not node.is_running:
            return
        waiting, node.inbox = node.inbox, []
        for is_datagram, payload, origin in waiting:
            self._handle(node, is_datagram, payload, origin)

    def _tick(self, node: GossipNode, wanted_s: float) -> None:
        if not node.is_running or node.wake_s != wanted_s:
            return
        if self.now_s < node.blocked_until_s:
            node.wake_s = later_s = node.blocked_until_s
            self._push(later_s, 1, self._tick, (node, later_s))
            return
        node.wake_s = math.inf
        self._perform(node, node.swim.tick(self.now_s, self.wall_ms))

    def _note_change(self, node: GossipNode, effect: MemberChanged) -> None:
        was_live = effect.previous_state is not None and effect.previous_state <= NodeState.SUSPECT
        if effect.member.node_id != node.swim.own.node_id:
            node.live_view += effect.member.is_live - was_live
        for watcher in self.watchers:
            watcher(node, effect.member, effect.previous_state)


def _settle(swim: Swim, now_s: float, share: float) -> None:
    """Bring a core that has just heard of everybody to where it would be after hours: this reaches into a core,
    because the product has no use for it."""
    outbox = swim._outbox
    for member in swim.members():
        outbox.rumours.discard(member.node_id)
    exchange = swim._exchange
    exchange._push_pull_wait_s = wait_s = swim._config.push_pull_interval_s * exchange._scale()
    exchange._next_push_pull_at_s = now_s + share * wait_s
