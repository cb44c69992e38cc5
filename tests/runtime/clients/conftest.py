"""Fixtures of the clients' tests."""

import socket

import pytest


@pytest.fixture
def unused_addresses() -> list[str]:
    """Two loopback addresses where nothing listens."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return addresses
