"""One synchronous connection, and several of them driven by one thread."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dynacache.client.calls import Call
from dynacache.client.options import Options
from dynacache.client.requests import Requests
from dynacache.client.routing import Endpoint
from dynacache.errors import ConnectionLost, ProtocolError, TimedOut, UnavailableError
from dynacache.runtime.clients.blocking_link import BlockingLink, exchange
from tests.runtime.clients.fake_node import ANSWER, HANG_UP, SILENCE, FakeCluster

REQUESTS = Requests(Options(), b"client-1")


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster(2) as two:
        yield two


def open_link(address: str, timeout_s: float = 1.0) -> BlockingLink:
    """A connection to this address."""
    host, port = address.split(":")
    return BlockingLink.open(Endpoint((host, int(port))), b"", None, time.monotonic() + timeout_s, lambda _: None)


def submit(link: BlockingLink, call: Call[Any], deadline_s: float = 5.0) -> Call[Any]:
    """Queue a call."""
    now_s = time.monotonic()
    link.protocol.submit(call.message, call.timeout_position, now_s, now_s + deadline_s, call)
    return call


def end(*links: BlockingLink) -> None:
    """Close the connections."""
    for link in links:
        link.end(UnavailableError("done"))


def test_several_calls_on_several_links(cluster: FakeCluster) -> None:
    links = [open_link(address) for address in cluster.addresses]
    calls = [submit(links[number % 2], REQUESTS.increment("n")) for number in range(20)]
    exchange(links)
    assert sorted(call.result(0) for call in calls) == list(range(1, 21))
    assert all(link.reusable for link in links)
    end(*links)


def test_one_link_may_break_without_the_others(cluster: FakeCluster) -> None:
    cluster.behaviour = lambda node, _: HANG_UP if node.node_id == "n0" else ANSWER
    links = [open_link(address) for address in cluster.addresses]
    calls = [submit(link, REQUESTS.increment("n")) for link in links]
    exchange(links)
    assert isinstance(calls[0].error, ConnectionLost)
    assert calls[1].result(0) == 1
    assert [link.reusable for link in links] == [False, True]
    end(*links)


def test_a_call_at_its_deadline_spoils_the_link_but_no_other_call(cluster: FakeCluster) -> None:
    cluster.behaviour = lambda _, request: SILENCE if request[2] == b"silent" else ANSWER
    link = open_link(cluster.addresses[0])
    silent = submit(link, REQUESTS.get("silent"), 0.05)
    served = submit(link, REQUESTS.increment("n"))
    exchange([link])
    assert isinstance(silent.error, TimedOut)
    assert served.result(0) == 1
    assert not link.reusable, "a late answer must not meet another request"
    end(link)


def test_large_requests_and_replies_cross(cluster: FakeCluster) -> None:
    large = bytes(5_000_000)
    link = open_link(cluster.addresses[0])
    submit(link, REQUESTS.set("large", large))
    exchange([link])
    calls = [submit(link, make) for _ in range(3) for make in (REQUESTS.get("large"), REQUESTS.set("other", large))]
    exchange([link])
    assert [call.result(0) == large for call in calls[::2]] == [True] * 3
    assert all(call.result(0) for call in calls[1::2])
    end(link)


def test_no_connection(unused_addresses: list[str]) -> None:
    with pytest.raises(UnavailableError, match=unused_addresses[0]):
        open_link(unused_addresses[0])


def test_no_answer_to_the_hello() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(UnavailableError, match="hello"):
        open_link(f"127.0.0.1:{listener.getsockname()[1]}", 0.05)


def test_another_protocol_at_the_other_end() -> None:
    def serve() -> None:
        other, _ = listener.accept()
        with other:
            other.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            other.recv(1000)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ProtocolError):
            open_link(f"127.0.0.1:{listener.getsockname()[1]}")
        thread.join()


def test_requests_that_were_not_sent_have_a_known_fate(cluster: FakeCluster) -> None:
    link = open_link(cluster.addresses[0])
    unsent = submit(link, REQUESTS.increment("n"))
    link.end(ConnectionLost("gone"))
    assert isinstance(unsent.error, UnavailableError)
