"""Links come up, come back, and go; the core hears of it, and nobody is dialled too often."""

import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from dynacache.config import NetworkConfig
from dynacache.events import Connected, Disconnected, Effects, Note
from dynacache.runtime.entropy import draw_nonce
from dynacache.runtime.peer_links import BACKOFF_FIRST_S, BACKOFF_LIMIT_S, SILENCE_LIMIT_S, PeerLinks, backoff_s
from dynacache.types import Role
from dynacache.wire.handshake import Initiator
from dynacache.wire.messages import DONE, GET
from tests.runtime.harness import CLUSTER, Bench, running_loop
from tests.runtime.test_exchange import free_port


@attrs.define
class Dialling:
    bench: Bench
    links: PeerLinks
    notes: list[Note]


@asynccontextmanager
async def dialling(secret: str | None = None) -> AsyncIterator[Dialling]:
    """A loop that dials others, as node ``a``."""
    notes: list[Note] = []
    async with running_loop() as bench, trio.open_nursery() as nursery:

        def initiator(role: Role) -> Initiator:
            return Initiator(role, CLUSTER, "a", secret, draw_nonce())

        links = PeerLinks(bench.loop, nursery, initiator, notes.append, random.Random(1))
        yield Dialling(bench, links, notes)
        nursery.cancel_scope.cancel()


def roles_of(bench: Bench) -> set[Role]:
    return {item.role for item in bench.core.inputs_of(Connected)}


async def test_two_links_to_each_peer() -> None:
    async with running_loop() as peer, dialling() as here:
        here.links.connect("node", peer.address)
        await here.bench.until(lambda: roles_of(here.bench) == {Role.PEER, Role.BULK})
        for item in here.bench.core.inputs_of(Connected):
            assert (item.node_id, item.outbound) == ("node", True)
        await peer.until(lambda: roles_of(peer) == {Role.PEER, Role.BULK})
        assert {item.node_id for item in peer.core.inputs_of(Connected)} == {"a"}
        here.links.connect("node", peer.address)
        await trio.sleep(0.05)
        assert len(peer.core.inputs_of(Connected)) == 2


async def test_a_link_that_is_cut_ends_before_the_system_would_try_again() -> None:
    async with running_loop() as peer, dialling() as here:
        here.links.connect("node", peer.address)
        await here.bench.until(lambda: roles_of(here.bench) == {Role.PEER, Role.BULK})
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        for connection in here.bench.loop.transport.by_number.values():
            if connection.outbound and option is not None:
                limit_ms = connection.socket.getsockopt(socket.IPPROTO_TCP, option)
                assert limit_ms == SILENCE_LIMIT_S * 1000


async def test_messages_travel_both_ways() -> None:
    async with running_loop() as peer, dialling() as here:
        here.links.connect("node", peer.address)
        await here.bench.until(lambda: here.bench.core.inputs_of(Connected))
        connection = here.bench.loop.transport.by_number[here.bench.core.inputs_of(Connected)[0].connection]
        here.bench.core.answer = lambda _: []
        effects = Effects()
        effects.send(connection.number, [GET, 5, b"k"])
        here.bench.do(effects)
        await here.bench.until(lambda: here.bench.core.received)
        assert here.bench.core.received == [(connection.number, [[DONE, 5, True]])]


async def test_a_broken_link_is_reported_and_comes_back() -> None:
    async with running_loop() as peer, dialling() as here:
        here.links.connect("node", peer.address)
        await here.bench.until(lambda: len(here.bench.core.inputs_of(Connected)) == 2)
        for connection in list(peer.loop.transport.by_number.values()):
            peer.loop.transport.lose(connection)
        await here.bench.until(lambda: len(here.bench.core.inputs_of(Connected)) == 4)
        first = {item.connection for item in here.bench.core.inputs_of(Connected)[:2]}
        assert {item.connection for item in here.bench.core.inputs_of(Disconnected)} == first


async def test_nobody_there_is_reported_and_noted_once() -> None:
    async with dialling() as here:
        here.links.connect("node", ("127.0.0.1", free_port()))
        await here.bench.until(lambda: len(here.bench.core.inputs_of(Disconnected)) >= 2)
        assert set(here.bench.core.inputs_of(Disconnected)) == {Disconnected(0, "node")}
        assert [note.event for note in here.notes] == ["peer.unreachable"] * 2
        assert {note.fields["role"] for note in here.notes} == {"peer", "bulk"}


async def test_somebody_else_at_the_address_is_refused() -> None:
    async with running_loop() as peer, dialling() as here:
        here.links.connect("b", peer.address)
        await here.bench.until(lambda: here.bench.core.inputs_of(Disconnected))
        assert here.bench.core.inputs_of(Connected) == []
        assert "found 'node'" in here.notes[0].fields["reason"]


async def test_a_wrong_secret_is_noted_and_retried() -> None:
    async with running_loop(secret="right") as peer, dialling("wrong") as here:
        here.links.connect("node", peer.address)
        await here.bench.until(lambda: len(here.bench.core.inputs_of(Disconnected)) >= 2)
        assert "secret" in here.notes[0].fields["reason"]


async def test_disconnect_drops_and_dials_no_more() -> None:
    async with running_loop() as peer, dialling() as here:
        here.links.connect("node", peer.address)
        await here.bench.until(lambda: len(here.bench.core.inputs_of(Connected)) == 2)
        here.links.disconnect("node")
        here.links.disconnect("node")
        await peer.until(lambda: len(peer.core.inputs_of(Disconnected)) == 2)
        await trio.sleep(2 * BACKOFF_FIRST_S)
        assert len(peer.core.inputs_of(Connected)) == 2
        assert len(here.bench.core.inputs_of(Disconnected)) == 2


async def test_a_new_address_replaces_the_old_one() -> None:
    async with running_loop() as old, running_loop() as new, dialling() as here:
        here.links.connect("node", old.address)
        await old.until(lambda: len(old.core.inputs_of(Connected)) == 2)
        here.links.connect("node", new.address)
        await new.until(lambda: len(new.core.inputs_of(Connected)) == 2)
        await old.until(lambda: len(old.core.inputs_of(Disconnected)) == 2)


async def say_nothing(_: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def test_a_silent_acceptor_is_given_up() -> None:
    network = NetworkConfig(port=0, hello_timeout_s=0.1)
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, say_nothing, [listener])
        async with running_loop(network) as bench, trio.open_nursery() as inner:
            links = PeerLinks(
                bench.loop,
                inner,
                lambda role: Initiator(role, CLUSTER, "a", None, draw_nonce()),
                lambda _: None,
                random.Random(1),
            )
            links.connect("b", listener.socket.getsockname())
            await bench.until(lambda: bench.core.inputs_of(Disconnected))
            inner.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("failures", [0, 1, 5, 100])
def test_backoff_grows_to_its_cap(failures: int) -> None:
    waits = [backoff_s(failures, random.Random(seed)) for seed in range(50)]
    full_s = min(BACKOFF_LIMIT_S, BACKOFF_FIRST_S * 2**failures)
    assert full_s / 2 <= min(waits) < max(waits) <= full_s
