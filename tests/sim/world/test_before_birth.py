"""Before the birth: strangers are answered, clients are told to come again, other links are closed."""

from typing import Any

from dynacache.errors import NotReady
from dynacache.membership.birth import Birth
from dynacache.types import Role
from dynacache.wire.framing import FrameReader
from dynacache.wire.messages import BIRTH, ERROR, GET, WRITE
from sim.draws import Draws
from sim.world.before_birth import answer_before_birth
from sim.world.connections import Connection, Connections
from sim.world.heap import Heap
from sim.world.network import End, Network


class Kept(Network):
    """A network that keeps what is sent."""

    sent: list[list[Any]]

    def send(self, end: End, data: bytes | None) -> None:
        self.sent.append([] if data is None else FrameReader().feed(data))


def test_each_is_answered_as_it_should_be() -> None:
    heap = Heap()
    network = Kept(heap, Draws(1), 0.001, 0.001)
    network.sent = []
    connections = Connections(heap, network, 1000, lambda: None)
    host: Any = None
    for number, role in ((1, Role.CLIENT), (2, Role.PEER), (3, Role.PEER)):
        end = End(host, Draws(1).stream("x"), open=False)
        connections.by_number[number] = Connection(number, end, None, False, None, FrameReader(), role=role)
    birth = Birth(node_id="n1", incarnation=1, host="n1", port=1, founders=2, seeds=(("n2", 1),))
    received: list[tuple[int, list[Any]]] = [
        (1, [[GET, 7, b"k"]]),
        (2, [[BIRTH, birth._state()]]),
        (3, [[WRITE, 1], [WRITE, 2]]),
        (4, [[GET, 8]]),
    ]
    answer_before_birth(connections, network, birth, 100.0, received)
    refusal, answer = (messages[0] for messages in network.sent)
    assert refusal[:3] == [ERROR, 7, NotReady.code]
    assert answer[0] == BIRTH
    assert sorted(connections.by_number) == [1, 2]
