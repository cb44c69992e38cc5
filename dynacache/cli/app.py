"""Commands and their options; nothing of what they do.

What: the cyclopts application. Each function here declares the options of one command and hands them to the module that
carries it out, which is imported only then. `run` parses, calls, and turns errors into one sentence and an exit code.

Invariant: nothing here imports Trio, the client or the node before a command needs it, so ``--help`` answers in well
under half a second; no error of the tree reaches the user as a traceback.

Why cyclopts: options are plain annotations, attrs classes flatten into options that several commands share, and a
mistake ends in one sentence.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from dynacache.cli.bench_options import BenchOptions
from dynacache.cli.commands import (
    DEFAULT_CONNECTION,
    OutputOption,
    delete,
    exists,
    fetch,
    get,
    increment,
    mget,
    set_command,
    touch,
    ttl,
    with_client,
)
from dynacache.cli.demo_options import DemoOptions
from dynacache.cli.invalidation_commands import flush, invalidate
from dynacache.cli.namespace_commands import namespaces
from dynacache.cli.observing_commands import hot, misses, scan, watch
from dynacache.cli.operating import cluster, explain, handoff, hints, repair
from dynacache.cli.output import tell_error
from dynacache.cli.session import Connection
from dynacache.errors import DynacacheError

__all__ = ["app", "bench", "demo", "ready", "run", "serve"]

_DEMO = DemoOptions()
_BENCH = BenchOptions()
_EXIT_USAGE = 2
_EXIT_INTERRUPTED = 130

app = App(name="dynacache", help="A distributed in-memory cache.", suppress_keyboard_interrupt=False)
for _group in (cluster, repair, hints, handoff, invalidate, namespaces):
    app.command(_group)
app.command(set_command, name="set")
# By name: the simulator is imported when it is asked for, from a wheel or from the checkout.
app.command("dynacache.simulator.cli:app", name="sim", help="Run simulated clusters under faults, and judge them.")
for _command in (get, delete, exists, ttl, touch, increment, mget, fetch, explain, flush, scan, watch, hot, misses):
    app.command(_command)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; return its exit code."""
    try:
        code = app(list(arguments), exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        print(f"dynacache: {' '.join(str(error).split())} (see --help)", file=sys.stderr)
        return _EXIT_USAGE
    except BrokenPipeError:
        return 1
    except (DynacacheError, OSError, ValueError) as error:
        return tell_error(error)
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    return code if isinstance(code, int) else 0


@app.command
def serve(
    *,
    founders: int | None = None,
    seed: Annotated[tuple[str, ...], Parameter(name="--seed", negative=(), show_default=False)] = (),
    host: str | None = None,
    port: int | None = None,
    advertise_host: str | None = None,
    join: Annotated[bool, Parameter(negative=())] = False,
    name: str | None = None,
    zone: str | None = None,
    weight: int | None = None,
    memory: str | None = None,
    secret: Annotated[str | None, Parameter(env_var="DYNACACHE_SECRET")] = None,
    secret_file: Annotated[Path | None, Parameter(env_var="DYNACACHE_SECRET_FILE")] = None,
    config: Path | None = None,
    setting: Annotated[tuple[str, ...], Parameter(name="--set", negative=(), show_default=False)] = (),
) -> int:
    """Run a node until it is told to stop (SIGTERM, Ctrl-C).

    Parameters
    ----------
    founders
        Found a cluster together with so many nodes, this one included (1: alone), unless a seed knows it already.
    seed
        host:port of a node that may know the cluster; repeat it for several.
    host
        Address to listen on. Any but loopback demands a cluster secret.
    port
        Port to listen on, TCP and UDP; 0 takes a free one.
    advertise_host
        Address that others are told.
    join
        Become an owner, where this node has no place yet; otherwise it waits for `dynacache cluster join`.
    name
        Stable name of the node; left out, host:port.
    zone
        Failure domain; copies go to different zones.
    weight
        Share of the keys relative to other nodes.
    memory
        Limit for the resident memory of the whole process, as the system counts it: bytes, or a size such as 512MiB.
    secret
        Cluster secret. Others on this machine can read it in the list of processes: prefer --secret-file.
    secret_file
        File whose first line is the cluster secret.
    config
        TOML file with the sections of the configuration.
    setting
        Any option, as section.option=value; repeatable.
    """
    from dynacache.cli import serving

    flags = serving.Flags(
        founders,
        seed,
        host,
        port,
        advertise_host,
        name,
        zone,
        weight,
        memory,
        secret,
        secret_file,
        config,
        setting,
        join,
    )
    return serving.serve(flags)


@app.command
def ready(
    *,
    complete: Annotated[bool, Parameter(negative=())] = False,
    connection: Connection = DEFAULT_CONNECTION,
    output: OutputOption = "table",
) -> int:
    """Exit 0 when the node knows the member table and serves, 4 when not.

    Parameters
    ----------
    complete
        Exit 0 only when none of its partitions is warming either.
    """
    from dynacache.cli import cluster as looking

    return with_client(connection, output, lambda client: looking.ready(client, connection.server[0], complete))


@app.command
def demo(*, options: DemoOptions = _DEMO) -> int:
    """Start a cluster, load it, kill a node, start it again, and judge every acknowledged write."""
    from dynacache.cli.demo import director

    return director.run(options)


@app.command
def bench(*, options: BenchOptions = _BENCH, output: OutputOption = "table") -> int:
    """Load a cluster and measure it, alone or side by side with Redis."""
    from dynacache.cli.bench import running

    return running.run(options, output)
