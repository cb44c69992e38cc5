"""Subscriptions of the asynchronous client, under Trio and asyncio."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import pytest

import dynacache
from dynacache.errors import InvalidRequest, UnavailableError
from dynacache.wire.messages import SUBSCRIBE
from tests.runtime.clients.fake_node import ANSWER, FakeCluster
from tests.runtime.clients.shells import ASYNCHRONOUS


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster(3) as three:
        yield three


@pytest.fixture(params=ASYNCHRONOUS)
def using(request: pytest.FixtureRequest, cluster: FakeCluster) -> Callable[[Callable[[Any], Awaitable[None]]], None]:
    """Runs a scenario with a client."""

    def run(scenario: Callable[[Any], Awaitable[None]]) -> None:
        async def body() -> None:
            with anyio.fail_after(20):
                async with dynacache.connect(cluster.addresses[:2]) as client:
                    await scenario(client)

        anyio.run(body, backend=request.param)

    return run


async def taken(events: dynacache.AsyncSubscription, count: int) -> list[Any]:
    """So many items."""
    return [await anext(events) for _ in range(count)]


def test_every_node_is_listened_to(cluster: FakeCluster, using: Any) -> None:
    async def scenario(client: dynacache.AsyncClient) -> None:
        async with client.subscribe("k", changes=["set"]) as events:
            for number, node in enumerate(cluster.nodes):
                node.told += [b"k%d" % number, b"also"]
            found = await taken(events, 6)
            assert {(each.node, each.key) for each in found} == {
                (node.node_id, key) for node in cluster.nodes for key in node.told
            }
            assert await client.set("other", "works meanwhile")
        with pytest.raises(StopAsyncIteration):
            await anext(events)

    using(scenario)
    assert all(node.requests[0][2:] == [b"k", 1] for node in cluster.nodes if node.requests[0][0] == SUBSCRIBE)


def test_a_node_that_is_down_is_waited_for_and_told_of(cluster: FakeCluster, using: Any) -> None:
    cluster.nodes[2].stop()

    async def scenario(client: dynacache.AsyncClient) -> None:
        async with client.subscribe() as events:
            cluster.nodes[2].start()
            cluster.nodes[2].told.append(b"a")
            first, second = await taken(events, 2)
            assert first == dynacache.EventsLost("n2", None)
            assert second.key == b"a"

    using(scenario)


def test_what_can_never_work_is_raised(cluster: FakeCluster, using: Any) -> None:
    cluster.behaviour = lambda node, message: [InvalidRequest.code, "off"] if message[0] == SUBSCRIBE else ANSWER

    async def scenario(client: dynacache.AsyncClient) -> None:
        with pytest.raises(InvalidRequest, match="off"):
            async with client.subscribe():
                pass

    using(scenario)


def test_no_node_at_all_is_an_error(cluster: FakeCluster, using: Any) -> None:
    async def scenario(client: dynacache.AsyncClient) -> None:
        for node in cluster.nodes:
            node.stop()
        with pytest.raises(UnavailableError):
            async with client.subscribe(timeout=3):
                pass

    using(scenario)


def test_an_exception_of_the_block_comes_out_as_it_is(using: Any) -> None:
    async def scenario(client: dynacache.AsyncClient) -> None:
        with pytest.raises(KeyError, match="mine"):
            async with client.subscribe():
                raise KeyError("mine")

    using(scenario)
