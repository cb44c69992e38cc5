"""The group `invalidate` and the command `flush`: what ends values before their time, from the command line.

What: one function for each way: a key, a version of it, a tag, a pattern of keys, a whole namespace.

Invariant: a command ends with exit code 0 only when the invalidation has reached its level; nothing is imported here
that costs time before a command runs.

Exit codes: 3 where there was nothing under the key or of the version named; a tag, a pattern or a namespace may well
concern nothing, and nobody counts what they end.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from dynacache.cli.commands import DEFAULT_KEYS, OutputOption, with_client
from dynacache.cli.output import EXIT_NOT_FOUND, Answer
from dynacache.cli.session import KeyConnection
from dynacache.errors import InvalidRequest

__all__ = ["flush", "invalidate", "key", "pattern", "tag", "version"]

_Level = Annotated[
    Literal["one", "quorum", "strict_quorum", "all"] | None,
    Parameter(help="Where it must have arrived before the command ends; left out, the default of writes (quorum)."),
]
_Now = Annotated[
    bool,
    Parameter(
        negative=(),
        help="End what was written up to now by this node's clock, and not half a second ahead, which is as far as the"
        " clocks of other nodes may differ.",
    ),
]

invalidate = App(name="invalidate", help="End values before their time: by key, version, tag or pattern of keys.")


def _done(what: str, name: str) -> Answer:
    return Answer({what: name, "applied": True}, text="invalidated")


def _written(name: str, written: Any, missing: str) -> Answer:
    if written:
        return _done("key", name)
    return Answer({"key": name, "applied": False}, complaint=missing, exit_code=EXIT_NOT_FOUND)


@invalidate.command
def key(
    name: str, *, level: _Level = None, connection: KeyConnection = DEFAULT_KEYS, output: OutputOption = "table"
) -> int:
    """End the value of one key; exit code 3 when there was none."""
    missing = f"key {name!r} had no value"
    return with_client(connection, output, lambda client: _written(name, client.invalidate(name, level=level), missing))


@invalidate.command
def version(
    name: str,
    version: str,
    *,
    level: _Level = None,
    connection: KeyConnection = DEFAULT_KEYS,
    output: OutputOption = "table",
) -> int:
    """End exactly what a version covers (as `fetch` prints it); what was written since stays. Exit code 3 when nothing
    of it was there."""
    try:
        covered = bytes.fromhex(version)
    except ValueError as error:
        raise InvalidRequest(
            f"version: got {version!r:.80}, expected the hexadecimal digits that fetch prints"
        ) from error
    missing = f"nothing of that version of key {name!r} was there"
    return with_client(
        connection,
        output,
        lambda client: _written(name, client.invalidate_version(name, covered, level=level), missing),
    )


def _epoch(what: str, name: str, connection: KeyConnection, output: OutputOption, call: Callable[[Any], object]) -> int:
    """Run what ends values by an epoch: whether it concerned any, nobody knows."""

    def body(client: Any) -> Answer:
        call(client)
        return _done(what, name)

    return with_client(connection, output, body)


@invalidate.command
def tag(
    tag: str,
    *,
    now: _Now = False,
    level: _Level = None,
    connection: KeyConnection = DEFAULT_KEYS,
    output: OutputOption = "table",
) -> int:
    """End every value of the namespace that was written with a tag."""
    return _epoch(
        "tag", tag, connection, output, lambda client: client.invalidate_tag(tag, strict=not now, level=level)
    )


@invalidate.command
def pattern(
    pattern: str,
    *,
    now: _Now = False,
    level: _Level = None,
    connection: KeyConnection = DEFAULT_KEYS,
    output: OutputOption = "table",
) -> int:
    """End every value of the namespace whose key matches: * any bytes, ? one, [a-z] one of a set."""
    return _epoch(
        "pattern",
        pattern,
        connection,
        output,
        lambda client: client.invalidate_pattern(pattern, strict=not now, level=level),
    )


def flush(
    *,
    now: _Now = False,
    level: _Level = None,
    connection: KeyConnection = DEFAULT_KEYS,
    output: OutputOption = "table",
) -> int:
    """End every value of a namespace, and of no other: of the default one, unless --namespace names it."""
    return _epoch(
        "namespace",
        connection.namespace,
        connection,
        output,
        lambda client: client.flush(strict=not now, level=level),
    )
