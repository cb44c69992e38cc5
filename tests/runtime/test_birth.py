"""The birth machine driven over real connections: founding, joining, refusals, and what is answered meanwhile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from dynacache.config import NetworkConfig
from dynacache.errors import (
    AuthenticationFailed,
    ClusterMismatch,
    NotReady,
    SeedsUnreachable,
    VersionMismatch,
    error_from_code,
)
from dynacache.events import Address, Note
from dynacache.membership.birth import Birth, BirthOutcome, Born, Failed, Joined
from dynacache.runtime.birth import BirthCore, BirthDriver
from dynacache.runtime.data_loop import DataLoop
from dynacache.runtime.entropy import draw_incarnation, draw_nonce, monotonic_now
from dynacache.runtime.listener import bind
from dynacache.runtime.transport import Transport
from dynacache.types import Role
from dynacache.wire.handshake import Acceptor, Initiator
from dynacache.wire.messages import BIRTH, ERROR, GET, TABLE
from tests.runtime.harness import Bench, ScriptedCore, calling
from tests.runtime.test_exchange import free_port


@attrs.define(eq=False)
class Starting:
    """A node that is not born yet."""

    birth: Birth
    driver: BirthDriver
    loop: DataLoop
    address: Address
    notes: list[Note]
    outcomes: list[BirthOutcome] = attrs.field(factory=list)

    async def outcome(self) -> BirthOutcome:
        outcome = await self.driver.run()
        self.outcomes.append(outcome)
        return outcome


@attrs.frozen
class Wish:
    """How a node is started."""

    name: str
    founders: int | None = None
    seeds: tuple[Address, ...] = ()
    secret: str | None = None
    versions: tuple[int, int] = (1, 1)
    cluster_id: bytes | None = None
    join_timeout_s: float = 3.0


@asynccontextmanager
async def starting(wish: Wish) -> AsyncIterator[Starting]:
    """Listen and answer; the outcome is for the caller to await."""
    notes: list[Note] = []
    listener, gossip = bind("127.0.0.1", 0)
    host, port = listener.address
    birth = Birth(
        node_id=wish.name,
        incarnation=draw_incarnation(),
        host=host,
        port=port,
        founders=wish.founders,
        seeds=wish.seeds,
        expected_cluster_id=wish.cluster_id,
        join_timeout_s=wish.join_timeout_s,
    )

    def cluster_id() -> bytes:
        outcome = birth.outcome
        return outcome.record.cluster_id if isinstance(outcome, Born | Joined) else wish.cluster_id or b""

    def initiator() -> Initiator:
        return Initiator(Role.PEER, cluster_id(), wish.name, wish.secret, draw_nonce(), *wish.versions)

    def acceptor() -> Acceptor:
        return Acceptor(cluster_id(), wish.name, wish.secret, draw_nonce(), *wish.versions)

    driver = BirthDriver(birth, initiator, notes.append)
    network = NetworkConfig(port=0)
    transport = Transport(network, acceptor, notes.append)
    core = BirthCore(birth, driver.changed)
    loop = DataLoop(network, core, transport, lambda _: None, listener, gossip)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(loop.run)
        yield Starting(birth, driver, loop, listener.address, notes)
        loop.finish(monotonic_now())


async def test_one_founder_is_born_at_once() -> None:
    async with starting(Wish("a", founders=1)) as node:
        with trio.fail_after(2):
            assert isinstance(await node.outcome(), Born)


async def test_two_founders_find_each_other() -> None:
    async with starting(Wish("a", founders=2)) as one, starting(Wish("b", founders=2, seeds=(one.address,))) as other:
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.outcome)
                nursery.start_soon(other.outcome)
        (first,), (second,) = one.outcomes, other.outcomes
        assert isinstance(first, Born)
        assert isinstance(second, Born)
        assert first.record == second.record


async def test_a_later_node_joins() -> None:
    async with starting(Wish("a", founders=1)) as founder:
        born = await founder.outcome()
        assert isinstance(born, Born)
        async with starting(Wish("b", seeds=(founder.address,))) as later:
            with trio.fail_after(5):
                joined = await later.outcome()
            assert isinstance(joined, Joined)
            assert joined.record == born.record


async def test_unreachable_seeds_end_the_start() -> None:
    port = free_port()
    async with starting(Wish("a", seeds=(("127.0.0.1", port),), join_timeout_s=0.3)) as node:
        with trio.fail_after(5):
            outcome = await node.outcome()
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, SeedsUnreachable)
        assert f"127.0.0.1:{port} cannot connect" in str(outcome.error)


async def refused(founder: Wish, later: Wish) -> BirthOutcome:
    """The outcome of a node whose only seed refuses it."""
    async with starting(founder) as one:
        await one.outcome()
        async with starting(attrs.evolve(later, seeds=(one.address,))) as other:
            with trio.fail_after(2):
                return await other.outcome()


async def test_a_wrong_secret_ends_the_start_at_once() -> None:
    outcome = await refused(Wish("a", founders=1, secret="right"), Wish("b", secret="wrong"))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, AuthenticationFailed)


async def test_no_common_version_ends_the_start_at_once() -> None:
    outcome = await refused(Wish("a", founders=1), Wish("b", versions=(7, 9)))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, VersionMismatch)
    assert "7 to 9" in str(outcome.error)


async def test_another_cluster_ends_the_start_at_once() -> None:
    outcome = await refused(Wish("a", founders=1), Wish("b", cluster_id=b"x" * 16))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, ClusterMismatch)


async def test_one_newcomer_with_a_wrong_secret_does_not_stop_the_others() -> None:
    right = Wish("a", founders=1, secret="right")
    async with starting(right) as one, starting(Wish("x", founders=2, secret="wrong")) as wrong:
        await one.outcome()
        seeds = (wrong.address, one.address)
        async with starting(Wish("b", seeds=seeds, secret="right")) as other:
            with trio.fail_after(3):
                assert isinstance(await other.outcome(), Joined)


async def test_what_is_answered_before_the_birth() -> None:
    async with starting(Wish("a", founders=2)) as node:
        bench = Bench(node.loop, ScriptedCore(), node.address)
        async with calling(bench) as client:
            await client.send([GET, 7, b"k"], [BIRTH, {}])
            first, second = await client.receive(2)
            assert first[:2] == [ERROR, 7]
            assert isinstance(error_from_code(first[2], first[3]), NotReady)
            assert second[:2] == [ERROR, 0]
        async with calling(bench, Role.PEER) as peer:
            await peer.send([BIRTH, {"odd": 1}], [BIRTH])
            assert [message[0] for message in await peer.receive(2)] == [BIRTH, BIRTH]
        async with calling(bench, Role.PEER) as peer:
            await peer.send([TABLE, 1, []])
            assert await peer.closed()


async def test_waiting_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynacache.runtime.birth.WAITING_NOTE_INTERVAL_S", 0.05)
    async with starting(Wish("a", founders=2)) as node:
        with trio.move_on_after(0.3):
            await node.outcome()
        assert node.outcomes == []
        assert node.notes[0].event == "birth.waiting"
        assert "1 of 2" in node.notes[0].fields["reason"]
