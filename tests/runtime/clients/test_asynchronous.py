"""Every operation, on all three shells, against fake nodes over real sockets."""

import inspect
from collections.abc import Callable
from typing import Any

import anyio
import pytest

import dynacache
from dynacache.client.requests import Requests
from dynacache.client.retries import RetryPolicy
from dynacache.client.routing import Router
from dynacache.errors import (
    AuthenticationFailed,
    InvalidRequest,
    LevelNotAvailable,
    TooManySiblings,
    UnavailableError,
    WrongType,
)
from dynacache.types import Level, MissReason
from dynacache.wire.messages import GET, SET
from tests.runtime.clients.fake_node import ANSWER, FakeCluster, FakeNode
from tests.runtime.clients.shells import ASYNCHRONOUS, SHELLS, Awaitably, run


@pytest.fixture
def cluster() -> Any:
    with FakeCluster(3) as three:
        yield three


@pytest.mark.parametrize("shell", SHELLS)
def test_values(shell: str, cluster: FakeCluster) -> None:
    async def scenario(client: Any) -> None:
        for value in (b"raw", "text", 7, 1.5, True, None, [1, [b"x"]], {"a": {"b": 1}}):
            assert await client.set("k", value)
            assert await client.get("k") == value
        assert await client.get(b"k") == {"a": {"b": 1}}
        assert await client.get("absent") is None
        assert await client.get("absent", "default") == "default"

    run(shell, cluster.addresses, scenario)


@pytest.mark.parametrize("shell", SHELLS)
def test_conditions(shell: str, cluster: FakeCluster) -> None:
    async def scenario(client: Any) -> None:
        assert not await client.set("k", 1, only_if_present=True)
        first = await client.set("k", 1, only_if_absent=True)
        assert first
        assert not await client.set("k", 2, only_if_absent=True)
        assert await client.set("k", 3, version=first.version)
        assert not await client.set("k", 4, version=first.version)
        fetched = await client.fetch("k")
        assert fetched.value == 3
        assert not await client.delete("k", version=first.version)
        assert await client.delete("k", version=fetched.version)
        assert not await client.exists("k")

    run(shell, cluster.addresses, scenario)


@pytest.mark.parametrize("shell", SHELLS)
def test_receipts_and_metadata(shell: str, cluster: FakeCluster) -> None:
    async def scenario(client: Any) -> None:
        written = await client.set("k", 1, receipt=True)
        assert written.receipt.level is Level.QUORUM
        assert written.receipt.coordinator in ("n0", "n1", "n2")
        fetched = await client.fetch("k", receipt=True)
        assert (fetched.found, fetched.created_at, fetched.last_updated, fetched.ttl) == (True, 1.0, 2.0, None)
        assert fetched.receipt.asked == ("n0", "n1")
        assert (fetched.receipt.stood_in, fetched.receipt.unrepaired, fetched.receipt.degraded) == ((), False, True)
        missed = await client.fetch("absent", 9)
        assert (missed.value, missed.found, missed.miss_reason) == (9, False, MissReason.NEVER_WRITTEN)

    run(shell, cluster.addresses, scenario)


@pytest.mark.parametrize("shell", SHELLS)
def test_read_and_write_in_one(shell: str, cluster: FakeCluster) -> None:
    async def scenario(client: Any) -> None:
        assert await client.get_and_set("k", 1) is None
        assert await client.get_and_set("k", 2, "default") == 1
        assert (await client.set("k", 3, previous=True)).previous == 2
        assert await client.get_and_delete("k") == 3
        assert await client.get_and_delete("k", "default") == "default"
        assert await client.increment("n") == 1
        assert await client.increment("n", -5) == -4
        assert await client.get("n") == -4

    run(shell, cluster.addresses, scenario)


@pytest.mark.parametrize("shell", SHELLS)
def test_life(shell: str, cluster: FakeCluster) -> None:
    async def scenario(client: Any) -> None:
        assert await client.ttl("k") == 0.0
        assert not await client.touch("k", 5)
        await client.set("k", 1, ttl=5)
        assert await client.touch("k", 5)
        assert await client.ttl("k") is None, "the fake node keeps no expiry"
        assert await client.exists("k")
        await client.delete("k")
        assert not await client.exists("k")

    run(shell, cluster.addresses, scenario)


@pytest.mark.parametrize("shell", SHELLS)
def test_many(shell: str, cluster: FakeCluster) -> None:
    async def scenario(client: Any) -> None:
        await client.set_many({f"k{number}": number for number in range(50)}, ttl=60)
        assert await client.get_many(f"k{number}" for number in range(60)) == {f"k{n}": n for n in range(50)}
        await client.delete_many(["k0", "k1"])
        assert list(await client.get_many(["k2", "k1", "k0", "k3"])) == ["k2", "k3"]
        assert await client.get_many([]) == {}

    run(shell, cluster.addresses, scenario)


@pytest.mark.parametrize("shell", SHELLS)
def test_reports(shell: str, cluster: FakeCluster) -> None:
    async def scenario(client: Any) -> None:
        assert await client.owners("k") == {"topic": "owners", "argument": b"k", "node": owner_of(cluster, b"k")}
        assert (await client.status())["topic"] == "status"
        for node in cluster.nodes:
            assert (await client.status(address=node.address))["node"] == node.node_id
        assert (await client.report("ready"))["topic"] == "ready"
        ordered = await client.command("join", {"node": "n1"}, address=cluster.node("n1").address)
        assert ordered == {"topic": "join", "argument": {"node": "n1"}, "node": "n1"}

    run(shell, cluster.addresses, scenario)


def owner_of(cluster: FakeCluster, key: bytes) -> str:
    """The first owner by the placement."""
    router = Router.from_seeds([("x", 1)])
    router.update(cluster.table().to_wire(), {}, 0.0)
    node_id = router.choose(key, False, 0.0).node_id
    assert isinstance(node_id, str)
    return node_id


@pytest.mark.parametrize("shell", SHELLS)
def test_requests_go_to_the_first_owner(shell: str, cluster: FakeCluster) -> None:
    async def scenario(client: Any) -> None:
        for number in range(30):
            await client.set(f"k{number}", number)

    run(shell, cluster.addresses[:1], scenario)
    for node in cluster.nodes:
        assert node.requests
        assert {owner_of(cluster, request[2]) for request in node.requests} == {node.node_id}


@pytest.mark.parametrize("shell", SHELLS)
def test_level_timeout_and_staleness_reach_the_wire(shell: str, cluster: FakeCluster) -> None:
    async def scenario(client: Any) -> None:
        await client.get("k")
        await client.get("k", level="all", timeout=60)
        await client.get("k", max_staleness=1.0)
        await client.set("k", 1)
        await client.set("k", 1, level=Level.ONE)

    run(shell, cluster.addresses, scenario, read_level="quorum", write_level="strict_quorum", timeout=2.0)
    requests = sorted(cluster.requests, key=lambda request: request[0])
    levels = [request[3] if request[0] == GET else request[5] for request in requests]
    assert sorted(levels[:3]) == [Level.ONE, Level.QUORUM, Level.ALL]
    assert sorted(levels[3:]) == [Level.ONE, Level.STRICT_QUORUM]
    timeouts = [request[4] if request[0] == GET else request[6] for request in requests]
    assert all(0 < timeout_ms <= 1000 for timeout_ms in timeouts), "an attempt gets a slice of the time"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("error", [WrongType, TooManySiblings, LevelNotAvailable])
def test_errors_of_the_wire_are_those_of_the_tree(shell: str, error: Any, cluster: FakeCluster) -> None:
    cluster.behaviour = lambda _, __: [error.code, "the reason"]

    async def scenario(client: Any) -> None:
        with pytest.raises(error, match="the reason"):
            await client.increment("k")

    run(shell, cluster.addresses, scenario)
    assert len(cluster.requests) == 1


@pytest.mark.parametrize("shell", SHELLS)
def test_a_failing_key_among_many(shell: str, cluster: FakeCluster) -> None:
    def behaviour(_: FakeNode, request: list[Any]) -> str | list[Any]:
        return [TooManySiblings.code, "no"] if request[0] == SET and request[2] == b"bad" else ANSWER

    cluster.behaviour = behaviour

    async def scenario(client: Any) -> None:
        with pytest.raises(TooManySiblings) as caught:
            await client.set_many({"good": 1, "bad": 2, "better": 3})
        assert caught.value.__notes__ == ["1 of 3 keys failed; the others were carried out"]
        assert await client.get_many(["good", "better"]) == {"good": 1, "better": 3}

    run(shell, cluster.addresses, scenario)


@pytest.mark.parametrize("shell", SHELLS)
def test_bad_arguments_send_nothing(shell: str, cluster: FakeCluster) -> None:
    async def scenario(client: Any) -> None:
        operations: list[Callable[[], Any]] = [
            lambda: client.get(""),
            lambda: client.set("k", object()),
            lambda: client.set("k", 1, ttl=-1),
            lambda: client.get("k", level="some"),
            lambda: client.get("k", timeout=0),
            lambda: client.increment("k", 0.5),
        ]
        for operation in operations:
            with pytest.raises(InvalidRequest):
                await operation()

    run(shell, cluster.addresses, scenario)
    assert cluster.requests == []


@pytest.mark.parametrize("shell", SHELLS)
def test_secrets(shell: str) -> None:
    async def scenario(client: Any) -> None:
        assert await client.set("k", 1)

    with FakeCluster(1, "right") as cluster:
        run(shell, cluster.addresses, scenario, secret="right")
        for secret in ("wrong", None):
            with pytest.raises(AuthenticationFailed):
                run(shell, cluster.addresses, scenario, secret=secret)


@pytest.mark.parametrize("shell", SHELLS)
def test_no_node_can_be_reached(shell: str, unused_addresses: list[str]) -> None:
    async def scenario(_: Any) -> None:
        pytest.fail("there is nothing to connect to")

    with pytest.raises(UnavailableError, match="no node can be reached") as caught:
        run(shell, unused_addresses, scenario)
    assert all(address in str(caught.value) for address in unused_addresses)


@pytest.mark.parametrize("shell", SHELLS)
def test_one_live_address_is_enough(shell: str, cluster: FakeCluster, unused_addresses: list[str]) -> None:
    async def scenario(client: Any) -> None:
        assert await client.set("k", 1)

    run(shell, [*unused_addresses, cluster.addresses[0]], scenario)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_node_that_tells_no_topology_is_asked_itself(shell: str) -> None:
    async def scenario(client: Any) -> None:
        assert await client.set("k", 1)

    with FakeCluster(2, push_topology=False) as cluster:
        run(shell, cluster.addresses[0], scenario, retries=RetryPolicy(attempt_timeout_s=0.1))
        assert len(cluster.nodes[0].requests) == 1


@pytest.mark.parametrize("options", [{"timeout": 0}, {"read_level": "x"}, {"connections_per_node": 0}])
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        dynacache.connect("127.0.0.1:1", **options)
    with pytest.raises(InvalidRequest):
        dynacache.Client("127.0.0.1:1", **options)


@pytest.mark.parametrize("kind", [dynacache.AsyncClient, dynacache.Client, dynacache.AsyncPipeline, dynacache.Pipeline])
def test_operations_have_one_signature_and_one_documentation(kind: type) -> None:
    for name in ("get", "fetch", "set", "get_and_set", "delete", "touch", "ttl", "increment"):
        built = getattr(Requests, name)
        assert inspect.signature(getattr(kind, name)) == inspect.signature(built)
        assert getattr(kind, name).__doc__ == built.__doc__


@pytest.mark.parametrize("backend", ASYNCHRONOUS)
def test_a_client_that_is_not_open_says_so(backend: str) -> None:
    async def scenario() -> None:
        with pytest.raises(UnavailableError, match="not open"):
            await dynacache.connect("127.0.0.1:1").get("k")

    anyio.run(scenario, backend=backend)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_namespace_has_every_operation_on_keys_of_its_own(shell: str, cluster: FakeCluster) -> None:
    async def scenario(client: Any) -> None:
        web = client.namespace("web")
        if shell == "threads":
            web = Awaitably(await web)
        await client.set("k", "plain")
        await web.set("k", "web")
        assert (await client.get("k"), await web.get("k")) == ("plain", "web")
        await web.set_many({"a": 1, "b": 2})
        assert await web.get_many(["a", "b", "k"]) == {"a": 1, "b": 2, "k": "web"}
        assert await client.get_many(["a", "b"]) == {}
        await web.delete_many(["a", "b"])
        async with web.pipeline() as pipeline:
            pipeline.get("k")
            pipeline.get("a")
        assert pipeline.results == ["web", None]
        assert await web.delete("k")
        assert await client.get("k") == "plain"

    run(shell, cluster.addresses, scenario)
    assert {b"k", b"\x00\x03webk"} <= {request[2] for request in cluster.requests if request[0] in (GET, SET)}


def test_a_name_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(InvalidRequest, match="namespace: got 'Web'"):
        dynacache.connect("a:1").namespace("Web")
