"""The poller says what is ready, again and again, and only that."""

import socket
from collections.abc import Iterator

import pytest

from dynacache.runtime.poller import READABLE, WRITABLE, Poller


@pytest.fixture
def poller() -> Iterator[Poller]:
    made = Poller()
    yield made
    made.close()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def test_readable_until_read(poller: Poller, ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = ends
    poller.register(one.fileno())
    assert poller.poll(10) == []
    other.send(b"x")
    assert poller.poll(10) == poller.poll(10) == [(one.fileno(), READABLE)]
    one.recv(10)
    assert poller.poll(10) == []


def test_writable_only_when_asked(poller: Poller, ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = ends
    poller.register(one.fileno())
    poller.modify(one.fileno(), READABLE | WRITABLE)
    assert poller.poll(10) == [(one.fileno(), WRITABLE)]
    other.send(b"x")
    assert poller.poll(10) == [(one.fileno(), READABLE | WRITABLE)]
    poller.modify(one.fileno(), WRITABLE)
    assert poller.poll(10) == [(one.fileno(), WRITABLE)]
    poller.modify(one.fileno(), 0)
    assert poller.poll(10) == []


def test_unregistered_is_not_reported(poller: Poller, ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = ends
    poller.register(one.fileno())
    other.send(b"x")
    poller.unregister(one.fileno())
    assert poller.poll(10) == []


def test_a_hang_up_is_more_than_writable(poller: Poller, ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = ends
    poller.register(one.fileno())
    other.close()
    ((descriptor, mask),) = poller.poll(10)
    assert descriptor == one.fileno()
    assert mask & ~WRITABLE


def test_the_limit_and_turns(poller: Poller) -> None:
    """A limited poll hands out all that is ready, in turns."""
    pairs = [socket.socketpair() for _ in range(6)]
    try:
        for one, other in pairs:
            poller.register(one.fileno())
            other.send(b"x")
        seen = {descriptor for _ in range(3) for descriptor, _ in poller.poll(2)}
        assert seen == {one.fileno() for one, _ in pairs}
    finally:
        for one, other in pairs:
            one.close()
            other.close()
