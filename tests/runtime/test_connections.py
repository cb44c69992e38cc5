"""Deadlines and hello of one connection, without sockets that do anything."""

import socket
from collections.abc import Iterator

import pytest

from dynacache.config import NetworkConfig
from dynacache.errors import ProtocolError
from dynacache.runtime.connections import LINGER_S, Connection, advance_hello, overdue
from dynacache.types import Role
from dynacache.wire.codec import frame_of_messages
from dynacache.wire.handshake import HELLO_LIMIT_BYTES, Acceptor, Initiator
from dynacache.wire.messages import FRAME_LIMIT_BYTES, GET

NETWORK = NetworkConfig(port=0, hello_timeout_s=5, frame_timeout_s=30, idle_timeout_s=300)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@pytest.fixture
def accepted(ends: tuple[socket.socket, socket.socket]) -> Connection:
    return Connection(1, ends[0], ends[0].fileno(), Acceptor(b"", "b", None, b"2" * 32), 100.0)


def admitted(connection: Connection, role: Role = Role.CLIENT) -> Connection:
    """The same connection past its hello."""
    hello = Initiator(role, b"", "" if role is Role.CLIENT else "a", None, b"1" * 32)
    (welcome,) = advance_hello(connection, frame_of_messages([hello.first()]))
    assert advance_hello(connection, frame_of_messages(hello.receive(welcome))) == []
    connection.admit(NETWORK)
    return connection


def test_a_stranger_is_granted_a_hello_only(accepted: Connection) -> None:
    assert accepted.reader.limit_bytes == HELLO_LIMIT_BYTES
    assert not accepted.open
    assert admitted(accepted).reader.limit_bytes == FRAME_LIMIT_BYTES
    assert accepted.open


@pytest.mark.parametrize(
    ("role", "node_id", "high_water_bytes"),
    [
        (Role.CLIENT, None, NETWORK.client_high_water_bytes),
        (Role.PEER, "a", NETWORK.peer_high_water_bytes),
        (Role.BULK, "a", NETWORK.peer_high_water_bytes),
    ],
)
def test_what_the_hello_proved_is_taken_over(
    accepted: Connection, role: Role, node_id: str | None, high_water_bytes: int
) -> None:
    connection = admitted(accepted, role)
    assert (connection.role, connection.node_id, connection.high_water_bytes) == (role, node_id, high_water_bytes)
    assert connection.is_client is (role is Role.CLIENT)
    assert not connection.outbound


def test_bytes_behind_the_hello_stay(accepted: Connection) -> None:
    hello = Initiator(Role.CLIENT, b"", "", None, b"1" * 32)
    (welcome,) = advance_hello(accepted, frame_of_messages([hello.first()]))
    request = [GET, 1, b"k"]
    advance_hello(accepted, frame_of_messages(hello.receive(welcome)) + frame_of_messages([request]))
    accepted.admit(NETWORK)
    assert accepted.feed(b"") == [request]


def test_a_hello_with_company_in_its_frame(accepted: Connection) -> None:
    hello = Initiator(Role.CLIENT, b"", "", None, b"1" * 32)
    (welcome,) = advance_hello(accepted, frame_of_messages([hello.first()]))
    with pytest.raises(ProtocolError, match="one message"):
        advance_hello(accepted, frame_of_messages([*hello.receive(welcome), [GET, 1, b"k"]]))


def test_deadline_of_the_hello(accepted: Connection) -> None:
    assert overdue(accepted, 105.0, NETWORK) is None
    assert overdue(accepted, 105.1, NETWORK) == "no hello within 5 s"


def test_deadline_of_a_silent_client(accepted: Connection) -> None:
    connection = admitted(accepted)
    connection.heard_s = 200.0
    assert overdue(connection, 500.0, NETWORK) is None
    assert overdue(connection, 500.1, NETWORK) == "silent for 300 s"


@pytest.mark.parametrize("role", [Role.PEER, Role.BULK])
def test_a_silent_peer_has_none(accepted: Connection, role: Role) -> None:
    assert overdue(admitted(accepted, role), 1e9, NETWORK) is None


def test_deadline_of_a_frame_counts_from_the_first_look(accepted: Connection) -> None:
    connection = admitted(accepted, Role.PEER)
    frame = frame_of_messages([[GET, 1, b"k"]])
    connection.feed(frame[:5])
    assert overdue(connection, 1000.0, NETWORK) is None
    assert overdue(connection, 1030.0, NETWORK) is None
    assert overdue(connection, 1030.1, NETWORK) == "a frame was not complete within 30 s"


def test_every_completed_frame_starts_the_deadline_anew(accepted: Connection) -> None:
    connection = admitted(accepted, Role.PEER)
    frame = frame_of_messages([[GET, 1, b"k"]])
    connection.feed(frame[:5])
    for now_s in range(0, 300, 20):
        assert overdue(connection, now_s, NETWORK) is None
        connection.feed(frame[5:] + frame[:5])
    connection.feed(frame[5:])
    assert overdue(connection, 1000, NETWORK) is None
    assert overdue(connection, 2000, NETWORK) is None


def test_deadline_of_a_close(accepted: Connection) -> None:
    connection = admitted(accepted)
    connection.closing_s = 200.0
    assert overdue(connection, 200.0 + LINGER_S, NETWORK) is None
    assert overdue(connection, 200.1 + LINGER_S, NETWORK) is not None


def test_another_node_than_expected(ends: tuple[socket.socket, socket.socket]) -> None:
    hello = Initiator(Role.PEER, b"", "a", None, b"1" * 32)
    connection = Connection(1, ends[0], ends[0].fileno(), hello, 0.0, "b")
    assert connection.outbound
    welcome = Acceptor(b"", "c", None, b"2" * 32).receive(hello.first())
    with pytest.raises(ProtocolError, match="expected node 'b'"):
        advance_hello(connection, frame_of_messages(welcome))
