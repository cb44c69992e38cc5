"""The asynchronous pool: sends shared by the tasks of a turn, connections per node, topology, keep-alive."""

from typing import Any

import anyio
import pytest

import dynacache
from dynacache.client.retries import RetryPolicy
from dynacache.runtime.clients import links
from dynacache.wire.messages import PING, TOPOLOGY
from tests.runtime.clients.fake_node import SILENCE, FakeCluster, FakeNode, answer_all
from tests.runtime.clients.shells import ASYNCHRONOUS, run


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_tasks_of_one_turn_share_a_send(backend: str) -> None:
    async def scenario(client: Any) -> None:
        await client.set("k", 1)
        before = cluster.nodes[0].frames
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(client.get, "k")
        assert cluster.nodes[0].frames - before <= 2
        assert len(cluster.requests) == 51

    with FakeCluster(1) as cluster:
        run(backend, cluster.addresses, scenario)


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
@pytest.mark.parametrize(("allowed", "opened"), [(1, 1), (3, 3)])
def test_connections_per_node(backend: str, allowed: int, opened: int) -> None:
    async def scenario(client: Any) -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(client.get, "k")

    with FakeCluster(1) as cluster:
        run(backend, cluster.addresses, scenario, connections_per_node=allowed)
        assert cluster.nodes[0].accepted == opened


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_one_connection_is_kept_for_all_requests(backend: str) -> None:
    async def scenario(client: Any) -> None:
        for number in range(60):
            await client.get(f"k{number}")

    with FakeCluster(3) as cluster:
        run(backend, cluster.addresses, scenario)
        assert [node.accepted for node in cluster.nodes] == [1, 1, 1]


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_a_pushed_topology_changes_the_routes(backend: str) -> None:
    async def scenario(client: Any) -> None:
        assert len(client.router.table.entries) == 1
        grown = FakeNode(cluster, "n1")
        cluster.nodes.append(grown)
        grown.start()
        cluster.push = [TOPOLOGY, 0, cluster.table().to_wire(), {}]
        await client.get("k")
        assert len(client.router.table.entries) == 2
        for number in range(30):
            await client.set(f"k{number}", number)
        assert grown.requests

    with FakeCluster(1) as cluster:
        run(backend, cluster.addresses[0], scenario)


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_a_silent_link_is_asked_for_a_sign_of_life(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "KEEP_ALIVE_S", 0.03)

    async def scenario() -> None:
        async with dynacache.connect(cluster.addresses):
            with anyio.fail_after(5):
                while len(cluster.requests) < 2:
                    await anyio.lowlevel.checkpoint()

    with FakeCluster(1) as cluster:
        anyio.run(scenario, backend=backend)
        assert {request[0] for request in cluster.requests} == {PING}


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_a_link_that_gives_no_sign_of_life_is_replaced(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "KEEP_ALIVE_S", 0.03)

    async def scenario() -> None:
        async with dynacache.connect(cluster.addresses, retries=RetryPolicy(attempt_timeout_s=0.1)) as client:
            with anyio.fail_after(5):
                while any(endpoint.connections for endpoint in client.router.endpoints.values()):
                    await anyio.lowlevel.checkpoint()
            cluster.behaviour = answer_all
            assert await client.set("k", 1)
            assert cluster.nodes[0].accepted == 2

    with FakeCluster(1, behaviour=lambda _, __: SILENCE) as cluster:
        anyio.run(scenario, backend=backend)
