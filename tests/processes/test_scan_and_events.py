"""Scans and key events against a real cluster of three, with a node killed and started again in between."""

import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest

import dynacache
from dynacache.errors import InvalidRequest
from dynacache.types import KeyChange
from tests.processes.nodes import HOST, Nodes, filled, free_ports

pytestmark = pytest.mark.processes

SWITCHED_ON = "--set", "observability.key_events=true"


def addresses(ports: list[int]) -> list[str]:
    """Where the nodes listen."""
    return [f"{HOST}:{port}" for port in ports]


def collect(events: dynacache.Subscription, enough: Callable[[list[Any]], bool], timeout_s: float = 15.0) -> list[Any]:
    """Take events until there are enough."""
    found: list[Any] = []
    until_s = time.monotonic() + timeout_s
    while not enough(found) and time.monotonic() < until_s:
        item = events.get(0.2)
        if item is not None:
            found.append(item)
    return found


def test_every_key_is_found_and_every_change_told_while_a_node_dies(nodes: Nodes) -> None:
    ports = free_ports(3)
    processes = nodes.found(ports, *SWITCHED_ON)
    nodes.agree(processes)
    keys = {b"user:%d" % number for number in range(400)}
    with dynacache.Client(addresses(ports)) as client, client.subscribe("user:") as events:
        client.set_many(dict.fromkeys(keys, "v"), level="all")
        client.set("page:1", 1)
        client.set("user:brief", 1, ttl=1)
        client.delete("user:0")
        keys.discard(b"user:0")

        found = collect(events, lambda told: sum(each.change != KeyChange.SET for each in told) >= 2)
        sets = {each.key for each in found if each.change == KeyChange.SET}
        assert sets == keys | {b"user:0", b"user:brief"}
        rest = [(each.change, each.key) for each in found if each.change != KeyChange.SET]
        assert sorted(rest) == [(KeyChange.DELETE, b"user:0"), (KeyChange.EXPIRE, b"user:brief")]
        assert all(abs(each.at - time.time()) < 60 for each in found)

        for level in ("one", "quorum", "all"):
            assert set(client.scan("user:", level=level)) == keys
        assert set(client.scan(pattern="user:1?")) == {b"user:%d" % number for number in range(10, 20)}
        assert set(client.scan()) == keys | {b"page:1"}
        team = client.namespace("team")
        team.set("user:theirs", 1)
        assert list(team.scan("user:")) == [b"user:theirs"]
        page = client.scan_page(None, "user:", count=50)
        assert len(page.keys) == 50

        processes[0].kill()
        rest_of_it = [key for page in pages(client, page.cursor) for key in page.keys]
        assert set(rest_of_it) | set(page.keys) == keys
        assert set(client.scan("user:", level="quorum")) == keys

        again = nodes.start(ports[0], "--seed", f"{HOST}:{ports[1]}", *SWITCHED_ON)
        filled(again)
        told = collect(events, lambda told: any(isinstance(each, dynacache.EventsLost) for each in told))
        lost = [each for each in told if isinstance(each, dynacache.EventsLost)]
        assert [each.count for each in lost] == [None]
        client.set_many({f"user:new:{number}": 1 for number in range(60)})
        later = collect(events, lambda told: len(told) >= 60)
        assert {each.key for each in later} == {b"user:new:%d" % number for number in range(60)}
        assert {each.node for each in later} == {f"{HOST}:{port}" for port in ports}


def pages(client: dynacache.Client, cursor: bytes | None) -> list[dynacache.ScanPage]:
    """The pages behind a cursor."""
    found = []
    while cursor is not None:
        found.append(client.scan_page(cursor, "user:", count=50))
        cursor = found[-1].cursor
    return found


def test_a_slow_subscriber_is_told_how_much_it_lost(nodes: Nodes) -> None:
    ports = free_ports(1)
    nodes.agree(nodes.found(ports, *SWITCHED_ON))
    with dynacache.Client(addresses(ports)) as client, client.subscribe(changes=["set"]) as events:
        total = 20_000
        for start in range(0, total, 1_000):
            client.set_many({f"k{number}": number for number in range(start, start + 1_000)})
        client.set("last", 1)
        found = collect(events, lambda told: bool(told) and getattr(told[-1], "key", b"") == b"last")
        lost = sum(each.count or 0 for each in found if isinstance(each, dynacache.EventsLost))
        told = sum(isinstance(each, dynacache.KeyEvent) for each in found)
        assert lost > 0
        assert told + lost == total + 1


def test_events_must_be_switched_on(nodes: Nodes) -> None:
    ports = free_ports(1)
    nodes.agree(nodes.found(ports))
    with dynacache.Client(addresses(ports)) as client:
        with pytest.raises(InvalidRequest, match="key events are off"):
            client.subscribe("user:")
        client.set("a", "x" * 100, ttl=60)
        entry = client.entry("a")
        assert (entry.size_bytes or 0) > 100
        assert 50 < (entry.ttl or 0) <= 60
        assert client.entry("none").miss_reason is dynacache.MissReason.NEVER_WRITTEN


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_the_asynchronous_client_scans_and_listens(nodes: Nodes, backend: str) -> None:
    ports = free_ports(3)
    nodes.agree(nodes.found(ports, *SWITCHED_ON))

    async def use() -> None:
        async with dynacache.connect(addresses(ports)) as client:
            keys = {b"a:%d" % number for number in range(100)}
            async with client.subscribe("a:", changes=["set"]) as events:
                await client.set_many(dict.fromkeys(keys, 1), level="all")
                told = set()
                with anyio.fail_after(10):
                    async for event in events:
                        assert isinstance(event, dynacache.KeyEvent)
                        told.add(event.key)
                        if len(told) == len(keys):
                            break
                assert told == keys
            for level in ("one", "quorum"):
                assert {key async for key in client.scan("a:", level=level, count=7)} == keys
            team = client.namespace("team")
            await team.set("a:other", 1)
            assert [key async for key in team.scan(level="quorum")] == [b"a:other"]
            async with team.subscribe() as events:
                await team.set("b", 1)
                event = await anext(events)
                assert isinstance(event, dynacache.KeyEvent)
                assert event.key == b"b"
            page = await client.scan_page(count=10)
            assert page.cursor is not None
            with pytest.raises(InvalidRequest, match="level"):
                client.scan(level="strong")

    anyio.run(use, backend=backend)


def test_the_asynchronous_client_hears_that_events_are_off(nodes: Nodes) -> None:
    ports = free_ports(1)
    nodes.agree(nodes.found(ports))

    async def use() -> None:
        async with dynacache.connect(addresses(ports)) as client:
            with pytest.raises(InvalidRequest, match="key events are off"):
                async with client.subscribe():
                    pass

    anyio.run(use, backend="trio")
