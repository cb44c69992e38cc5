"""Datagrams in and out, without waiting and without a queue of our own."""

import socket
from collections.abc import Iterator

import pytest

from dynacache.events import DatagramReceived
from dynacache.runtime.gossip import DATAGRAM_LIMIT, GossipSocket


def made() -> GossipSocket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind(("127.0.0.1", 0))
    return GossipSocket(bound)


@pytest.fixture
def two() -> Iterator[tuple[GossipSocket, GossipSocket]]:
    one, other = made(), made()
    yield one, other
    one.close()
    other.close()


def test_there_and_back(two: tuple[GossipSocket, GossipSocket]) -> None:
    one, other = two
    address = other.socket.getsockname()
    one.send([(b"first", address), (b"second", address)])
    assert [item.payload for item in other.receive()] == [b"first", b"second"]
    one.send([(b"third", address)])
    assert other.receive() == [DatagramReceived(b"third", one.socket.getsockname())]
    assert other.receive() == []
    assert (one.sent, other.received) == (3, 3)


def test_one_turn_takes_a_bounded_number(two: tuple[GossipSocket, GossipSocket]) -> None:
    one, other = two
    address = other.socket.getsockname()
    other.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
    one.send([(b"x", address)] * (DATAGRAM_LIMIT + 10))
    assert len(other.receive()) == DATAGRAM_LIMIT
    assert len(other.receive()) == 10


@pytest.mark.parametrize(
    ("payload", "address"),
    [
        pytest.param(bytes(70_000), ("127.0.0.1", 9), id="too long"),
        pytest.param(b"x", ("127.0.0.1", 70_000), id="no port"),
        pytest.param(b"x", ("127.0.0.1", 0), id="port 0"),
        pytest.param(b"x", ("::1", 9), id="another family"),
        pytest.param(b"x", ("", 9), id="no name"),
        pytest.param(b"x", ("a" * 300, 9), id="a name that cannot be"),
    ],
)
def test_what_cannot_be_sent_is_dropped(
    two: tuple[GossipSocket, GossipSocket], payload: bytes, address: tuple[str, int]
) -> None:
    one, other = two
    one.send([(payload, address), (b"next", other.socket.getsockname())])
    assert one.dropped == 1
    assert [item.payload for item in other.receive()] == [b"next"]


def test_a_closed_port_does_not_stop_the_reading(two: tuple[GossipSocket, GossipSocket]) -> None:
    one, other = two
    gone = made()
    address = gone.socket.getsockname()
    gone.close()
    one.send([(b"x", address)])
    other.send([(b"y", one.socket.getsockname())])
    assert [item.payload for item in one.receive()] == [b"y"]


async def test_a_name_is_looked_up_beside_the_loop(two: tuple[GossipSocket, GossipSocket]) -> None:
    one, other = two
    address = ("localhost", other.socket.getsockname()[1])
    one.send([(b"too early", address)])
    assert one.dropped == 1
    await one.names.refresh()
    one.send([(b"now", address)])
    assert [item.payload for item in other.receive()] == [b"now"]
