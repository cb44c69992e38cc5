"""Ready means that the table is known, and everything else says why not."""

import pytest

from dynacache.errors import AuthenticationFailed, ConnectionLost, NotReady, ProtocolError
from dynacache.runtime.ready import ready
from dynacache.wire.messages import REPORTED
from tests.runtime.harness import ScriptedCore, running_loop
from tests.runtime.test_exchange import free_port
from tests.runtime.test_server import config, node


async def test_a_serving_node() -> None:
    async with node(config(founders=1)) as (server, _):
        found = await ready(server.address)
        assert (found.node_id, found.members, found.warming_partitions) == (server.node_id, 1, 0)


async def test_warming_partitions_are_counted() -> None:
    async with node(config(founders=1)) as (server, _):
        assert server.node is not None
        server.node.engine.warming.add(5)
        assert (await ready(server.address)).warming_partitions == 1


async def test_a_node_that_waits_for_its_birth() -> None:
    async with node(config(founders=2), wait=False) as (server, _):
        with pytest.raises(NotReady):
            await ready(server.address)


async def test_nobody_there() -> None:
    with pytest.raises(ConnectionLost):
        await ready(("127.0.0.1", free_port()))


async def test_a_wrong_secret() -> None:
    async with node(config({"secret": "right"}, founders=1)) as (server, _):
        with pytest.raises(AuthenticationFailed):
            await ready(server.address, "wrong")
        assert (await ready(server.address, "right")).members == 1


async def test_a_node_that_does_not_answer() -> None:
    async with running_loop(core=ScriptedCore(answer=lambda _: [])) as bench:
        with pytest.raises(NotReady, match=r"within 0\.2 s"):
            await ready(bench.address, timeout_s=0.2)


@pytest.mark.parametrize(
    ("report", "error"),
    [([REPORTED, 1, {"ready": False}], NotReady), ([REPORTED, 1], ProtocolError), ([REPORTED, 1, 5], ProtocolError)],
)
async def test_odd_reports(report: list[object], error: type[Exception]) -> None:
    async with running_loop(core=ScriptedCore(answer=lambda _: [report])) as bench:
        with pytest.raises(error):
            await ready(bench.address)
