"""The clients against a real cluster of three: every operation, a kill, a pause, a restart."""

import functools
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import dynacache
from dynacache.errors import LevelNotAvailable, TimedOut, UncertainError, WrongType
from dynacache.types import Level, MissReason
from tests.processes.nodes import HOST, Nodes, filled, free_ports
from tests.runtime.clients.shells import SHELLS, run

pytestmark = pytest.mark.processes


def addresses(ports: list[int]) -> list[str]:
    """Where the nodes listen."""
    return [f"{HOST}:{port}" for port in ports]


async def use_everything(client: Any, prefix: str) -> None:
    """Each operation once, with what it promises of one undisturbed client."""
    names = ("k", "never", "counter", "text", "short", "p", "large")
    k, never, counter, text, short, p, large = (f"{prefix}-{name}" for name in names)
    assert await client.set(k, {"a": [1, b"x"]}, level="all")
    assert await client.get(k) == {"a": [1, b"x"]}
    fetched = await client.fetch(k, receipt=True, siblings=True, level="quorum")
    assert fetched.found
    assert abs(fetched.last_updated - time.time()) < 60
    assert fetched.receipt.coordinator in fetched.receipt.asked
    assert len(fetched.receipt.answered) >= 2
    written = await client.set(k, 2, version=fetched.version)
    assert written
    assert not await client.set(k, 3, version=fetched.version)
    assert not await client.set(k, 3, only_if_absent=True)
    assert (await client.set(k, 3, only_if_present=True, receipt=True)).receipt.coordinator
    assert await client.get_and_set(k, 4) == 3
    assert await client.get_and_delete(k) == 4
    missed = await client.fetch(k)
    assert (missed.found, missed.miss_reason) == (False, MissReason.DELETED)
    assert (await client.fetch(never)).miss_reason is MissReason.NEVER_WRITTEN
    assert await client.set(k, "back", only_if_absent=True)
    assert await client.delete(k)
    assert not await client.exists(k)
    assert not await client.delete(never)

    assert await client.increment(counter, 5) == 5
    assert await client.increment(counter, -7) == -2
    assert await client.get(counter) == -2
    await client.set_many({text: "x"})
    with pytest.raises(WrongType):
        await client.increment(text)
    with pytest.raises(LevelNotAvailable):
        await client.set(k, 1, level=Level.STRONG)

    assert await client.set(short, 1, ttl=30)
    assert 20 < await client.ttl(short) <= 31
    assert await client.touch(short, 300)
    assert 200 < await client.ttl(short) <= 301
    assert await client.touch(short, 30)
    assert 20 < await client.ttl(short) <= 31
    assert await client.touch(short, None)
    assert await client.ttl(short) is None
    assert await client.ttl(text) is None
    assert await client.ttl(never) == 0.0
    assert not await client.touch(never, 5)

    values = {f"{prefix}-{number}": number for number in range(200)}
    await client.set_many(values)
    assert await client.get_many([*values, never]) == values
    await client.delete_many(list(values)[:100])
    assert len(await client.get_many(values)) == 100
    async with client.pipeline() as pipeline:
        pipeline.set(p, 1)
        pipeline.get(p)
        pipeline.increment(text)
        pipeline.increment(counter, 3)
    assert bool(pipeline.results[0])
    assert pipeline.results[1] == 1
    assert isinstance(pipeline.results[2], WrongType)
    assert pipeline.results[3] == 1

    blob = os.urandom(3_000_000)
    assert await client.set(large, blob)
    assert await client.get(large) == blob

    assert len((await client.owners(k))["owners"]) == 3
    assert len((await client.status())["members"]) == 3


def test_every_operation(nodes: Nodes) -> None:
    ports = free_ports(3)
    nodes.found(ports)
    for shell in SHELLS:
        run(shell, addresses(ports), functools.partial(use_everything, prefix=shell))


@pytest.mark.parametrize("shell", ["trio", "threads"])
def test_nothing_acknowledged_is_lost_while_a_node_dies_and_another_pauses(shell: str, nodes: Nodes) -> None:
    ports = free_ports(3)
    processes = nodes.found(ports)
    acknowledged: dict[str, int] = {}
    uncertain: list[str] = []

    async def write(client: Any, start: int, count: int) -> None:
        for number in range(start, start + count):
            assert await client.set(f"k{number}", number)
            acknowledged[f"k{number}"] = number
            try:
                await client.increment("total")
            except UncertainError as error:
                uncertain.append(str(error))

    async def scenario(client: Any) -> None:
        await write(client, 0, 100)
        processes[1].kill()
        await write(client, 100, 100)
        assert await client.get_many(acknowledged, level="quorum") == acknowledged
        back = nodes.start(ports[1], "--seed", f"{HOST}:{ports[0]}")
        nodes.agree([processes[0], back, processes[2]])
        filled(back)  # a condition is decided by complete copies: two of three must be so when the next one pauses
        await write(client, 200, 50)
        processes[2].popen.send_signal(signal.SIGSTOP)
        try:
            started_s = time.monotonic()
            await write(client, 250, 30)
            assert time.monotonic() - started_s < 30
        finally:
            processes[2].popen.send_signal(signal.SIGCONT)
        assert await client.get_many(acknowledged, level="quorum") == acknowledged
        total = await client.get("total", level="quorum")
        assert 280 - len(uncertain) <= total <= 280

    run(shell, addresses(ports), scenario, timeout=3.0)


def test_a_secret_is_demanded(nodes: Nodes, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("correct horse\n")
    port = free_ports(1)[0]
    node = nodes.start(port, "--founders", "1", "--secret-file", str(secret))
    deadline_s = time.monotonic() + 20
    while True:
        try:
            with dynacache.Client(addresses([port]), secret="correct horse") as client:
                assert client.set("k", 1)
            break
        except dynacache.UnavailableError:
            assert time.monotonic() < deadline_s, node.said()
    for wrong in ("wrong", None):
        with pytest.raises(dynacache.AuthenticationFailed):
            dynacache.Client(addresses([port]), secret=wrong)


def test_a_single_paused_node_is_a_timeout(nodes: Nodes) -> None:
    ports = free_ports(1)
    (node,) = nodes.found(ports)
    with dynacache.Client(addresses(ports)) as client:
        assert client.increment("n") == 1
        node.popen.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(TimedOut) as caught:
                client.increment("n", timeout=0.3)
            assert not caught.value.definite
        finally:
            node.popen.send_signal(signal.SIGCONT)
        assert client.get("n") in (1, 2)
