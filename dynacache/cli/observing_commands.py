"""`scan`, `watch`, `hot` and `misses`, as the command line declares them: options in, a call of `cli.observing`.

What: one function for each command, whose parameters become options and whose docstring becomes help.

Invariant: nothing is imported here that costs time before a command runs.

Exit codes: as of all commands; 130 where a watch or a scan was interrupted.
"""

from typing import Annotated, Literal

from cyclopts import Parameter

from dynacache.cli.commands import DEFAULT_CONNECTION, DEFAULT_KEYS, OutputOption, with_client
from dynacache.cli.session import Connection, KeyConnection

__all__ = ["hot", "misses", "scan", "watch"]

_Changes = tuple[Literal["set", "delete", "expire", "evict"], ...]


def scan(
    prefix: str = "",
    *,
    pattern: str | None = None,
    level: Literal["one", "quorum", "all"] | None = None,
    limit: int = 0,
    connection: KeyConnection = DEFAULT_KEYS,
    output: OutputOption = "table",
) -> int:
    """Print the keys of a namespace, one a line, in no order that means anything.

    Parameters
    ----------
    prefix
        What the keys begin with.
    pattern
        Print only keys that match: * any bytes, ? one, [a-z] one of a set.
    level
        How many owners of each key to ask: one (the default), a quorum, or all; whatever any of them has is printed.
    limit
        Stop after so many; 0 means all.
    """
    from dynacache.cli import observing

    return with_client(connection, output, lambda client: observing.scan(client, prefix, pattern, level, limit, output))


def watch(
    prefix: str = "",
    *,
    change: Annotated[_Changes, Parameter(negative=(), show_default=False)] = (),
    limit: int = 0,
    seconds: float | None = None,
    connection: KeyConnection = DEFAULT_KEYS,
    output: OutputOption = "table",
) -> int:
    """Print what happens to keys, until interrupted. The namespace must have key events on.

    Parameters
    ----------
    prefix
        What the keys begin with.
    change
        Print only changes of this kind; repeatable.
    limit
        Stop after so many events; 0 means never.
    seconds
        Stop after so many seconds.
    """
    from dynacache.cli import observing

    return with_client(
        connection, output, lambda client: observing.watch(client, prefix, change, limit, seconds, output)
    )


def hot(*, count: int = 20, connection: Connection = DEFAULT_CONNECTION, output: OutputOption = "table") -> int:
    """Show the keys that are read most in the whole cluster.

    Parameters
    ----------
    count
        Keys to show.
    """
    from dynacache.cli import observing

    return with_client(connection, output, lambda client: observing.hot(client, count, connection.view))


def misses(*, count: int = 20, connection: Connection = DEFAULT_CONNECTION, output: OutputOption = "table") -> int:
    """Show how many reads found nothing, by reason and by the part of the key before the first delimiter (a colon,
    unless the nodes are configured otherwise).

    Parameters
    ----------
    count
        Prefixes to show; the others are added up.
    """
    from dynacache.cli import observing

    return with_client(connection, output, lambda client: observing.misses(client, count, connection.view))
