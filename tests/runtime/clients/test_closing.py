"""Closing: what was not sent is kept or thrown away, as asked."""

import socket

import pytest

from dynacache.runtime.clients.closing import close_now


@pytest.mark.parametrize("discard", [False, True])
def test_unsent_bytes_are_thrown_away_only_when_asked(discard: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    with theirs:
        theirs.settimeout(5)
        ours.setblocking(False)
        sent = _fill(ours)
        close_now(ours, discard=discard)
        received = 0
        try:
            while data := theirs.recv(1 << 20):
                received += len(data)
        except ConnectionResetError:
            assert discard
        assert (received == sent) is not discard


def _fill(full: socket.socket) -> int:
    """Send until no more is taken; return how much was."""
    sent = 0
    while True:
        try:
            sent += full.send(bytes(65_536))
        except BlockingIOError:
            return sent
