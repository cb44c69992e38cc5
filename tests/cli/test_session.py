"""Connections: the options, the secret's file, and that a client is always closed."""

import contextlib
from pathlib import Path

import pytest

from dynacache.cli.session import Connection, client_factory, connected, open_client, read_secret
from dynacache.errors import InvalidOption, UnavailableError
from tests.cli.fakes import FakeClient


def test_the_secret_is_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes("grün\r\nsecond".encode())
    assert read_secret(path) == "grün"
    assert read_secret(None) == ""


@pytest.mark.parametrize("content", [None, b"", b"\nsecond", b"\xff\xfe"])
def test_a_secret_that_is_none_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidOption, match="--secret-file"):
        read_secret(path)


def test_the_client_is_closed_after_an_error(fake_client: FakeClient) -> None:
    with contextlib.suppress(KeyError), connected(Connection()) as client:
        assert client is fake_client
        raise KeyError
    assert fake_client.closed


def test_the_real_client_is_the_default() -> None:
    assert client_factory.get() is open_client
    with pytest.raises(UnavailableError):
        open_client(Connection(server=("127.0.0.1:1",), timeout=0.2))


def test_the_view_of_a_node_is_asked_for_only_where_it_is_the_only_one_named() -> None:
    assert Connection(server=("a:1",)).view == "a:1"
    assert Connection(server=("a:1", "b:2")).view is None
