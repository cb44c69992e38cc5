"""The group `namespaces`, as the command line declares it: options in, a call of `cli.namespaces`, an exit code.

What: one function for each command; parameters become options, docstrings help.

Invariant: nothing is imported here that costs time before a command runs.

Exit codes: as of the operator's commands (`dynacache.cli.operating`); 3 where nobody knows the namespace.
"""

from typing import Annotated, Literal

from cyclopts import App, Parameter

from dynacache.cli.commands import DEFAULT_CONNECTION, OutputOption, with_client
from dynacache.cli.session import Connection

__all__ = ["drop", "list_all", "namespaces", "set_settings", "show"]

_Level = Literal["one", "quorum", "strict_quorum", "all"]
_LevelOption = Annotated[_Level, Parameter(help="Where the change must have arrived before the command ends.")]
_VersionOption = Annotated[
    int | None, Parameter(help="Only if these are the settings in force (`namespaces show` tells their version).")
]
_Default = Literal["", "one", "quorum", "strict_quorum", "all"] | None

namespaces = App(name="namespaces", help="Look at namespaces and change their settings; . is the default namespace.")


@namespaces.command(name="list")
def list_all(*, connection: Connection = DEFAULT_CONNECTION, output: OutputOption = "table") -> int:
    """Show every namespace that any member holds: entries, bytes, settings."""
    from dynacache.cli import namespaces as body

    return with_client(connection, output, lambda client: body.listed(client, connection.view))


@namespaces.command
def show(name: str, *, connection: Connection = DEFAULT_CONNECTION, output: OutputOption = "table") -> int:
    """Show all settings of one namespace and what each member holds of it; exit code 3 when nobody knows it."""
    from dynacache.cli import namespaces as body

    return with_client(connection, output, lambda client: body.show(client, name, connection.view))


@namespaces.command(name="set")
def set_settings(
    name: str,
    *,
    mode: Literal["causal", "last_write_wins", "strong"] | None = None,
    default_read_level: _Default = None,
    default_write_level: _Default = None,
    default_ttl: float | None = None,
    maximum_ttl: float | None = None,
    sliding: bool | None = None,
    eviction: Literal["", "s3fifo", "lru", "lfu", "ttl", "random", "noeviction"] | None = None,
    memory_share: float | None = None,
    key_events: bool | None = None,
    compression: Literal["", "zstandard"] | None = None,
    replication_factor: int | None = None,
    version: _VersionOption = None,
    level: _LevelOption = "quorum",
    connection: Connection = DEFAULT_CONNECTION,
    output: OutputOption = "table",
) -> int:
    """Change settings of a namespace; what is not given stays as it is.

    Parameters
    ----------
    mode
        causal keeps concurrent values as siblings; last_write_wins keeps the newest and loses the others; strong comes
        with a later release.
    default_read_level
        Of reads that name none; "" as the node is configured.
    default_write_level
        Of writes that name none; "" as the node is configured.
    default_ttl
        Seconds that a value lives whose write names no time to live; 0 for ever.
    maximum_ttl
        Seconds that any value lives at most; 0 for no limit.
    sliding
        A read gives the value its time to live again.
    eviction
        Policy; "" as the node is configured.
    memory_share
        At most this share of the memory for entries, 0 to 1; 0 for no limit of its own.
    key_events
        Let clients subscribe to changes.
    compression
        What clients do to large values.
    replication_factor
        Copies of each entry, 1 to 9, chosen with the first setting and for good; 0 for as many as the cluster keeps.
        The command that chooses it ends when all members have it, whatever --level says.
    """
    from dynacache.cli import namespaces as body

    options = body.options_of(
        {
            "mode": mode,
            "default_read_level": default_read_level,
            "default_write_level": default_write_level,
            "default_ttl": default_ttl,
            "maximum_ttl": maximum_ttl,
            "sliding": sliding,
            "eviction": eviction,
            "memory_share": memory_share,
            "key_events": key_events,
            "compression": compression,
            "replication_factor": replication_factor,
        }
    )
    return with_client(connection, output, lambda client: body.change(client, name, options, version, level))


@namespaces.command
def drop(
    name: str,
    *,
    version: _VersionOption = None,
    level: _LevelOption = "quorum",
    connection: Connection = DEFAULT_CONNECTION,
    output: OutputOption = "table",
) -> int:
    """Set a namespace back to the defaults, and invalidate all that it holds."""
    from dynacache.cli import namespaces as body

    return with_client(connection, output, lambda client: body.drop(client, name, version, level))
