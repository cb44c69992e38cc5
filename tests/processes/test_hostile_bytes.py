"""Whatever arrives on the TCP and UDP port of a real node, it answers an error or closes, and serves on."""

import os
import random
import socket
import time

import pytest

from dynacache.errors import FrameTooLarge
from dynacache.types import Role
from dynacache.wire.codec import frame_of_messages
from dynacache.wire.framing import FrameReader
from dynacache.wire.messages import DONE, ERROR, GET, PEER_MESSAGES, SET, VALUE
from tests.processes.nodes import HOST, Caller, Nodes, Process, free_ports, until

pytestmark = pytest.mark.processes

DEADLINES = ("hello_timeout_s=0.5", "frame_timeout_s=0.5", "idle_timeout_s=1")


@pytest.fixture
def node(nodes: Nodes) -> Process:
    """One serving node with short deadlines."""
    options = [word for deadline in DEADLINES for word in ("--set", f"network.{deadline}")]
    process = nodes.start(free_ports(1)[0], "--founders", "1", *options)
    until(process.report, 10, "the node serves")
    return process


def serves(node: Process) -> bool:
    with node.call() as caller:
        assert caller.ask(SET, 1, b"key", 1, b"value")[:3] == [DONE, 1, True]
        return bool(caller.ask(GET, 2, b"key")[:4] == [VALUE, 2, 1, b"value"])


def closes(stream: socket.socket, timeout_s: float) -> tuple[float, bytes]:
    """Seconds until the other end closed, and what it said before."""
    stream.settimeout(timeout_s)
    began_s = time.monotonic()
    said = b""
    try:
        while data := stream.recv(65_536):
            said += data
    except ConnectionResetError:
        pass
    return time.monotonic() - began_s, said


def test_garbage_over_tcp(node: Process) -> None:
    source = random.Random(7)
    pieces = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x00" * 100,
        b"*1\r\n$4\r\nPING\r\n",
        b"\x00\x00\x00\x00",
        b"\xff" * 9,
    ]
    pieces += [source.randbytes(source.randrange(1, 3000)) for _ in range(60)]
    for piece in pieces:
        with socket.create_connection((HOST, node.port), 5) as stream:
            stream.sendall(piece)
            stream.shutdown(socket.SHUT_WR)
            closes(stream, 5)
    assert serves(node)


@pytest.mark.parametrize("role", [Role.CLIENT, Role.PEER, Role.BULK])
def test_garbage_behind_the_hello(node: Process, role: Role) -> None:
    source = random.Random(int(role))
    for _ in range(40):
        with Caller(node.port, role=role) as caller:
            body = source.randbytes(source.randrange(1, 200))
            framed = len(body).to_bytes(4, "big") + body
            caller.socket.sendall(source.choice([body, framed]))
            caller.socket.shutdown(socket.SHUT_WR)
            closes(caller.socket, 5)
    assert serves(node)


def test_well_framed_nonsense_of_a_peer(node: Process) -> None:
    source = random.Random(3)
    values: list[object] = [None, True, -1, 2**64 - 1, b"", b"key", "text", [], [[]], {}, {"a": 1}, 1.5]
    for kind in sorted(PEER_MESSAGES) * 3:
        with Caller(node.port, role=Role.PEER) as caller:
            caller.send([kind, *source.choices(values, k=source.randrange(8))])
            caller.socket.shutdown(socket.SHUT_WR)
            closes(caller.socket, 5)
    assert serves(node)


def test_garbage_over_udp(node: Process) -> None:
    source = random.Random(5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for size in [0, 1, 27, 28, 1400, 1401, 9000, 65_000, *(source.randrange(1400) for _ in range(300))]:
            sender.sendto(source.randbytes(size), (HOST, node.port))
            sender.sendto(b"dg\x01\x01" + source.randbytes(size % 1300), (HOST, node.port))
    assert serves(node)


def test_an_oversized_frame_is_refused_from_its_header(node: Process) -> None:
    with node.call() as caller:
        caller.socket.sendall(b"\x7f\xff\xff\xff")
        message = caller.reply()
        assert message[:3] == [ERROR, 0, FrameTooLarge.code]
        assert closes(caller.socket, 5)[0] < 1
    assert serves(node)


def test_a_silent_stranger_is_closed_at_its_deadline(node: Process) -> None:
    with socket.create_connection((HOST, node.port), 5) as stream:
        after_s, said = closes(stream, 10)
        assert 0.4 < after_s < 3
        assert FrameReader().feed(said)[0][:2] == [ERROR, 0]


def test_a_half_open_hello_is_closed_at_its_deadline(node: Process) -> None:
    with socket.create_connection((HOST, node.port), 5) as stream:
        stream.sendall(frame_of_messages([[20, "dynacache"]])[:6])
        assert 0.4 < closes(stream, 10)[0] < 3


def test_a_silent_client_is_closed_at_its_deadline(node: Process) -> None:
    with node.call() as caller:
        assert 0.9 < closes(caller.socket, 10)[0] < 4


def test_half_a_frame_is_closed_at_its_deadline(node: Process) -> None:
    with Caller(node.port, role=Role.PEER) as caller:
        caller.socket.sendall(frame_of_messages([[GET, 1, b"key"]])[:-1])
        assert 0.4 < closes(caller.socket, 10)[0] < 4


def test_many_half_open_connections_at_once(node: Process) -> None:
    held = [socket.create_connection((HOST, node.port), 5) for _ in range(300)]
    try:
        for stream in held[::2]:
            stream.sendall(os.urandom(3))
        assert serves(node)
        for stream in held:
            assert closes(stream, 10)[0] < 5
    finally:
        for stream in held:
            stream.close()
    assert serves(node)
