"""The command `planted`: every judge can see.

What: ``planted`` runs each planted bug's directed scenario and hunts it in random seeds, on all cores, and prints a
table; on the way it says on stderr what became of each bug.

Invariant: exit code 0 when every bug was caught by its own scenario (a bug that no seed showed is marked rare, not
failed), else 1. An interrupt ends the hunt and prints what was done.
"""

import json
import multiprocessing
import queue
import signal
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Literal

import attrs
import cyclopts
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .catalogue import BUGS, searched
from .hunting import Caught, Chunk, Hunts, Searched

__all__ = ["Output", "planted", "register"]

Output = Literal["table", "markdown", "json"]


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
    if seeds < 0:
        raise ValueError(f"--seeds: got {seeds}, expected 0 or more")
    hunts = Hunts([BUGS[name] for name in dict.fromkeys(only or BUGS)], first, seeds)
    whole = _hunt(hunts, jobs or multiprocessing.cpu_count(), quiet=output == "json")
    found = hunts.known()
    if output == "json":
        _say(json.dumps([attrs.asdict(caught) for caught in found]))
    elif output == "markdown":
        _print_markdown(found)
    else:
        _print_table(found)
    missed = sum(not caught.directed for caught in found)
    rare = sum(bool(caught.seeds) and caught.seed is None for caught in found)
    if output != "json":
        end = "" if whole else "; interrupted, this is what was done"
        _say(f"{len(found)} planted bugs: {len(found) - missed} caught as directed, {rare} rare in random seeds{end}")
    return 1 if missed else 0


def _hunt(hunts: Hunts, jobs: int, *, quiet: bool) -> bool:
    """Hunt all bugs and say what becomes of each; return whether it came to its end."""
    console, began_s, tried = Console(stderr=True), time.monotonic(), 0
    columns = (
        TextColumn("bugs"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[speed]}"),
    )
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("bugs", total=len(hunts.bugs), speed="")
        try:
            for ended in _ended(hunts.chunks(), jobs):
                tried += ended.tried
                caught = hunts.take(ended)
                speed = f"{tried / max(1e-9, time.monotonic() - began_s):.1f} seeds/s"
                bar.update(task, advance=caught is not None, speed=speed)
                if caught is not None and not quiet:
                    words = f"{time.monotonic() - began_s:7.0f} s  {caught.name} ({caught.invariant}): {caught.found}"
                    bar.console.print(words, highlight=False, markup=False, soft_wrap=True)
        except KeyboardInterrupt:
            return False
    return True


def _ended(chunks: Iterator[Chunk], jobs: int) -> Iterator[Searched]:
    """Do chunks in so many processes, taking the next only when one is free, so that what is known decides it."""
    if jobs == 1:
        yield from map(searched, chunks)
        return
    ended: queue.SimpleQueue[Searched | BaseException] = queue.SimpleQueue()
    with multiprocessing.get_context("spawn").Pool(jobs, initializer=_ignore_interrupts) as pool:
        running = 0
        while True:
            while running < jobs and (chunk := next(chunks, None)) is not None:
                pool.apply_async(searched, (chunk,), callback=ended.put, error_callback=ended.put)
                running += 1
            if not running:
                return
            result = ended.get()
            running -= 1
            if isinstance(result, BaseException):
                raise result
            yield result


def _ignore_interrupts() -> None:
    """The parent takes the interrupt; workers are ended with the pool."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _print_table(found: list[Caught]) -> None:
    table = Table("planted bug", "invariant", "directed", "random seeds")
    for caught in found:
        table.add_row(*caught.row)
    Console(width=_width()).print(table)


def _print_markdown(found: list[Caught]) -> None:
    _say("| planted bug | what is wrong | invariant | directed scenario | random seeds |\n|---|---|---|---|---|")
    for caught in found:
        name, *rest = caught.row
        _say(f"| {name} | {BUGS[name].description} | {' | '.join(rest)} |")


def _width() -> int | None:
    """A table that is not read on a terminal need not fit one."""
    return None if sys.stdout.isatty() else 120


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
