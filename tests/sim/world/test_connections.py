"""Connections: hellos, frames, refusals and deadlines of one machine, on a fake core."""

from typing import Any

import attrs
import pytest

from dynacache.events import Blocked, Connected, Disconnected
from dynacache.types import Role
from dynacache.wire.codec import frame_of_messages
from dynacache.wire.handshake import Acceptor, Initiator
from sim.draws import Draws
from sim.world.connections import FRAME_TIMEOUT_S, HELLO_TIMEOUT_S, Connections
from sim.world.heap import Heap
from sim.world.network import End, Network


@attrs.define(eq=False)
class Side:
    """One host with connections; ``accepts`` with this name."""

    name: str
    heap: Heap
    network: Network
    turns: int = 0
    connections: Connections = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.connections = Connections(self.heap, self.network, 1000, self._turn)

    def _turn(self) -> None:
        self.turns += 1

    def accept(self, end: End) -> bool:
        self.connections.adopt(end, Acceptor(b"c" * 16, self.name, None, b"n" * 32))
        return True

    def arrived(self, end: End, data: bytes | None) -> None:
        if end.state is not None:
            self.connections.arrived(end.state, data)

    def datagram(self, payload: bytes, address: tuple[str, int]) -> None:
        raise AssertionError

    def blocked(self, end: End, blocked: bool) -> None:
        self.connections.blocked(end.state, blocked)


@attrs.define(eq=False)
class Pair:
    """Two sides, the first of which dials the second."""

    heap: Heap = attrs.field(factory=Heap)
    network: Network = attrs.field(init=False)
    a: Side = attrs.field(init=False)
    b: Side = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.network = Network(self.heap, Draws(1), 0.001, 0.001)
        self.a, self.b = Side("a", self.heap, self.network), Side("b", self.heap, self.network)
        self.network.hosts = {("a", 1): self.a, ("b", 1): self.b}

    def dial(self, expected: str | None = "b", cluster_id: bytes = b"c" * 16) -> list[Any]:
        made: list[Any] = []

        def established(end: End | None) -> None:
            assert end is not None
            hello = Initiator(Role.PEER, cluster_id, "a", None, b"m" * 32)
            made.append(self.a.connections.adopt(end, hello, expected, lambda: made.append("ended")))

        self.network.dial(self.a, ("b", 1), "test", established)
        return made

    def advance(self, seconds: float) -> None:
        self.heap.run(self.heap.now_s + seconds)


def test_a_hello_makes_a_link_and_messages_flow() -> None:
    pair = Pair()
    made = pair.dial()
    pair.advance(1.0)
    assert pair.a.connections.inputs == [Connected(1, Role.PEER, "b", True)]
    assert pair.b.connections.inputs == [Connected(1, Role.PEER, "a", False)]
    assert pair.a.connections.open_links() == [Connected(1, Role.PEER, "b", True)]
    pair.network.send(made[0].end, frame_of_messages([[1, 2], [3]]))
    pair.advance(1.0)
    assert pair.b.connections.received == [(1, [[1, 2], [3]])]


@pytest.mark.parametrize(("expected", "cluster_id"), [("c", b"c" * 16), ("b", b"d" * 16)])
def test_a_hello_with_the_wrong_node_or_cluster_fails(expected: str, cluster_id: bytes) -> None:
    pair = Pair()
    made = pair.dial(expected, cluster_id)
    pair.advance(1.0)
    assert made[1:] == ["ended"]
    assert not pair.a.connections.by_number
    assert not [each for each in pair.a.connections.inputs if isinstance(each, Connected)]


def test_an_end_is_reported_once_on_both_sides() -> None:
    pair = Pair()
    made = pair.dial()
    pair.advance(1.0)
    pair.a.connections.close(made[0])
    pair.a.connections.close(made[0])
    pair.advance(1.0)
    assert pair.a.connections.inputs[1:] == [Disconnected(1, "b")]
    assert pair.b.connections.inputs[1:] == [Disconnected(1, "a")]
    assert made[1:] == ["ended"]
    assert pair.a.turns == 1


def test_a_stranger_that_says_nothing_is_dropped() -> None:
    pair = Pair()
    pair.network.dial(pair.a, ("b", 1), "silent", lambda _: None)
    pair.advance(HELLO_TIMEOUT_S - 0.5)
    assert len(pair.b.connections.by_number) == 1
    pair.advance(1.0)
    assert not pair.b.connections.by_number
    assert pair.b.connections.inputs == [], "the core never knew of it"


def test_nonsense_closes_and_half_a_frame_does_so_at_its_deadline() -> None:
    pair = Pair()
    made = pair.dial()
    pair.advance(1.0)
    pair.network.send(made[0].end, b"\x00\x00\x00\x01\xc1")
    pair.advance(1.0)
    assert not pair.b.connections.by_number
    made = pair.dial()
    pair.advance(1.0)
    pair.network.send(made[0].end, b"\x00\x00\x00\xff\x91")
    pair.advance(FRAME_TIMEOUT_S - 2.0)
    assert len(pair.b.connections.by_number) == 1
    pair.advance(3.0)
    assert not pair.b.connections.by_number


def test_a_full_link_is_reported() -> None:
    pair = Pair()
    made = pair.dial()
    pair.advance(1.0)
    pair.network.cut("a", "b")
    pair.network.send(made[0].end, bytes(2000))
    assert pair.a.connections.inputs[1:] == [Blocked(1)]
