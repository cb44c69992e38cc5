"""The synchronous pool: connections reused, looked at, limited, given up."""

import threading
import time
from collections.abc import Iterator

import attrs
import pytest

from dynacache.client.options import Options
from dynacache.client.requests import Requests
from dynacache.client.routing import FAILURES_BEFORE_AVOIDING, Endpoint, Router
from dynacache.errors import Overloaded, UnavailableError
from dynacache.runtime.clients import blocking_pool
from dynacache.runtime.clients.blocking_pool import BlockingPool
from tests.runtime.clients.fake_node import FakeCluster

REQUESTS = Requests(Options(), b"client-1")


@attrs.frozen
class Pooled:
    """A pool with one node to connect to."""

    cluster: FakeCluster
    pool: BlockingPool
    endpoint: Endpoint


@pytest.fixture
def pooled() -> Iterator[Pooled]:
    with FakeCluster(1) as cluster:
        node = cluster.nodes[0]
        router = Router.from_seeds([("127.0.0.1", node.port)])
        pool = BlockingPool(router, None, 1.0, 2)
        yield Pooled(cluster, pool, router.endpoint_at(("127.0.0.1", node.port)))
        pool.close()


def soon() -> float:
    """A deadline."""
    return time.monotonic() + 1.0


def test_the_connection_used_last_is_used_again(pooled: Pooled) -> None:
    first = pooled.pool.acquire(pooled.endpoint, soon())
    second = pooled.pool.acquire(pooled.endpoint, soon())
    assert first is not second
    assert pooled.endpoint.connections == 2
    pooled.pool.release(first)
    pooled.pool.release(second)
    assert pooled.pool.acquire(pooled.endpoint, soon()) is second
    pooled.pool.release(second)
    assert pooled.cluster.nodes[0].accepted == 2


def test_at_the_limit_a_thread_waits_until_its_deadline(pooled: Pooled) -> None:
    held = [pooled.pool.acquire(pooled.endpoint, soon()) for _ in range(2)]
    with pytest.raises(Overloaded, match="all 2 connections"):
        pooled.pool.acquire(pooled.endpoint, time.monotonic() + 0.02)
    taken = []
    thread = threading.Thread(target=lambda: taken.append(pooled.pool.acquire(pooled.endpoint, soon())))
    thread.start()
    pooled.pool.release(held[0])
    thread.join()
    assert taken == [held[0]]
    for link in held:
        pooled.pool.release(link)


def test_a_connection_with_something_outstanding_is_given_up(pooled: Pooled) -> None:
    link = pooled.pool.acquire(pooled.endpoint, soon())
    call = REQUESTS.get("k")
    link.protocol.submit(call.message, call.timeout_position, 0.0, 1e9, call)
    pooled.pool.release(link)
    assert pooled.endpoint.connections == 0
    other = pooled.pool.acquire(pooled.endpoint, soon())
    assert other is not link
    pooled.pool.release(other)


def test_a_connection_that_the_node_closed_is_replaced_before_use(pooled: Pooled) -> None:
    link = pooled.pool.acquire(pooled.endpoint, soon())
    pooled.pool.release(link)
    pooled.cluster.nodes[0].stop()
    pooled.cluster.nodes[0].start()
    other = pooled.pool.acquire(pooled.endpoint, soon())
    assert other is not link
    assert pooled.endpoint.connections == 1
    pooled.pool.release(other)


def test_a_connection_idle_for_long_is_replaced(pooled: Pooled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking_pool, "IDLE_LIMIT_S", -1.0)
    link = pooled.pool.acquire(pooled.endpoint, soon())
    pooled.pool.release(link)
    other = pooled.pool.acquire(pooled.endpoint, soon())
    assert other is not link
    pooled.pool.release(other)


def test_a_failed_connection_is_held_against_the_endpoint_and_frees_its_place(pooled: Pooled) -> None:
    pooled.cluster.nodes[0].stop()
    for _ in range(3):
        with pytest.raises(UnavailableError):
            pooled.pool.acquire(pooled.endpoint, soon())
    assert pooled.endpoint.failures == 3 * FAILURES_BEFORE_AVOIDING
    pooled.cluster.nodes[0].start()
    pooled.pool.release(pooled.pool.acquire(pooled.endpoint, soon()))


def test_closing(pooled: Pooled) -> None:
    idle = pooled.pool.acquire(pooled.endpoint, soon())
    used = pooled.pool.acquire(pooled.endpoint, soon())
    pooled.pool.release(idle)
    pooled.pool.close()
    assert [link.reusable for link in (idle, used)] == [False, True]
    pooled.pool.release(used)
    assert [link.reusable for link in (idle, used)] == [False, False]
    assert pooled.endpoint.connections == 0
    with pytest.raises(UnavailableError, match="closed"):
        pooled.pool.acquire(pooled.endpoint, soon())
