"""The operator's commands, as the command line declares them: options in, a call of what they do, an exit code.

What: the groups `cluster`, `repair`, `hints` and `handoff`, and `explain`; one function for each command, whose
parameters become options and whose docstring becomes help. What they do stands in `cluster`, `planning`, `changing`,
`tending` and `explaining`, which take a client and plain values.

Invariant: nothing is imported here that costs time before a command runs.

Exit codes: 0 done, 2 a command that cannot be carried out as it stands (nothing was changed), 4 not possible now or not
everybody was reached, 5 nobody knows whether the order arrived (give it again: twice is as good as once), 130
interrupted while watching (what was begun goes on).
"""

from typing import Annotated

from cyclopts import App, Parameter

from dynacache.cli.commands import DEFAULT_CONNECTION, DEFAULT_KEYS, OutputOption, with_client
from dynacache.cli.session import Connection, KeyConnection

__all__ = [
    "cluster",
    "drain",
    "explain",
    "handoff",
    "handoff_limit",
    "handoff_status",
    "hints",
    "hints_list",
    "join",
    "leave",
    "members",
    "owners",
    "plan",
    "remove",
    "repair",
    "repair_start",
    "repair_status",
    "status",
]

_Names = Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)]
_WaitOption = Annotated[bool, Parameter(negative=(), help="Watch until it is done; an interrupt leaves it going on.")]

cluster = App(name="cluster", help="Look at the cluster, and change who belongs to it.")
repair = App(name="repair", help="Compare the owners' copies now, or see how that stands.")
hints = App(name="hints", help="See what is kept for owners that are away.")
handoff = App(name="handoff", help="See and slow down what nodes take in from each other.")


@cluster.command
def status(*, connection: Connection = DEFAULT_CONNECTION, output: OutputOption = "table") -> int:
    """Show the members, what each tells of itself, and what goes on."""
    from dynacache.cli import cluster as looking

    return with_client(connection, output, lambda client: looking.status(client, connection.view))


@cluster.command
def members(*, connection: Connection = DEFAULT_CONNECTION, output: OutputOption = "table") -> int:
    """Show the member table as one node has it, with those who left or were removed."""
    from dynacache.cli import cluster as looking

    return with_client(connection, output, lambda client: looking.members(client, connection.view))


@cluster.command
def owners(key: str, *, connection: KeyConnection = DEFAULT_KEYS, output: OutputOption = "table") -> int:
    """Show which nodes hold a key."""
    from dynacache.cli import cluster as looking

    return with_client(connection, output, lambda client: looking.owners(client, key))


@cluster.command
def plan(
    *,
    join: _Names = (),
    leave: _Names = (),
    remove: _Names = (),
    zone: str = "",
    weight: int = 1,
    connection: Connection = DEFAULT_CONNECTION,
    output: OutputOption = "table",
) -> int:
    """Show what a change would move; nothing is changed.

    Parameters
    ----------
    join
        A node that would become an owner; repeatable.
    leave
        A member that would leave; repeatable.
    remove
        A dead member that would be removed; repeatable.
    zone
        Zone of a joining node that the cluster does not know yet.
    weight
        Weight of a joining node that the cluster does not know yet.
    """
    from dynacache.cli import planning

    wanted = planning.Wanted(join, leave, remove, zone, weight)
    wanted.changes()  # what is wrong with the options is told before anybody is asked
    return with_client(connection, output, lambda client: planning.plan(client, wanted, connection.view))


@cluster.command
def join(
    node: str,
    *,
    wait: _WaitOption = False,
    connection: Connection = DEFAULT_CONNECTION,
    output: OutputOption = "table",
) -> int:
    """Make a node that serves without a place an owner; its share of the data moves to it.

    Parameters
    ----------
    node
        Its name, as `cluster status` shows it.
    """
    from dynacache.cli import changing

    return with_client(connection, output, lambda client: changing.join(client, node, wait, connection.view))


@cluster.command
def leave(
    node: str,
    *,
    wait: _WaitOption = False,
    connection: Connection = DEFAULT_CONNECTION,
    output: OutputOption = "table",
) -> int:
    """Have a node hand its data over, give its place up, and end.

    Parameters
    ----------
    node
        Its name, as `cluster status` shows it.
    """
    from dynacache.cli import changing

    return with_client(connection, output, lambda client: changing.leave(client, node, wait, connection.view))


@cluster.command
def drain(
    node: str,
    *,
    undo: Annotated[bool, Parameter(negative=())] = False,
    wait: _WaitOption = False,
    connection: Connection = DEFAULT_CONNECTION,
    output: OutputOption = "table",
) -> int:
    """Have a node refuse clients and hand its hints over; it keeps its place and its data. A restart ends it.

    Parameters
    ----------
    node
        Its name, as `cluster status` shows it.
    undo
        Let it serve clients again.
    """
    from dynacache.cli import changing

    return with_client(connection, output, lambda client: changing.drain(client, node, undo, wait, connection.view))


@cluster.command
def remove(
    node: str,
    *,
    yes: Annotated[bool, Parameter(negative=())] = False,
    wait: _WaitOption = False,
    connection: Connection = DEFAULT_CONNECTION,
    output: OutputOption = "table",
) -> int:
    """Remove a dead member for good; what it owned is filled again elsewhere.

    Parameters
    ----------
    node
        Its name, as `cluster status` shows it. It must be dead or stopped.
    yes
        Do not ask.
    """
    from dynacache.cli import changing

    changing.confirm_removal(node, yes)
    return with_client(connection, output, lambda client: changing.remove(client, node, wait, connection.view))


@repair.command(name="start")
def repair_start(
    *,
    partition: Annotated[tuple[int, ...], Parameter(negative=(), show_default=False)] = (),
    wait: _WaitOption = False,
    connection: Connection = DEFAULT_CONNECTION,
    output: OutputOption = "table",
) -> int:
    """Have all members compare their copies now.

    Parameters
    ----------
    partition
        Only this partition; repeatable.
    """
    from dynacache.cli import tending

    return with_client(
        connection, output, lambda client: tending.repair_start(client, partition, wait, connection.view)
    )


@repair.command(name="status")
def repair_status(*, connection: Connection = DEFAULT_CONNECTION, output: OutputOption = "table") -> int:
    """Show how repair stands between each two owners."""
    from dynacache.cli import tending

    return with_client(connection, output, lambda client: tending.repair_status(client, connection.view))


@hints.command(name="list")
def hints_list(*, connection: Connection = DEFAULT_CONNECTION, output: OutputOption = "table") -> int:
    """Show who holds hints for whom, and how hints have ended so far."""
    from dynacache.cli import tending

    return with_client(connection, output, lambda client: tending.hints_list(client, connection.view))


@handoff.command(name="status")
def handoff_status(*, connection: Connection = DEFAULT_CONNECTION, output: OutputOption = "table") -> int:
    """Show which members are being filled, how far, and from whom."""
    from dynacache.cli import tending

    return with_client(connection, output, lambda client: tending.handoff_status(client, connection.view))


@handoff.command(name="limit")
def handoff_limit(
    bytes_per_s: str,
    *,
    node: _Names = (),
    connection: Connection = DEFAULT_CONNECTION,
    output: OutputOption = "table",
) -> int:
    """Hold transfers to a rate, until the node is started again.

    Parameters
    ----------
    bytes_per_s
        Bytes a second, or a size such as 8MiB.
    node
        Only this member; repeatable.
    """
    from dynacache.cli import tending
    from dynacache.cli.sizes import parse_size

    rate = parse_size(bytes_per_s, "handoff limit")
    return with_client(connection, output, lambda client: tending.handoff_limit(client, rate, node, connection.view))


def explain(key: str, *, connection: KeyConnection = DEFAULT_KEYS, output: OutputOption = "table") -> int:
    """Show what every member knows of a key: copies, clocks, expiry, hints, and why the last read missed."""
    from dynacache.cli import explaining

    return with_client(
        connection, output, lambda client: explaining.explain(client, key, connection.view, connection.namespace)
    )
