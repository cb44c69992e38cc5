"""The poller: readiness to read and write, timeouts below a millisecond."""

import socket
import time
from collections.abc import Iterator

import pytest

from dynacache.cli.bench.polling import Poller


@pytest.fixture
def poller() -> Iterator[Poller]:
    created = Poller()
    yield created
    created.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    first, second = socket.socketpair()
    with first, second:
        yield first, second


Pair = tuple[socket.socket, socket.socket]


def test_what_can_be_read_is_reported_until_it_is(poller: Poller, pair: Pair) -> None:
    near, far = pair
    poller.register(near.fileno())
    assert list(poller.poll(0)) == []
    far.send(b"x")
    for _ in range(2):
        assert [descriptor for descriptor, _ in poller.poll(1)] == [near.fileno()]
        assert [descriptor for descriptor, _ in poller.poll_precisely(1)] == [near.fileno()]
    near.recv(9)
    assert list(poller.poll(0)) == []


def test_room_to_write_is_reported_while_wanted(poller: Poller, pair: Pair) -> None:
    near, _ = pair
    poller.register(near.fileno())
    poller.want_writable(near.fileno(), True)
    assert [descriptor for descriptor, _ in poller.poll(1)] == [near.fileno()]
    poller.want_writable(near.fileno(), False)
    assert list(poller.poll(0)) == []


def test_short_waits_are_short(poller: Poller) -> None:
    shortest = 1.0
    for _ in range(20):
        before = time.perf_counter()
        poller.poll_precisely(0.0003)
        shortest = min(shortest, time.perf_counter() - before)
    assert 0.0002 < shortest < 0.0009
