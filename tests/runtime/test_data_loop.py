"""Turns over real sockets: batches, order, deadlines, lag, back-pressure, gossip, and the end."""

import os
import socket
import time

import attrs
import pytest
import trio

from dynacache.config import NetworkConfig
from dynacache.events import (
    Blocked,
    Close,
    Connected,
    DatagramReceived,
    Disconnected,
    Effects,
    LoopLag,
    Message,
    Note,
    Writable,
)
from dynacache.runtime.connections import Connection
from dynacache.runtime.entropy import monotonic_now
from dynacache.types import Role
from dynacache.wire.codec import frame_of_messages
from dynacache.wire.messages import DONE, GET, PING, PONG, VALUE
from tests.runtime.harness import WAKE, Bench, Caller, ScriptedCore, calling, running_loop


def connection_of(bench: Bench, number: int) -> Connection:
    return bench.loop.transport.by_number[number]


def send_now(caller: Caller, data: bytes) -> int:
    """Send without letting the loop run."""
    return os.write(caller.stream.socket.fileno(), data)


LINGERS = pytest.mark.parametrize("linger_s", [0.0, 0.001])


@LINGERS
async def test_requests_are_answered(linger_s: float) -> None:
    async with running_loop(linger_s=linger_s) as bench, calling(bench) as caller:
        await caller.send([GET, 1, b"a"], [GET, 2, b"b"])
        await caller.send([GET, 3, b"c"])
        assert await caller.receive(3) == [[DONE, 1, True], [DONE, 2, True], [DONE, 3, True]]
        assert bench.core.inputs_of(Connected) == [Connected(1, Role.CLIENT, None, outbound=False)]


async def test_a_request_behind_the_proof_in_one_segment_is_served() -> None:
    async with running_loop() as bench, calling(bench, greet=False) as caller:
        await caller.send(caller.hello.first())
        (welcome,) = await caller.receive()
        large = [GET, 1, bytes(10_000)]
        await caller.stream.send_all(frame_of_messages(caller.hello.receive(welcome)) + frame_of_messages([large]))
        assert await caller.receive() == [[DONE, 1, True]]
        connected = bench.core.inputs_of(Connected)
        assert [number for number, _ in bench.core.received] == [connected[0].connection]


async def test_many_clients_become_one_turn() -> None:
    async with running_loop() as bench, calling(bench) as one, calling(bench) as two, calling(bench) as three:
        callers = (one, two, three)
        await bench.until(lambda: len(bench.core.inputs_of(Connected)) == 3)
        before = len(bench.core.turns)
        for number, caller in enumerate(callers):
            # Straight to the sockets, so that the loop does not run in between.
            send_now(caller, frame_of_messages([[GET, number, b"k"]]))
        replies = [await caller.receive() for caller in callers]
        assert replies == [[[DONE, number, True]] for number in range(3)]
        assert len(bench.core.turns) - before == 1


async def test_a_shared_message_goes_to_all_behind_their_own() -> None:
    async with running_loop() as bench, calling(bench) as one, calling(bench) as two:
        await bench.until(lambda: len(bench.core.inputs_of(Connected)) == 2)
        first, second = (item.connection for item in bench.core.inputs_of(Connected))
        effects = Effects()
        effects.shared.append(((first, second, 999), (PONG, 7)))
        effects.send(second, [DONE, 1, True])
        bench.do(effects)
        assert await one.receive() == [[PONG, 7]]
        assert await two.receive(2) == [[DONE, 1, True], [PONG, 7]]


async def test_an_effect_for_a_connection_that_has_ended_meets_nobody() -> None:
    async with running_loop() as bench, calling(bench) as caller:
        effects = Effects()
        effects.send(999, [PONG, 1])
        effects.others.append(Close(999, "gone"))
        bench.do(effects)
        await caller.send([GET, 1, b"k"])
        assert await caller.receive() == [[DONE, 1, True]]


async def test_a_close_sends_what_was_asked_for_first() -> None:
    async with running_loop() as bench, calling(bench) as caller:
        effects = Effects()
        effects.send(1, [PONG, 1])
        effects.others.append(Close(1, "enough"))
        bench.do(effects)
        assert await caller.receive() == [[PONG, 1]]
        assert await caller.closed()
        await bench.until(lambda: bench.core.inputs_of(Disconnected) == [Disconnected(1, None)])


@LINGERS
async def test_the_core_is_called_at_its_deadline(linger_s: float) -> None:
    async with running_loop(linger_s=linger_s) as bench:
        await trio.sleep(0.02)
        wanted_s = bench.core.deadline_s = monotonic_now() + 0.1
        bench.loop.add_input(WAKE)
        before = len(bench.core.turns)
        await bench.until(lambda: bench.core.deadline_s == float("inf"))
        assert bench.core.turns[-1].monotonic_s >= wanted_s
        assert len(bench.core.turns) <= before + 3


@LINGERS
async def test_an_idle_loop_sleeps(linger_s: float) -> None:
    async with running_loop(linger_s=linger_s) as bench:
        await trio.sleep(0.05)
        before, used_s = len(bench.core.turns), time.process_time()
        await trio.sleep(0.3)
        assert len(bench.core.turns) - before <= 1
        assert time.process_time() - used_s < 0.1


@LINGERS
async def test_a_busy_loop_lets_others_run(linger_s: float) -> None:
    async with running_loop(linger_s=linger_s) as bench, calling(bench) as one, calling(bench) as two:
        rounds = []

        async def talk(caller: Caller) -> None:
            while True:
                await caller.send([GET, 1, b"k"])
                await caller.receive()
                rounds.append(trio.current_time())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk, one)
            nursery.start_soon(talk, two)
            longest_s = 0.0
            for _ in range(50):
                began_s = trio.current_time()
                await trio.sleep(0.002)
                longest_s = max(longest_s, trio.current_time() - began_s)
            nursery.cancel_scope.cancel()
        assert len(rounds) > 20
        assert longest_s < 0.5
        assert bench.core.inputs_of(LoopLag) == []


async def test_a_late_loop_tells_the_core() -> None:
    async with running_loop() as bench:
        bench.core.deadline_s = monotonic_now() + 0.01
        bench.loop.add_input(WAKE)
        await trio.sleep(0.005)
        time.sleep(0.2)  # noqa: ASYNC251 - the loop is to be stalled
        await bench.until(lambda: bench.core.inputs_of(LoopLag))
        assert 0.1 < bench.core.inputs_of(LoopLag)[0].seconds < 2
        assert bench.loop.statistics().lag_s_max > 0.1


async def test_datagrams_come_in_and_go_out() -> None:
    async with running_loop() as bench:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            other.sendto(b"probe", bench.address)
            await bench.until(lambda: bench.core.inputs_of(DatagramReceived))
            received = bench.core.inputs_of(DatagramReceived)[0]
            assert received == DatagramReceived(b"probe", other.getsockname())
            effects = Effects()
            effects.datagrams.append((b"answer", received.address))
            bench.do(effects)
            other.settimeout(5)
            assert await trio.to_thread.run_sync(other.recv, 100) == b"answer"


async def test_rare_effects_are_performed_in_order() -> None:
    async with running_loop() as bench:
        notes = [Note("one", {}), Note("two", {})]
        effects = Effects()
        effects.others += notes
        bench.do(effects)
        await bench.until(lambda: bench.performed == notes)


def flooding(size: int) -> ScriptedCore:
    """A core that answers every message with a large value."""
    answers: list[Message] = [[VALUE, 0, 1, bytes(size)]]
    return ScriptedCore(answer=lambda _: answers)


async def test_a_client_that_does_not_read_is_not_read() -> None:
    network = NetworkConfig(port=0, client_high_water_bytes=1_000_000)
    async with running_loop(network, core=flooding(3_000_000)) as bench, calling(bench) as caller:
        for _ in range(4):
            await caller.send([GET, 1, b"k"])
        await bench.until(lambda: connection_of(bench, 1).blocked)
        served = len(bench.core.received)
        for _ in range(4):
            await caller.send([GET, 1, b"k"])
        await trio.sleep(0.1)
        assert len(bench.core.received) == served
        assert bench.core.inputs_of(Blocked) == []
        assert [message[0] for message in await caller.receive(8, timeout_s=20)] == [VALUE] * 8
        assert not connection_of(bench, 1).blocked


async def test_a_peer_that_does_not_read_is_reported() -> None:
    network = NetworkConfig(port=0, peer_high_water_bytes=1_000_000)
    async with running_loop(network, core=flooding(3_000_000)) as bench, calling(bench, Role.PEER) as caller:
        for _ in range(4):
            await caller.send([GET, 1, b"k"])
        await bench.until(lambda: bench.core.inputs_of(Blocked))
        assert bench.core.inputs_of(Blocked)[0] == Blocked(1)
        assert bench.core.inputs_of(Writable) == []
        await caller.receive(4, timeout_s=20)
        await bench.until(lambda: len(bench.core.inputs_of(Writable)) == len(bench.core.inputs_of(Blocked)))
        assert bench.core.inputs_of(Writable)[0] == Writable(1)


async def test_a_full_socket_does_not_hold_up_the_others() -> None:
    async with running_loop(core=flooding(8_000_000)) as bench, calling(bench) as stuck, calling(bench) as other:
        await stuck.send([GET, 1, b"k"], [GET, 2, b"k"])
        await bench.until(lambda: connection_of(bench, 1).output_bytes)
        bench.core.answer = lambda message: [[PONG, message[1]]]
        for number in range(20):
            await other.send([PING, number])
            assert await other.receive() == [[PONG, number]]
        assert connection_of(bench, 1).output_bytes > 0


async def test_one_turn_takes_a_bounded_number_of_bytes() -> None:
    network = NetworkConfig(port=0, turn_limit_bytes=100_000, receive_bytes=65_536)
    async with running_loop(network) as bench, calling(bench) as one, calling(bench) as two, calling(bench) as three:
        callers = (one, two, three)
        await bench.until(lambda: len(bench.core.inputs_of(Connected)) == 3)
        frame = frame_of_messages([[PING, 1, bytes(1000)] for _ in range(60)])
        before = bench.loop.statistics()
        for caller in callers:
            assert send_now(caller, frame) == len(frame)
        await bench.until(lambda: sum(len(messages) for _, messages in bench.core.received) == 180)
        after = bench.loop.statistics()
        assert after.received_bytes - before.received_bytes == 3 * len(frame)
        assert after.turns - before.turns >= 2


async def test_large_messages_in_both_directions() -> None:
    payload = bytes(range(256)) * 40_000
    async with running_loop() as bench, calling(bench) as caller:
        bench.core.answer = lambda message: [[VALUE, message[1], 1, message[2]]]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller.send, [GET, 5, payload])
            ((kind, request_id, _, echoed),) = await caller.receive(timeout_s=20)
        assert (kind, request_id) == (VALUE, 5)
        assert echoed == payload


async def test_another_core_takes_over_what_is_open() -> None:
    async with running_loop() as bench, calling(bench, Role.PEER, "b") as peer, calling(bench) as client:
        await bench.until(lambda: len(bench.core.inputs_of(Connected)) == 2)
        following = ScriptedCore()
        bench.loop.replace_core(following)
        await client.send([GET, 1, b"k"])
        assert await client.receive() == [[DONE, 1, True]]
        await peer.send([GET, 2, b"k"])
        assert await peer.receive() == [[DONE, 2, True]]
        assert following.inputs_of(Connected) == bench.core.inputs_of(Connected)
        assert bench.core.received == []


async def test_finish_sends_what_is_waiting() -> None:
    async with running_loop(core=flooding(5_000_000)) as bench, calling(bench) as caller:
        await caller.send([GET, 1, b"k"])
        await bench.until(lambda: connection_of(bench, 1).output_bytes)
        bench.loop.finish(monotonic_now() + 10)
        ((kind, *_),) = await caller.receive(timeout_s=10)
        assert kind == VALUE
        assert await caller.closed()


async def test_finish_gives_up_at_its_deadline() -> None:
    async with running_loop(core=flooding(20_000_000)) as bench, calling(bench) as caller:
        await caller.send([GET, 1, b"k"])
        await bench.until(lambda: connection_of(bench, 1).output_bytes)
        began_s = monotonic_now()
        bench.loop.finish(monotonic_now() + 0.2)
        await bench.until(lambda: not bench.loop.transport.by_number)
        assert 0.1 < monotonic_now() - began_s < 3


async def test_no_new_connections_after_listening_stopped() -> None:
    async with running_loop() as bench, calling(bench) as caller:
        bench.loop.stop_listening()
        await caller.send([GET, 1, b"k"])
        assert await caller.receive() == [[DONE, 1, True]]
        try:
            stream = await trio.open_tcp_stream(*bench.address)
        except OSError:
            return
        await stream.aclose()
        raise AssertionError("connected to a loop that does not listen")


async def test_statistics_count() -> None:
    async with running_loop() as bench, calling(bench) as caller:
        await caller.send([GET, 1, b"k"])
        await caller.receive()
        statistics = attrs.asdict(bench.loop.statistics())
        assert statistics["connections"] == statistics["clients"] == statistics["accepted"] == 1
        assert statistics["received_bytes"] > 0
        assert statistics["sent_bytes"] > 0
