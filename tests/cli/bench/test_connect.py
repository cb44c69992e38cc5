"""Connections of the generator: spread over targets, greeted, and closed on any error."""

import contextlib
import socket

import attrs
import pytest

from dynacache.cli.bench.connect import greeted, open_connections
from dynacache.cli.bench.job import Job
from dynacache.errors import AuthenticationFailed
from tests.cli.bench.fake_node import FakeNode


def test_connections_are_spread_and_ready() -> None:
    with FakeNode() as first, FakeNode() as second, contextlib.ExitStack() as stack:
        job = Job("dynacache", (("127.0.0.1", first.port), ("127.0.0.1", second.port)), connections=5)
        connections = open_connections(job, stack)
        assert [each.target for each in connections] == [0, 1, 0, 1, 0]
        for each in connections:
            assert each.socket.getblocking() is False
            assert each.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            with pytest.raises(BlockingIOError):
                each.socket.recv(1)
    assert all(each.socket.fileno() == -1 for each in connections)


def test_the_topology_comes_with_the_greeting() -> None:
    with FakeNode(secret="s") as node, contextlib.ExitStack() as stack:
        _, message = greeted(("127.0.0.1", node.port), "s", 5.0, stack)
        assert message[2][0] == bytes(16)


def test_a_wrong_secret_is_said() -> None:
    with FakeNode(secret="s") as node, contextlib.ExitStack() as stack, pytest.raises(AuthenticationFailed):
        greeted(("127.0.0.1", node.port), "t", 5.0, stack)


def test_a_server_that_hangs_up_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        job = Job("dynacache", (("127.0.0.1", listener.getsockname()[1]),), connections=1, timeout_s=5.0)
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: None)
            import threading

            thread = threading.Thread(target=lambda: listener.accept()[0].close())
            thread.start()
            with pytest.raises(ConnectionError):
                open_connections(job, stack)
            thread.join(5)


def test_redis_is_not_greeted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:
        job = Job("redis", (("127.0.0.1", listener.getsockname()[1]),), connections=2)
        assert len(open_connections(job, stack)) == 2


def test_nobody_listening_is_an_error() -> None:
    with contextlib.ExitStack() as stack, pytest.raises(OSError, match="refused"):
        open_connections(attrs.evolve(Job("redis", (("127.0.0.1", 1),)), connections=1), stack)
