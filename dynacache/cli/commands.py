"""The commands on keys, as the command line declares them: options in, a call of `dynacache.cli.data`, an exit code.

What: one function for each command; cyclopts turns its parameters into options and its docstring into help.

Invariant: nothing is imported here that costs time before a command runs.

Why apart from `data`: there the commands take a client and plain values, so tests call them without a command line.
"""

from collections.abc import Callable
from typing import Annotated, Literal

from cyclopts import Parameter

from dynacache.cli.output import Answer, Output, show
from dynacache.cli.session import CacheClient, Connection, KeyConnection, connected

__all__ = [
    "DEFAULT_CONNECTION",
    "DEFAULT_KEYS",
    "OutputOption",
    "delete",
    "exists",
    "fetch",
    "get",
    "increment",
    "mget",
    "set_command",
    "touch",
    "ttl",
    "with_client",
]

_Level = Literal["one", "quorum", "strict_quorum", "all"] | None
_LEVEL_HELP = "How many replicas must answer; left out, the default of reads (one) or writes (quorum)."
_LevelOption = Annotated[_Level, Parameter(help=_LEVEL_HELP)]
OutputOption = Annotated[Output, Parameter(help="Text and tables for people, or one JSON document.")]
_TtlOption = Annotated[
    float | None,
    Parameter(
        help="Seconds until the value expires; left out, as its namespace says, never if it says nothing; inf: never."
    ),
]
DEFAULT_CONNECTION = Connection()
DEFAULT_KEYS = KeyConnection()


def with_client(connection: Connection, output: Output, body: Callable[[CacheClient], Answer]) -> int:
    """Open a client, run a command's body on it (or on the namespace that the connection names), print the answer;
    return the exit code."""
    with connected(connection) as client:
        name = connection.namespace if isinstance(connection, KeyConnection) else ""
        answer = body(client.namespace(name) if name else client)
    return show(answer, output)


def get(
    key: str,
    *,
    level: _LevelOption = None,
    raw_file: str | None = None,
    connection: KeyConnection = DEFAULT_KEYS,
    output: OutputOption = "table",
) -> int:
    """Print the value of a key; exit code 3 when there is none.

    Parameters
    ----------
    raw_file
        Write the value's bytes to this file (- is standard output) instead of printing it.
    """
    from dynacache.cli import data

    return with_client(connection, output, lambda client: data.get(client, key, level, raw_file))


def set_command(
    key: str,
    value: str | None = None,
    *,
    json: Annotated[bool, Parameter(negative=())] = False,
    raw_file: str | None = None,
    ttl: _TtlOption = None,
    sliding: Annotated[bool, Parameter(negative=())] = False,
    if_absent: Annotated[bool, Parameter(negative=())] = False,
    if_present: Annotated[bool, Parameter(negative=())] = False,
    tag: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    level: _LevelOption = None,
    connection: KeyConnection = DEFAULT_KEYS,
    output: OutputOption = "table",
) -> int:
    """Store a value; exit code 3 when a condition did not hold.

    Parameters
    ----------
    value
        Text to store.
    json
        VALUE is a JSON document: store what it says.
    raw_file
        Store the bytes of this file (- is standard input) instead of VALUE.
    sliding
        Let reads renew the time to live, which --ttl or the namespace must name.
    if_absent
        Only if there is no value. Below level strong two nodes may both say yes to two callers at once.
    if_present
        Only if there is a value.
    tag
        A word by which `invalidate tag` ends the value; may be given several times.
    """
    from dynacache.cli import data

    stored = data.value_from(value, json, raw_file)
    return with_client(
        connection,
        output,
        lambda client: data.set_value(
            client,
            key,
            stored,
            ttl=ttl,
            sliding=sliding,
            only_if_absent=if_absent,
            only_if_present=if_present,
            level=level,
            tags=tag,
        ),
    )


def delete(
    key: str, *, level: _LevelOption = None, connection: KeyConnection = DEFAULT_KEYS, output: OutputOption = "table"
) -> int:
    """Delete a key; done as well when there was none."""
    from dynacache.cli import data

    return with_client(connection, output, lambda client: data.delete(client, key, level))


def exists(
    key: str, *, level: _LevelOption = None, connection: KeyConnection = DEFAULT_KEYS, output: OutputOption = "table"
) -> int:
    """Say whether a key has a value; exit code 3 when not."""
    from dynacache.cli import data

    return with_client(connection, output, lambda client: data.exists(client, key, level))


def ttl(
    key: str, *, level: _LevelOption = None, connection: KeyConnection = DEFAULT_KEYS, output: OutputOption = "table"
) -> int:
    """Print the seconds a value has left to live; exit code 3 when there is none."""
    from dynacache.cli import data

    return with_client(connection, output, lambda client: data.ttl(client, key, level))


def touch(
    key: str,
    seconds: float,
    *,
    level: _LevelOption = None,
    connection: KeyConnection = DEFAULT_KEYS,
    output: OutputOption = "table",
) -> int:
    """Give a value so many seconds to live from now; exit code 3 when there is none."""
    from dynacache.cli import data

    return with_client(connection, output, lambda client: data.touch(client, key, seconds, level))


def increment(
    key: str,
    delta: int = 1,
    *,
    ttl: _TtlOption = None,
    level: _LevelOption = None,
    connection: KeyConnection = DEFAULT_KEYS,
    output: OutputOption = "table",
) -> int:
    """Add to a counter and print its value."""
    from dynacache.cli import data

    return with_client(connection, output, lambda client: data.increment(client, key, delta, ttl, level))


def mget(
    *keys: str, level: _LevelOption = None, connection: KeyConnection = DEFAULT_KEYS, output: OutputOption = "table"
) -> int:
    """Print the values of keys; exit code 3 when none of them has one."""
    from dynacache.cli import data

    return with_client(connection, output, lambda client: data.mget(client, keys, level))


def fetch(
    key: str,
    *,
    siblings: Annotated[bool, Parameter(negative=())] = False,
    level: _LevelOption = None,
    connection: KeyConnection = DEFAULT_KEYS,
    output: OutputOption = "table",
) -> int:
    """Print a value with its version, instants, time to live and the receipt of the read.

    Parameters
    ----------
    siblings
        Show every concurrent version too.
    """
    from dynacache.cli import data

    return with_client(connection, output, lambda client: data.fetch(client, key, level, siblings))
