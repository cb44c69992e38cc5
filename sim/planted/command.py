"""The command `planted`: every judge can see.

What: ``planted`` runs each planted bug's directed scenario and hunts it in random seeds, on all cores, and prints a
table.

Invariant: exit code 0 when every bug was caught by its own scenario (a bug that no seed showed is marked, not failed),
else 1.
"""

import json
import multiprocessing
import sys
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import attrs
import cyclopts
from rich.console import Console
from rich.progress import track
from rich.table import Table

from .catalogue import BUGS, Caught, hunt

__all__ = ["Output", "planted", "register"]

Output = Literal["table", "json"]


def register(app: cyclopts.App) -> None:
    """Add the command to the simulator's command line."""
    app.command(planted)


def planted(
    *,
    seeds: Annotated[int, cyclopts.Parameter(help="Random seeds to hunt each bug in, at most; 0: none.")] = 200,
    first: Annotated[int, cyclopts.Parameter(help="The first seed.")] = 1,
    only: Annotated[tuple[str, ...], cyclopts.Parameter(help="Names of bugs; all by default.")] = (),
    jobs: Annotated[int, cyclopts.Parameter(help="Processes; 0 is one for each core.")] = 0,
    output: Output = "table",
) -> int:
    """Switch on every planted bug in turn, and tell how many seeds it took to catch it."""
    unknown = [name for name in only if name not in BUGS]
    if unknown:
        raise ValueError(f"--only: got {unknown[0]!r}, expected one of {', '.join(BUGS)}")
    work = [(name, first, seeds) for name in only or BUGS]
    quiet = output == "json" or not sys.stderr.isatty()
    found = list(track(_hunted(work, jobs), "bugs", total=len(work), console=Console(stderr=True), disable=quiet))
    if output == "json":
        _say(json.dumps([attrs.asdict(caught) for caught in found]))
    else:
        _print_table(found)
    missed = sum(not caught.directed for caught in found)
    rare = sum(bool(caught.seeds) and caught.seed is None for caught in found)
    if output == "table":
        _say(f"{len(found)} planted bugs: {len(found) - missed} caught as directed, {rare} rare in random seeds")
    return 1 if missed else 0


def _hunted(work: list[tuple[str, int, int]], jobs: int) -> Iterator[Caught]:
    count = jobs or multiprocessing.cpu_count()
    if count == 1:
        yield from map(_hunt_one, work)
        return
    with multiprocessing.get_context("spawn").Pool(count) as pool:
        yield from pool.imap(_hunt_one, work)


def _hunt_one(work: tuple[str, int, int]) -> Caught:
    name, first, limit = work
    return hunt(BUGS[name], first, limit)


def _print_table(found: list[Caught]) -> None:
    table = Table("planted bug", "invariant", "directed", "random seeds")
    for caught in found:
        table.add_row(*caught.row)
    Console(width=_width()).print(table)


def _width() -> int | None:
    """A table that is not read on a terminal need not fit one."""
    return None if sys.stdout.isatty() else 120


def _say(text: Any) -> None:
    sys.stdout.write(f"{text}\n")
