"""Pipelines: results in order, errors in their places, nothing sent by a block that fails."""

from typing import Any

import pytest

from dynacache.client.calls import BATCH_LIMIT_CALLS
from dynacache.errors import ConnectionLost, InvalidRequest, WrongType
from dynacache.runtime.clients import pipelines
from dynacache.wire.messages import INCREMENT
from tests.runtime.clients.fake_node import ANSWER, SERVE_AND_HANG_UP, FakeCluster, FakeNode
from tests.runtime.clients.shells import SHELLS, run


@pytest.mark.parametrize("shell", SHELLS)
def test_results_in_order(shell: str) -> None:
    async def scenario(client: Any) -> None:
        async with client.pipeline() as pipeline:
            assert pipeline.set("a", 1) == 0
            assert pipeline.get("a") == 1
            pipeline.increment("n", 5)
            pipeline.get("absent", "default")
            pipeline.set("a", 2, only_if_absent=True)
            pipeline.fetch("a")
            pipeline.exists("a")
            pipeline.ttl("a")
            pipeline.get_and_set("a", 3)
            pipeline.touch("a", 5)
            pipeline.get_and_delete("a")
            pipeline.delete("a")
            assert len(pipeline) == 12
            assert pipeline.results == []
        results = pipeline.results
        assert [bool(results[0]), *results[1:4], bool(results[4])] == [True, 1, 5, "default", False]
        assert results[5].value == 1
        assert [*results[6:11], bool(results[11])] == [True, None, 1, True, 3, False]

    with FakeCluster(3) as cluster:
        run(shell, cluster.addresses, scenario)


@pytest.mark.parametrize("shell", SHELLS)
def test_errors_stand_in_their_places(shell: str) -> None:
    def behaviour(_: FakeNode, request: list[Any]) -> str | list[Any]:
        if request[2] == b"list":
            return [WrongType.code, "a list"]
        return SERVE_AND_HANG_UP if request[0] == INCREMENT else ANSWER

    async def scenario(client: Any) -> None:
        pipeline = client.pipeline()
        pipeline.set("a", 1)
        pipeline.get("list")
        pipeline.increment("n")
        pipeline.get("a", "default")
        results = await pipeline.run()
        assert results[0]
        assert [type(result) for result in results[1:3]] == [WrongType, ConnectionLost]
        assert results[3] == 1
        assert len(pipeline) == 0

    with FakeCluster(1, behaviour=behaviour) as cluster:
        run(shell, cluster.addresses, scenario)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_block_left_by_an_exception_sends_nothing(shell: str) -> None:
    async def scenario(client: Any) -> None:
        async def failing_block() -> None:
            async with client.pipeline() as pipeline:
                pipeline.set("a", 1)
                raise KeyError("mine")

        with pytest.raises(KeyError):
            await failing_block()
        async with client.pipeline() as pipeline:
            pipeline.get("a")
            with pytest.raises(InvalidRequest):
                pipeline.set("a", object())
        assert pipeline.results == [None]

    with FakeCluster(1) as cluster:
        run(shell, cluster.addresses, scenario)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_long_pipeline_is_sent_in_batches(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 2 * BATCH_LIMIT_CALLS + 3
    monkeypatch.setattr(pipelines, "PIPELINE_LIMIT", count)

    async def scenario(client: Any) -> None:
        async with client.pipeline() as pipeline:
            for number in range(count):
                pipeline.increment("n" if number % 2 else "m")
            with pytest.raises(InvalidRequest, match="at most"):
                pipeline.get("one too many")
        assert pipeline.results == [1 + number // 2 for number in range(count)]

    with FakeCluster(1) as cluster:
        run(shell, cluster.addresses, scenario)


@pytest.mark.parametrize("shell", SHELLS)
def test_large_values_both_ways(shell: str) -> None:
    values = {f"k{number}": bytes([number]) * 1_500_000 for number in range(8)}

    async def scenario(client: Any) -> None:
        await client.set_many(values)
        assert await client.get_many(values) == values

    with FakeCluster(2) as cluster:
        run(shell, cluster.addresses, scenario)
