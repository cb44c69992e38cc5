"""Whole nodes in this process: start, serve, refuse, halt, stop; one error of the tree, never a group."""

import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio

from dynacache.config import ClusterConfig, Config, NetworkConfig
from dynacache.errors import (
    AddressInUse,
    AuthenticationFailed,
    InvalidOption,
    NoSeedNorFounders,
    SeedsUnreachable,
    StartupError,
)
from dynacache.events import Halt
from dynacache.placement.table import MemberState
from dynacache.runtime.logs import LogWriter
from dynacache.runtime.server import Server, serve
from dynacache.types import Role
from dynacache.wire.handshake import Initiator
from dynacache.wire.messages import DONE, GET, SET, TOPOLOGY, VALUE
from tests.runtime.harness import Caller
from tests.runtime.test_exchange import free_port


def config(network: dict[str, Any] | None = None, **cluster: Any) -> Config:
    return Config(
        network=NetworkConfig(**{"port": 0, "stop_timeout_s": 1.0} | (network or {})), cluster=ClusterConfig(**cluster)
    )


@attrs.define(eq=False)
class Outcome:
    """A node that runs in a task, and how it ended."""

    server: Server | None = None
    error: BaseException | None = None
    ended: trio.Event = attrs.field(factory=trio.Event)
    stream: io.StringIO = attrs.field(factory=io.StringIO)

    async def run(self, wanted: Config, task_status: trio.TaskStatus[Server]) -> None:
        log = LogWriter(self.stream)
        try:
            await serve(wanted, log, task_status=task_status)
        except StartupError as error:
            self.error = error
        except AuthenticationFailed as error:
            self.error = error
        finally:
            log.close()
            self.ended.set()


@asynccontextmanager
async def node(wanted: Config, wait: bool = True) -> AsyncIterator[tuple[Server, Outcome]]:
    """A running node; cancelled at the end if it still runs."""
    outcome = Outcome()
    async with trio.open_nursery() as nursery:
        server = await nursery.start(outcome.run, wanted)
        if wait:
            with trio.fail_after(10):
                await server.ready.wait()
        yield server, outcome
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def client(server: Server) -> AsyncIterator[Caller]:
    """A client that has read its topology."""
    async with await trio.open_tcp_stream(*server.address) as stream:
        caller = Caller(stream, Initiator(Role.CLIENT, b"", "", server.config.network.secret or None, b"9" * 32))
        await caller.greet()
        ((kind, *_),) = await caller.receive()
        assert kind == TOPOLOGY
        yield caller


async def start_fails(wanted: Config) -> StartupError:
    """The error that a start ends with."""
    with pytest.raises(StartupError) as caught:
        await serve(wanted, LogWriter(io.StringIO()))
    return caught.value


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    while True:
        if condition():
            return
        await trio.sleep(0.05)


def seed_of(server: Server) -> str:
    return f"{server.address[0]}:{server.address[1]}"


async def test_one_node_serves_and_stops() -> None:
    async with node(config(founders=1)) as (server, outcome):
        assert server.node_id == seed_of(server)
        async with client(server) as caller:
            await caller.send([SET, 1, b"key", 1, b"value"])
            assert (await caller.receive())[0][:3] == [DONE, 1, True]
            await caller.send([GET, 2, b"key"])
            assert (await caller.receive())[0][:4] == [VALUE, 2, 1, b"value"]
            server.stop()
            assert await caller.closed()
        with trio.fail_after(5):
            await outcome.ended.wait()
        assert outcome.error is None
        assert '"event": "node.serving"' in outcome.stream.getvalue()


async def test_three_nodes_replicate() -> None:
    ports = [free_port() for _ in range(3)]
    seeds = tuple(f"127.0.0.1:{port}" for port in ports)
    settings = [config({"port": port, "name": f"n{port}"}, founders=3, seeds=seeds) for port in ports]
    async with (
        node(settings[0], wait=False) as (one, _),
        node(settings[1], wait=False) as (two, _),
        node(settings[2], wait=False) as (three, _),
    ):
        with trio.fail_after(10):
            for server in (one, two, three):
                await server.ready.wait()
        assert one.node_id == f"n{ports[0]}"
        async with client(one) as writer, client(three) as reader:
            with trio.fail_after(10):
                while True:
                    # Until the links stand, a quorum is not to be had.
                    await writer.send([SET, 1, b"key", 1, b"value"])
                    if (await writer.receive())[0][0] == DONE:
                        break
            await reader.send([GET, 2, b"key", 2])
            assert (await reader.receive())[0][:4] == [VALUE, 2, 1, b"value"]


async def test_a_taken_address() -> None:
    async with node(config(founders=1)) as (server, _):
        error = await start_fails(config({"port": server.address[1]}, founders=1))
        assert isinstance(error, AddressInUse)
        assert str(server.address[1]) in str(error)


async def test_neither_seed_nor_founders() -> None:
    assert isinstance(await start_fails(config()), NoSeedNorFounders)


async def test_unreachable_seed() -> None:
    seed = f"127.0.0.1:{free_port()}"
    error = await start_fails(config(seeds=(seed,), join_timeout_s=0.2))
    assert isinstance(error, SeedsUnreachable)
    assert seed in str(error)


async def test_a_wildcard_address_needs_one_to_tell() -> None:
    error = await start_fails(config({"host": "0.0.0.0", "secret": "s"}, founders=1))
    assert isinstance(error, InvalidOption)
    assert "network.advertise_host" in str(error)


async def test_a_wrong_secret() -> None:
    async with node(config({"secret": "right"}, founders=1)) as (server, _):
        with pytest.raises(AuthenticationFailed, match=seed_of(server)):
            await serve(config({"secret": "wrong"}, seeds=(seed_of(server),)), LogWriter(io.StringIO()))


async def test_a_halt_ends_the_node_with_its_reason() -> None:
    async with node(config(founders=1)) as (server, outcome):
        server.loop.perform(Halt("the name is taken", 10))
        with trio.fail_after(5):
            await outcome.ended.wait()
        assert isinstance(outcome.error, AddressInUse)
        assert str(outcome.error) == "the name is taken"


async def test_a_stop_before_the_birth_is_clean() -> None:
    async with node(config(founders=2), wait=False) as (server, outcome):
        server.stop()
        with trio.fail_after(5):
            await outcome.ended.wait()
        assert outcome.error is None


async def test_nothing_new_is_accepted_while_stopping() -> None:
    async with node(config({"stop_timeout_s": 5.0}, founders=1)) as (server, _), client(server):
        server.stop()
        with trio.fail_after(5):
            while True:
                try:
                    stream = await trio.open_tcp_stream(*server.address)
                except OSError:
                    return
                await stream.aclose()
                await trio.sleep(0.01)


async def test_the_secret_is_in_no_log_and_no_repr() -> None:
    async with node(config({"secret": "hush-hush"}, founders=1)) as (server, outcome), client(server):
        assert "hush-hush" not in outcome.stream.getvalue()
        assert "hush-hush" not in repr(server)


async def test_a_node_joins_and_when_it_leaves_its_process_ends() -> None:
    async with node(config(founders=1)) as (first, _):
        joiner = config(join=True, seeds=(seed_of(first),), change_interval_s=0.0)
        async with node(joiner) as (second, outcome):
            assert second.node is not None
            places = second.node.members
            with trio.fail_after(20):
                await until(lambda: places.table.entries[second.node_id].state is MemberState.NORMAL)
                second.node.ring.request_leave()
                await outcome.ended.wait()
            assert outcome.error is None
            assert places.table.entries[second.node_id].state is MemberState.LEFT
        async with client(first) as caller:
            await caller.send([SET, 1, b"key", 1, b"value"])
            assert (await caller.receive())[0][:3] == [DONE, 1, True]
