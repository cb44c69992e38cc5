"""How a command reaches the cluster: the connection options, and the client they open.

What: `Connection` holds the options that every command with a client shares; `open_client` opens the synchronous client
with them. `CacheClient` is the part of it that commands use.

Invariant: the client's module, and with it Trio, is imported only here and only when a connection is really opened, so
`dynacache --help` stays fast. Tests put another factory into `client_factory`.

Why a file for the secret: a secret on the command line can be read by everyone on the machine who lists processes.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Protocol

import attrs
from cyclopts import Parameter

from dynacache.errors import InvalidOption

__all__ = [
    "DEFAULT_SERVER",
    "CacheClient",
    "Connection",
    "KeyConnection",
    "client_factory",
    "connected",
    "open_client",
    "read_secret",
]

DEFAULT_SERVER = "127.0.0.1:7400"
_SECRET_LIMIT_BYTES = 4096


class CacheClient(Protocol):
    """What commands ask of a client; see `dynacache.Client`."""

    def get(self, key: bytes | str, default: Any = None, *, level: str | None = None) -> Any:
        """The value of a key."""

    def fetch(
        self, key: bytes | str, *, level: str | None = None, siblings: bool = False, receipt: bool = False
    ) -> Any:
        """The value with what is known about it."""

    def get_many(self, keys: Sequence[bytes | str], *, level: str | None = None) -> Mapping[Any, Any]:
        """The values that were found."""

    def set(
        self,
        key: bytes | str,
        value: Any,
        *,
        ttl: float | None = None,
        sliding: bool = False,
        only_if_absent: bool = False,
        only_if_present: bool = False,
        tags: Sequence[str] = (),
        level: str | None = None,
    ) -> Any:
        """Write; true when applied."""

    def set_many(self, values: Mapping[Any, Any], *, level: str | None = None) -> None:
        """Write several values."""

    def delete(self, key: bytes | str, *, level: str | None = None) -> Any:
        """Delete; true when applied."""

    def invalidate(self, key: bytes | str, *, level: str | None = None) -> Any:
        """End a value; true when there was one."""

    def invalidate_version(self, key: bytes | str, version: bytes, *, level: str | None = None) -> Any:
        """End what a version covers; true when there was something."""

    def invalidate_tag(self, tag: str, *, strict: bool = True, level: str | None = None) -> bool:
        """End what has a tag."""

    def invalidate_pattern(self, pattern: str, *, strict: bool = True, level: str | None = None) -> bool:
        """End the values of keys that match."""

    def flush(self, *, strict: bool = True, level: str | None = None) -> bool:
        """End everything."""

    def exists(self, key: bytes | str, *, level: str | None = None) -> bool:
        """Whether there is a value."""

    def touch(self, key: bytes | str, ttl: float, *, level: str | None = None) -> bool:
        """Give a value a new time to live."""

    def increment(
        self, key: bytes | str, delta: int = 1, *, ttl: float | None = None, level: str | None = None
    ) -> int | float:
        """Add to a counter."""

    def report(
        self, topic: str, argument: Any = None, *, address: str | None = None, timeout: float | None = None
    ) -> Any:
        """What one node reports on a topic; `address` names the node."""

    def command(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        address: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Order a node to do something; `address` names the node."""

    def scan(
        self, prefix: bytes | str = b"", *, pattern: bytes | str | None = None, level: str | None = None
    ) -> Iterator[bytes]:
        """The keys with a prefix, and of a pattern."""

    def subscribe(self, prefix: bytes | str = b"", *, changes: Sequence[str] | None = None) -> Any:
        """What happens to keys with a prefix; a context manager."""

    def owners(self, key: bytes | str) -> Any:
        """Where a key lives."""

    def namespace(self, name: str) -> Any:
        """The operations on another namespace."""

    def close(self) -> None:
        """Close every connection."""


@Parameter(name="*")
@attrs.frozen
class Connection:
    """Options of every command that talks to a cluster."""

    server: Annotated[tuple[str, ...], Parameter(name=["--server", "-s"], env_var="DYNACACHE_SERVER", negative=())] = (
        DEFAULT_SERVER,
    )
    """A node's host:port; give several to survive the loss of one (in the environment separated by spaces)."""

    secret_file: Annotated[Path | None, Parameter(env_var="DYNACACHE_SECRET_FILE")] = None
    """File whose first line is the cluster secret."""

    timeout: Annotated[float, Parameter(env_var="DYNACACHE_TIMEOUT")] = 5.0
    """Seconds within which each operation must be answered."""

    @property
    def view(self) -> str | None:
        """The node whose view of the cluster is asked for: the only one given, else None, for whichever answers."""
        return self.server[0] if len(self.server) == 1 else None


@Parameter(name="*")
@attrs.frozen
class KeyConnection(Connection):
    """Options of every command on keys."""

    namespace: Annotated[str, Parameter(name=["--namespace", "-n"], env_var="DYNACACHE_NAMESPACE")] = ""
    """The namespace of the keys; left out, the default one."""


def read_secret(path: Path | None) -> str:
    """The first line of a secret file; empty without a file. Raises InvalidOption."""
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            line = file.read(_SECRET_LIMIT_BYTES).split(b"\n", 1)[0].strip()
        secret = line.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOption(f"--secret-file: cannot read {path}: {error}") from error
    if not secret:
        raise InvalidOption(f"--secret-file: got {path}, whose first line is empty, expected the cluster secret")
    return secret


def open_client(connection: Connection) -> CacheClient:
    """Open the synchronous client; raises an error of the tree."""
    from dynacache.runtime.clients import Client

    client: Any = Client(
        connection.server, secret=read_secret(connection.secret_file) or None, timeout=connection.timeout
    )
    opened: CacheClient = client
    return opened


client_factory: ContextVar[Callable[[Connection], CacheClient]] = ContextVar("client_factory", default=open_client)
"""What opens the client of a command."""


@contextlib.contextmanager
def connected(connection: Connection) -> Iterator[CacheClient]:
    """A client for the length of a block."""
    client = client_factory.get()(connection)
    try:
        yield client
    finally:
        client.close()
