"""Fixtures for the command line: a fake cluster in place of the real client, and a way to run commands on it."""

from collections.abc import Callable, Iterator

import attrs
import pytest

from dynacache.cli import main
from dynacache.cli.session import Connection, client_factory
from dynacache.cli.waiting import pausing
from tests.cli.core_client import CoreClient
from tests.cli.fakes import FakeClient


@attrs.frozen
class Ran:
    """What one command line did."""

    code: int
    out: str
    err: str


@pytest.fixture
def opened() -> list[Connection]:
    """The connections that commands have asked for."""
    return []


@pytest.fixture
def fake_client(opened: list[Connection]) -> Iterator[FakeClient]:
    """A fake cluster that every command of the test talks to."""
    client = FakeClient()

    def open_fake(connection: Connection) -> FakeClient:
        opened.append(connection)
        return client

    token = client_factory.set(open_fake)
    yield client
    client_factory.reset(token)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs one command line within this process."""

    def run(*arguments: str) -> Ran:
        code = main(arguments)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def cores() -> Iterator[CoreClient]:
    """Three real node cores that every command of the test talks to, in virtual time."""
    client = CoreClient()
    factory = client_factory.set(lambda connection: client)
    pause = pausing.set(client.pause)
    yield client
    pausing.reset(pause)
    client_factory.reset(factory)
