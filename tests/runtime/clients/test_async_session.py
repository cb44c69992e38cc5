"""What becomes of calls when nodes and connections fail; on all three shells where nothing else is said."""

import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import attrs
import pytest

import dynacache
from dynacache.client.retries import RetryPolicy
from dynacache.errors import (
    ConnectionLost,
    DynacacheError,
    InvalidRequest,
    NotEnoughReplicas,
    NotReady,
    TimedOut,
    UnavailableError,
)
from dynacache.wire.messages import GET, INCREMENT, SET
from tests.runtime.clients.fake_node import (
    ANSWER,
    HANG_UP,
    SERVE_AND_HANG_UP,
    SILENCE,
    FakeCluster,
    FakeNode,
)
from tests.runtime.clients.shells import ASYNCHRONOUS, SHELLS, run

QUICK = RetryPolicy(attempt_timeout_s=0.1)


@attrs.define
class Once:
    """A behaviour that misbehaves for the first request of a kind, and serves all others."""

    word: str | list[Any]
    kind: int | None = None
    _lock: Any = attrs.field(factory=threading.Lock)
    _done: bool = False

    def __call__(self, _: FakeNode, request: list[Any]) -> str | list[Any]:
        with self._lock:
            if self._done or (self.kind is not None and request[0] != self.kind):
                return ANSWER
            self._done = True
            return self.word


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("word", [HANG_UP, SERVE_AND_HANG_UP])
def test_a_connection_killed_mid_request(shell: str, word: str) -> None:
    async def scenario(client: Any) -> None:
        cluster.behaviour = Once(word)
        assert await client.get("k", "default") == "default"
        cluster.behaviour = Once(word)
        assert await client.set("k", 1)
        cluster.behaviour = Once(word)
        await client.delete("k")
        assert b"k" not in cluster.data
        operations: list[Callable[[], Any]] = [
            lambda: client.increment("n"),
            lambda: client.set("c", 1, only_if_absent=True),
            lambda: client.get_and_set("g", 1),
        ]
        for operation in operations:
            cluster.behaviour = Once(word)
            with pytest.raises(ConnectionLost) as caught:
                await operation()
            assert not caught.value.definite

    with FakeCluster(3) as cluster:
        run(shell, cluster.addresses, scenario)
        assert (b"n" in cluster.data) is (word == SERVE_AND_HANG_UP)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_retried_write_keeps_its_operation_id(shell: str) -> None:
    async def scenario(client: Any) -> None:
        cluster.behaviour = Once(SERVE_AND_HANG_UP, SET)
        assert await client.set("k", 1)

    with FakeCluster(3) as cluster:
        run(shell, cluster.addresses, scenario)
        sets = [request for request in cluster.requests if request[0] == SET]
        assert len(sets) == 2
        assert sets[0][11] == sets[1][11] != 0
        assert len({node.node_id for node in cluster.nodes if node.requests}) == 2, "the retry goes elsewhere"


@pytest.mark.parametrize("shell", SHELLS)
def test_refusals_without_effect_are_retried_even_for_increments(shell: str) -> None:
    async def scenario(client: Any) -> None:
        for error in (NotReady, NotEnoughReplicas):
            cluster.behaviour = Once([error.code, "not now"])
            assert await client.increment("n")
        assert await client.get("n") == 2

    with FakeCluster(3) as cluster:
        run(shell, cluster.addresses, scenario)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_silent_node_costs_a_slice_of_the_time(shell: str) -> None:
    async def scenario(client: Any) -> None:
        cluster.behaviour = Once(SILENCE)
        assert await client.get("k", "default") == "default"
        cluster.behaviour = Once(SILENCE)
        assert await client.set("k", 1)

    with FakeCluster(3) as cluster:
        run(shell, cluster.addresses, scenario, retries=QUICK)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("kind", [GET, SET, INCREMENT])
def test_the_deadline_holds_when_everyone_is_silent(shell: str, kind: int) -> None:
    async def scenario(client: Any) -> None:
        operations = {GET: lambda: client.get("k"), SET: lambda: client.set("k", 1)}
        started_s = time.monotonic()
        with pytest.raises((TimedOut, UnavailableError)) as caught:
            await operations.get(kind, lambda: client.increment("k"))()
        assert time.monotonic() - started_s < 2.0
        if kind != GET and cluster.requests:
            assert not caught.value.definite
        if kind == INCREMENT:
            assert len(cluster.requests) <= 1

    with FakeCluster(3, behaviour=lambda _, __: SILENCE) as cluster:
        run(shell, cluster.addresses, scenario, timeout=0.25)


@pytest.mark.parametrize("shell", SHELLS)
def test_an_unknown_fate_is_not_hidden_by_a_later_refusal(shell: str) -> None:
    def refuse_after(word: str) -> Callable[[FakeNode, list[Any]], str | list[Any]]:
        first = Once(word)
        return lambda node, request: [NotEnoughReplicas.code, "few"] if first(node, request) == ANSWER else word

    async def scenario(client: Any) -> None:
        cluster.behaviour = refuse_after(SERVE_AND_HANG_UP)
        with pytest.raises(ConnectionLost) as caught:
            await client.set("k", 1)
        assert "few" in "".join(caught.value.__notes__)
        cluster.behaviour = refuse_after(SERVE_AND_HANG_UP)
        with pytest.raises(NotEnoughReplicas):
            await client.get("k")

    with FakeCluster(3) as cluster:
        run(shell, cluster.addresses, scenario, retries=RetryPolicy(attempts_limit=4))


@pytest.mark.parametrize("shell", SHELLS)
def test_a_killed_node_costs_no_request(shell: str) -> None:
    async def scenario(client: Any) -> None:
        await client.set_many({f"k{number}": number for number in range(30)})
        cluster.nodes[1].stop()
        for number in range(30):
            assert await client.get(f"k{number}") == number
            assert await client.increment(f"n{number}") == 1
        asked = len(cluster.nodes[1].requests)
        cluster.nodes[1].start()
        for number in range(30):
            assert await client.set(f"k{number}", number)
        assert len(cluster.nodes[1].requests) == asked, "it is avoided for a while"

    with FakeCluster(3) as cluster:
        run(shell, cluster.addresses, scenario)


@pytest.mark.parametrize("shell", SHELLS)
def test_all_nodes_down_is_a_definite_error(shell: str) -> None:
    async def scenario(client: Any) -> None:
        for node in cluster.nodes:
            node.stop()
        with pytest.raises(UnavailableError) as caught:
            await client.increment("k", timeout=0.3)
        assert caught.value.definite
        for node in cluster.nodes:
            node.start()
        assert await client.increment("k") == 1, "and the client recovers by itself"

    with FakeCluster(3) as cluster:
        run(shell, cluster.addresses, scenario)


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_an_exception_of_the_block_comes_out_as_it_is(backend: str) -> None:
    async def scenario(_: Any) -> None:
        raise KeyError("mine")

    with FakeCluster(1) as cluster, pytest.raises(KeyError, match="mine"):
        run(backend, cluster.addresses, scenario)


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_a_cancelled_call_leaves_the_client_usable(backend: str) -> None:
    async def scenario(client: Any) -> None:
        await client.set("k", 1)
        cluster.behaviour = Once(SILENCE)
        with anyio.move_on_after(0.05) as scope:
            await client.get("k")
        assert scope.cancelled_caught
        assert await client.get("k") == 1
        with anyio.CancelScope() as scope:
            scope.cancel()
            await client.get("k")
        assert scope.cancelled_caught
        assert await client.get("k") == 1

    with FakeCluster(1) as cluster:
        run(backend, cluster.addresses, scenario)


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_closing_ends_the_calls_of_other_tasks(backend: str) -> None:
    ends: list[BaseException] = []

    async def scenario() -> None:
        async with anyio.create_task_group() as tasks, dynacache.connect(cluster.addresses) as client:

            async def ask() -> None:
                try:
                    await client.increment("k")
                except DynacacheError as error:
                    ends.append(error)

            tasks.start_soon(ask)
            with anyio.fail_after(5):
                while not cluster.requests:
                    await anyio.lowlevel.checkpoint()

    with FakeCluster(1, behaviour=lambda _, __: SILENCE) as cluster:
        anyio.run(scenario, backend=backend)
    assert [type(end) for end in ends] == [ConnectionLost]


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_a_client_is_opened_once_at_a_time_and_may_be_opened_again(backend: str) -> None:
    async def scenario() -> None:
        client = dynacache.connect(cluster.addresses)
        for _ in range(2):
            async with client:
                assert await client.set("k", 1)
                with pytest.raises(InvalidRequest, match="open already"):
                    await client.__aenter__()

    with FakeCluster(1) as cluster:
        anyio.run(scenario, backend=backend)


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_a_timeout_around_connecting_is_the_callers(backend: str) -> None:
    async def scenario() -> None:
        with pytest.raises(TimeoutError):  # noqa: PT012
            with anyio.fail_after(0.05):
                async with dynacache.connect(cluster.addresses):
                    await anyio.sleep_forever()

    with FakeCluster(1) as cluster:
        anyio.run(scenario, backend=backend)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_node_of_another_cluster_on_a_members_address_is_sent_nothing(shell: str) -> None:
    async def scenario(client: Any) -> None:
        await client.set_many({f"k{number}": number for number in range(30)})
        stranger.data.clear()
        port = cluster.nodes[1].port
        cluster.nodes[1].stop()
        stranger.nodes.append(FakeNode(stranger, "n1", port=port))
        stranger.nodes[0].start()
        await client.set_many({f"k{number}": number for number in range(30)})
        assert stranger.requests == []

    with FakeCluster(3) as cluster, FakeCluster(0, cluster_id=b"another-cluster!") as stranger:
        run(shell, cluster.addresses, scenario)
