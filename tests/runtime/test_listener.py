"""TCP and UDP on one address, or one clear sentence."""

import errno
import socket

import pytest

from dynacache.errors import AddressInUse
from dynacache.runtime.listener import Listener, bind


def test_both_protocols_have_the_same_free_port() -> None:
    listener, gossip = bind("127.0.0.1", 0)
    host, port = listener.address
    assert (host, port) == gossip.socket.getsockname()
    assert port > 0
    listener.close()
    gossip.close()


def test_a_taken_tcp_port() -> None:
    listener, gossip = bind("127.0.0.1", 0)
    port = listener.address[1]
    gossip.close()
    with pytest.raises(AddressInUse, match=rf"127.0.0.1:{port}: another process is using that address"):
        bind("127.0.0.1", port)
    listener.close()


def test_a_taken_udp_port() -> None:
    listener, gossip = bind("127.0.0.1", 0)
    port = listener.address[1]
    listener.close()
    with pytest.raises(AddressInUse, match="another process"):
        bind("127.0.0.1", port)
    gossip.close()
    for half in bind("127.0.0.1", port):
        half.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "a" * 300])
def test_an_address_of_somebody_else(host: str) -> None:
    with pytest.raises(AddressInUse, match=host[:20]):
        bind(host, 0)


def test_accepted_connections_do_not_block_or_delay() -> None:
    listener, gossip = bind("127.0.0.1", 0)
    assert listener.accept() == []
    callers = [socket.create_connection(listener.address) for _ in range(3)]
    accepted: list[socket.socket] = []
    while len(accepted) < 3:
        accepted += listener.accept()
    assert all(each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for each in accepted)
    assert all(each.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for each in accepted)
    with pytest.raises(BlockingIOError):
        accepted[0].recv(1)
    for each in (*callers, *accepted):
        each.close()
    listener.close()
    gossip.close()


class Exhausted:
    """A listening socket in a process that has no descriptor left."""

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def fileno(self) -> int:
        return 0

    def accept(self) -> None:
        raise OSError(errno.EMFILE, "too many open files")


def test_out_of_descriptors_pauses() -> None:
    listener = Listener(Exhausted())  # type: ignore[arg-type]
    assert listener.accept() == []
    assert listener.paused
