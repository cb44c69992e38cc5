"""One asynchronous connection: dialling, the hello, full sockets, and how it ends."""

import socket
import time
from typing import Any

import anyio
import pytest

from dynacache.client.calls import Call
from dynacache.client.options import Options
from dynacache.client.protocol import ClientProtocol
from dynacache.client.requests import Requests
from dynacache.client.routing import FAILURES_BEFORE_AVOIDING, Endpoint
from dynacache.errors import ConnectionLost, ProtocolError, TimedOut, UnavailableError
from dynacache.runtime.clients.link import SILENCE_LIMIT_S, Link, dial
from dynacache.runtime.clients.waiting import waiter_type
from dynacache.types import Role
from dynacache.wire.handshake import Initiator
from tests.runtime.clients.fake_node import SILENCE, FakeCluster
from tests.runtime.clients.shells import ASYNCHRONOUS

REQUESTS = Requests(Options(), b"client-1")


def link_to(address: str, connect_timeout_s: float = 1.0) -> Link:
    """A link that has not been run."""
    host, port = address.split(":")
    protocol = ClientProtocol(Initiator(Role.CLIENT, b"", "", None, b"i" * 32))
    return Link(Endpoint((host, int(port))), protocol, lambda _: None, connect_timeout_s)


def submit(link: Link, call: Call[Any], deadline_s: float = 5.0) -> Call[Any]:
    """Queue a call and send it."""
    now_s = time.monotonic()
    call.waiter = waiter_type()(1)
    link.protocol.submit(call.message, call.timeout_position, now_s, now_s + deadline_s, call)
    link.flush()
    return call


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_calls_may_be_submitted_before_the_connection_is_made(backend: str) -> None:
    async def scenario() -> None:
        link = link_to(cluster.addresses[0])
        call = submit(link, REQUESTS.increment("k", 7))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.run)
            await call.waiter.wait()
            assert call.result(0) == 7
            assert link.endpoint.connections == 1
            link.close()
        assert link.closed
        assert link.endpoint.connections == 0
        assert link.endpoint.failures == 0

    with FakeCluster(1) as cluster:
        anyio.run(scenario, backend=backend)


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_a_refused_connection_is_a_definite_error(backend: str, unused_addresses: list[str]) -> None:
    async def scenario() -> None:
        link = link_to(unused_addresses[0])
        call = submit(link, REQUESTS.increment("k"))
        await link.run()
        assert isinstance(call.error, UnavailableError)
        assert unused_addresses[0] in str(call.error)
        assert link.endpoint.failures == FAILURES_BEFORE_AVOIDING

    anyio.run(scenario, backend=backend)


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_a_name_without_address(backend: str) -> None:
    async def scenario() -> None:
        with pytest.raises(OSError, match=r".+"):
            await dial("no-such-host.invalid", 1)

    anyio.run(scenario, backend=backend)


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_a_node_that_never_answers_the_hello(backend: str) -> None:
    async def scenario() -> None:
        link = link_to(f"127.0.0.1:{listener.getsockname()[1]}", 0.05)
        call = submit(link, REQUESTS.increment("k"))
        await link.run()
        assert isinstance(call.error, UnavailableError)
        assert "within 0.05 s" in str(call.error)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        anyio.run(scenario, backend=backend)


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_another_protocol_at_the_other_end(backend: str) -> None:
    async def scenario() -> None:
        link = link_to(f"127.0.0.1:{listener.getsockname()[1]}")
        call = submit(link, REQUESTS.increment("k"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.run)
            await anyio.wait_readable(listener)
            other, _ = listener.accept()
            other.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        other.close()
        assert isinstance(call.error, ProtocolError)
        assert call.error.definite

    with socket.create_server(("127.0.0.1", 0)) as listener:
        anyio.run(scenario, backend=backend)


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_a_killed_node_tells_sent_requests_from_unsent_ones(backend: str) -> None:
    async def scenario() -> None:
        link = link_to(cluster.addresses[0])
        sent = submit(link, REQUESTS.increment("k"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.run)
            while not cluster.requests:
                await anyio.lowlevel.checkpoint()
            call = REQUESTS.increment("k")
            call.waiter = waiter_type()(1)
            link.protocol.submit(call.message, call.timeout_position, 0.0, 1e9, call)
            cluster.nodes[0].stop()
        assert isinstance(sent.error, ConnectionLost)
        assert isinstance(call.error, UnavailableError)

    with FakeCluster(1, behaviour=lambda _, __: SILENCE, push_topology=False) as cluster:
        anyio.run(scenario, backend=backend)


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_a_full_socket_is_drained_by_a_task_of_its_own(backend: str) -> None:
    async def scenario() -> None:
        link = link_to(cluster.addresses[0])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.run)
            calls = [submit(link, REQUESTS.set(f"k{number}", bytes(9_000_000))) for number in range(4)]
            for call in calls:
                await call.waiter.wait()
                assert call.result(0)
            link.close()

    with FakeCluster(1) as cluster:
        anyio.run(scenario, backend=backend)


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_deadlines(backend: str) -> None:
    async def scenario() -> None:
        link = link_to(cluster.addresses[0])
        call = submit(link, REQUESTS.get("k"), deadline_s=1.0)
        link.expire(time.monotonic())
        assert call.error is None
        link.expire(time.monotonic() + 1.0)
        assert isinstance(call.error, TimedOut)

    with FakeCluster(1) as cluster:
        anyio.run(scenario, backend=backend)


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_a_link_silent_for_long_ends_with_the_call_that_waited(backend: str) -> None:
    async def scenario() -> None:
        link = link_to(cluster.addresses[0])
        call = submit(link, REQUESTS.get("k"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.run)
            while not cluster.requests:
                await anyio.lowlevel.checkpoint()
            link.expire(time.monotonic() + SILENCE_LIMIT_S + 5.0)
            assert isinstance(call.error, TimedOut)
        assert link.closed

    with FakeCluster(1, behaviour=lambda _, __: SILENCE) as cluster:
        anyio.run(scenario, backend=backend)
