"""One question, one answer, one error."""

import socket

import pytest
import trio

from dynacache.errors import AuthenticationFailed, ConnectionLost, NotReady, ProtocolError
from dynacache.events import Message
from dynacache.runtime.entropy import draw_nonce
from dynacache.runtime.exchange import ask, dial
from dynacache.types import Role
from dynacache.wire.handshake import Initiator
from dynacache.wire.messages import BIRTH, ERROR, TOPOLOGY
from tests.runtime.harness import ScriptedCore, running_loop


def hello(secret: str | None = None) -> Initiator:
    return Initiator(Role.PEER, b"", "a", secret, draw_nonce())


def answering(*replies: Message) -> ScriptedCore:
    return ScriptedCore(answer=lambda _: list(replies))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_the_answer_of_the_kind_that_was_asked_for() -> None:
    async with running_loop(core=answering([TOPOLOGY, 0, [], {}], [BIRTH, {"x": 1}])) as bench:
        assert await ask(bench.address, hello(), [BIRTH, {}], BIRTH) == [BIRTH, {"x": 1}]
        assert [messages for _, messages in bench.core.received] == [[[BIRTH, {}]]]
        await bench.until(lambda: not bench.loop.transport.by_number)


async def test_an_error_is_raised() -> None:
    async with running_loop(core=answering([ERROR, 1, NotReady.code, "not yet"])) as bench:
        with pytest.raises(NotReady, match="not yet"):
            await ask(bench.address, hello(), [BIRTH, {}], BIRTH)


@pytest.mark.parametrize("error", [[ERROR], [ERROR, 1, "x", "y"], [ERROR, 1, 2, b"y"]])
async def test_a_malformed_error(error: Message) -> None:
    async with running_loop(core=answering(error)) as bench:
        with pytest.raises(ProtocolError, match="malformed ERROR"):
            await ask(bench.address, hello(), [BIRTH, {}], BIRTH)


async def test_a_wrong_secret() -> None:
    async with running_loop(secret="right") as bench:
        with pytest.raises(AuthenticationFailed):
            await ask(bench.address, hello("wrong"), [BIRTH, {}], BIRTH)


async def test_nobody_there() -> None:
    port = free_port()
    with pytest.raises(ConnectionLost, match=rf"cannot connect to 127.0.0.1:{port}: Connection refused$"):
        await dial(("127.0.0.1", port))


async def test_no_such_name() -> None:
    with pytest.raises(ConnectionLost, match=r"cannot connect to no\.such\.host\.invalid:1: "):
        await dial(("no.such.host.invalid", 1))


async def test_closed_without_an_answer() -> None:
    async def hang_up(stream: trio.SocketStream) -> None:
        await stream.receive_some()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, hang_up, [listener])
        with pytest.raises(ConnectionLost):
            await ask(listener.socket.getsockname(), hello(), [BIRTH, {}], BIRTH)
        nursery.cancel_scope.cancel()
