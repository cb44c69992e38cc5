"""Connections over their whole life: greeted, refused, cut at their deadlines, counted, and told to the core once."""

import os
import socket

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from dynacache.config import NetworkConfig
from dynacache.errors import (
    AuthenticationFailed,
    ClusterMismatch,
    DynacacheError,
    FrameTooLarge,
    Overloaded,
    ProtocolError,
    error_from_code,
)
from dynacache.events import Connected, Disconnected, Message, Note
from dynacache.runtime.connections import Connection
from dynacache.runtime.entropy import draw_nonce
from dynacache.runtime.transport import PEER_LIMIT_FACTOR, Transport
from dynacache.types import Role
from dynacache.wire.codec import frame_of_messages
from dynacache.wire.framing import FrameReader
from dynacache.wire.handshake import Acceptor, Initiator
from dynacache.wire.messages import DONE, ERROR, GET, PROOF
from tests.runtime.harness import CLUSTER, Bench, Caller, calling, running_loop

QUICK = NetworkConfig(port=0, hello_timeout_s=0.15, frame_timeout_s=0.15, idle_timeout_s=0.3)


async def refusal(caller: Caller) -> DynacacheError:
    """The error that the other end gives before it closes."""
    (message,) = await caller.receive()
    assert message[:2] == [ERROR, 0]
    assert await caller.closed()
    return error_from_code(message[2], message[3])


async def works(bench: Bench) -> bool:
    """Whether the loop still serves a well-behaved client."""
    async with calling(bench) as caller:
        await caller.send([GET, 1, b"k"])
        return await caller.receive() == [[DONE, 1, True]]


async def test_a_silent_stranger_is_cut() -> None:
    async with running_loop(QUICK) as bench, calling(bench, greet=False) as caller:
        assert "no hello" in str(await refusal(caller))
        assert bench.core.inputs == []


async def test_half_a_hello_is_cut() -> None:
    async with running_loop(QUICK) as bench, calling(bench, greet=False) as caller:
        await caller.stream.send_all(frame_of_messages([caller.hello.first()])[:20])
        assert "no hello" in str(await refusal(caller))


async def test_a_hello_without_proof_is_cut() -> None:
    async with running_loop(QUICK) as bench, calling(bench, greet=False) as caller:
        await caller.send(caller.hello.first())
        await caller.receive()
        assert "no hello" in str(await refusal(caller))


async def test_a_silent_client_is_cut() -> None:
    async with running_loop(QUICK) as bench, calling(bench) as caller:
        assert "silent" in str(await refusal(caller))
        await bench.until(lambda: bench.core.inputs_of(Disconnected) == [Disconnected(1, None)])


async def test_a_silent_peer_is_kept() -> None:
    async with running_loop(QUICK) as bench, calling(bench, Role.PEER) as caller:
        await trio.sleep(0.6)
        await caller.send([GET, 1, b"k"])
        assert await caller.receive() == [[DONE, 1, True]]


@pytest.mark.parametrize("role", [Role.CLIENT, Role.PEER])
async def test_half_a_frame_is_cut(role: Role) -> None:
    async with running_loop(QUICK) as bench, calling(bench, role) as caller:
        await caller.stream.send_all(frame_of_messages([[GET, 1, b"k"]])[:-1])
        assert "frame" in str(await refusal(caller))


async def test_frames_that_arrive_slowly_but_surely_are_served() -> None:
    async with running_loop(QUICK) as bench, calling(bench, Role.PEER) as caller:
        stream = frame_of_messages([[GET, 1, b"k"]]) * 8
        for start in range(0, len(stream), 10):
            await caller.stream.send_all(stream[start : start + 10])
            await trio.sleep(0.04)
        assert await caller.receive(8) == [[DONE, 1, True]] * 8


async def test_a_client_that_half_closes_is_let_go() -> None:
    async with running_loop() as bench, calling(bench) as caller:
        await caller.stream.send_eof()
        assert await caller.closed()
        await bench.until(lambda: bench.core.inputs_of(Disconnected) == [Disconnected(1, None)])


async def test_an_oversized_frame_is_refused_from_its_header() -> None:
    async with running_loop() as bench, calling(bench) as caller:
        await caller.stream.send_all(b"\xff\xff\xff\xff")
        assert isinstance(await refusal(caller), FrameTooLarge)
        assert await works(bench)


async def test_a_stranger_may_not_send_a_large_frame() -> None:
    async with running_loop() as bench, calling(bench, greet=False) as caller:
        await caller.stream.send_all((5000).to_bytes(4, "big"))
        assert isinstance(await refusal(caller), FrameTooLarge)


async def test_a_request_before_the_proof_is_refused() -> None:
    async with running_loop() as bench, calling(bench, greet=False) as caller:
        await caller.send(caller.hello.first())
        await caller.receive()
        await caller.send([GET, 1, b"k"])
        assert isinstance(await refusal(caller), ProtocolError)
        assert bench.core.received == []


@pytest.mark.parametrize("secret", ["wrong", None])
async def test_a_wrong_secret_is_refused(secret: str | None) -> None:
    async with running_loop(secret="right") as bench:
        async with calling(bench, greet=False, secret=secret) as caller:
            await caller.send(caller.hello.first())
            await caller.receive()
            await caller.send([PROOF, b"" if secret is None else bytes(32)])
            assert isinstance(await refusal(caller), AuthenticationFailed)
        async with calling(bench, secret="right") as caller:
            await caller.send([GET, 1, b"k"])
            assert await caller.receive() == [[DONE, 1, True]]


async def test_another_cluster_is_refused() -> None:
    async with running_loop() as bench, calling(bench, greet=False) as caller:
        caller.hello = Initiator(Role.PEER, b"d" * 16, "x", None, draw_nonce())
        await caller.send(caller.hello.first())
        assert isinstance(await refusal(caller), ClusterMismatch)


async def test_more_clients_than_the_limit_are_refused() -> None:
    async with running_loop(NetworkConfig(port=0, client_limit=1)) as bench:
        async with calling(bench) as one, calling(bench, Role.PEER) as peer:
            async with calling(bench) as two:
                assert isinstance(await refusal(two), Overloaded)
            for caller in (one, peer):
                await caller.send([GET, 1, b"k"])
                assert await caller.receive() == [[DONE, 1, True]]
        await bench.until(lambda: not bench.loop.transport.by_number)
        assert await works(bench)


async def test_a_refusal_is_noted() -> None:
    async with running_loop() as bench, calling(bench) as caller:
        await caller.stream.send_all(b"\xff\xff\xff\xff")
        await caller.closed()
        notes = [note for note in bench.performed if isinstance(note, Note)]
        assert [note.event for note in notes] == ["connection.refused"]
        assert notes[0].fields["error"] == "FrameTooLarge"


async def test_refused_bytes_do_not_destroy_the_explanation() -> None:
    """A close with unread input would reset the connection and lose the error message."""
    async with running_loop() as bench, calling(bench) as caller:
        await caller.stream.send_all(b"\xff\xff\xff\xff" + bytes(500_000))
        assert isinstance(await refusal(caller), FrameTooLarge)


@settings(max_examples=40)
@given(st.lists(st.binary(min_size=1, max_size=400), min_size=1, max_size=3), st.booleans())
def test_any_bytes_are_answered_or_cut_and_the_loop_serves_on(pieces: list[bytes], greet: bool) -> None:
    async def main() -> None:
        async with running_loop(QUICK) as bench:
            async with calling(bench, greet=greet) as caller:
                try:
                    for piece in pieces:
                        await caller.stream.send_all(piece)
                except trio.BrokenResourceError:
                    pass
                await caller.stream.send_eof()
                assert await caller.closed()
            assert await works(bench)

    trio.run(main)


def pair(transport: Transport, **network: int) -> tuple[Connection, socket.socket]:
    """An outbound connection past its hello, and its other end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    connection = transport.adopt(ours, Initiator(Role.PEER, CLUSTER, "a", None, b"1" * 32), "b")
    reader, acceptor = FrameReader(), Acceptor(CLUSTER, "b", None, b"2" * 32)
    (hello,) = reader.feed(theirs.recv(4096))
    transport.greet(connection, frame_of_messages(acceptor.receive(hello)))
    acceptor.receive(reader.feed(theirs.recv(4096))[0])
    assert acceptor.done
    return connection, theirs


def quiet(_: Note) -> None:
    """Where notes go that no test looks at."""


def never() -> Acceptor:
    raise AssertionError("nothing is accepted here")


def test_an_outbound_peer_is_reported_and_then_dropped() -> None:
    transport = Transport(NetworkConfig(port=0, peer_high_water_bytes=1_000_000), never, quiet)
    connection, theirs = pair(transport)
    assert transport.inputs == [Connected(1, Role.PEER, "b", outbound=True)]
    for _ in range(2 * PEER_LIMIT_FACTOR):
        transport.send(connection, bytes(1_000_000))
    assert [type(item).__name__ for item in transport.inputs] == ["Connected", "Blocked", "Disconnected"]
    assert transport.by_number == {}
    theirs.close()
    transport.close_everything()


def test_output_leaves_in_order_and_whole() -> None:
    transport = Transport(NetworkConfig(port=0), never, quiet)
    connection, theirs = pair(transport)
    sent = [os.urandom(300_000) for _ in range(5)]
    for piece in sent:
        transport.send(connection, piece)
    received = bytearray()
    while len(received) < 1_500_000:
        try:
            received += theirs.recv(100_000)
        except BlockingIOError:
            assert connection.output_bytes == sum(map(len, connection.output)) > 0
            transport.flush(connection)
    assert bytes(received) == b"".join(sent)
    assert connection.output_bytes == 0
    theirs.close()
    transport.close_everything()


def test_the_end_is_told_once() -> None:
    ends: list[DynacacheError | None] = []
    transport = Transport(NetworkConfig(port=0), never, quiet)
    connection, theirs = pair(transport)
    connection.ended = ends.append
    transport.close(connection, ProtocolError("enough"))
    transport.close(connection)
    transport.lose(connection)
    transport.lose(connection)
    assert [str(end) for end in ends] == ["enough"]
    assert transport.inputs[1:] == [Disconnected(1, "b")]
    theirs.close()
    transport.close_everything()


def test_the_wrong_node_at_an_address_is_refused() -> None:
    ends: list[DynacacheError | None] = []
    transport = Transport(NetworkConfig(port=0), never, quiet)
    ours, theirs = socket.socketpair()
    connection = transport.adopt(ours, Initiator(Role.PEER, CLUSTER, "a", None, b"1" * 32), "b", ends.append)
    (hello,) = FrameReader().feed(theirs.recv(4096))
    welcome: list[Message] = Acceptor(CLUSTER, "c", None, b"2" * 32).receive(hello)
    with pytest.raises(ProtocolError, match=r"expected node 'b'.*'c'") as caught:
        transport.greet(connection, frame_of_messages(welcome))
    transport.refuse(connection, caught.value)
    assert ends == [caught.value]
    assert transport.inputs == []
    theirs.close()
    transport.close_everything()


async def test_output_beyond_its_share_stops_the_reading_of_those_who_caused_it() -> None:
    async with running_loop() as bench, calling(bench) as caller:
        transport = bench.loop.transport
        (connection,) = transport.by_number.values()
        await bench.until(lambda: connection.is_client)  # our hello may be done before the other side has read it
        # What the socket does not take waits, a few bytes more than it has room for; the caller reads nothing yet.
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        sent = [DONE, 1, b"x" * 3_000_000]
        for _ in range(10):
            transport.send(connection, frame_of_messages([sent]))
        waiting = transport.limit_output(2**40)
        assert waiting == connection.output_bytes > 0
        states = [(transport.tight, connection.blocked)]
        connection.high_water_bytes = 2 * waiting
        connection.blocked = False
        transport.limit_output(waiting - 1)
        states.append((transport.tight, connection.blocked))
        received = 0
        while received < 10:
            received += len(await caller.receive())
        await bench.until(lambda: connection.output_bytes == 0)
        transport.limit_output(waiting - 1)
        states.append((transport.tight, connection.blocked))
        assert states[1:] == [(True, True), (False, False)]
        assert await works(bench)
