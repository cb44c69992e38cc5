"""The command `model`: run the ring model many times, with its rules or with one of them left out.

What: one row for each choice of rules: runs, quorum reads, and the runs with a read that missed an acknowledged write,
with a loss, or with a change that never ended; ``--output json`` prints the same as one object.

Invariant: exit code 0 where the rules held in every run and each mutation asked for was caught in some run, else 1.

Why a command: whoever changes a rule of ring changes runs this first, with all mutations, before writing any code.
"""

import json
import sys
import time
from typing import Annotated, Any, Literal

import attrs
import cyclopts
from cyclopts import Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from dynacache.errors import InvalidOption

from .model import MUTATIONS, run

__all__ = ["Figures", "measure", "model", "register"]

_EVERY = "all"
_WIDTH = 120


@attrs.define
class Figures:
    """What many runs with one choice of rules showed."""

    mutation: str
    runs: int = 0
    writes: int = 0
    """Writes that were acknowledged."""
    reads: int = 0
    stale: int = 0
    """Runs with a read that missed what was acknowledged before it began."""
    lost: int = 0
    unfinished: int = 0
    first_seed: int | None = None
    """The first seed that showed any of these."""
    seconds: float = 0.0

    @property
    def found(self) -> bool:
        """Whether anything was wrong in any run."""
        return bool(self.stale or self.lost or self.unfinished)

    def add(self, seed: int, mutation: str) -> None:
        """Run one seed more."""
        outcome = run(seed, mutation)
        self.runs += 1
        self.writes += outcome.acknowledged
        self.reads += outcome.reads
        self.stale += outcome.stale_reads > 0
        self.lost += outcome.lost
        self.unfinished += outcome.unfinished
        if self.found and self.first_seed is None:
            self.first_seed = seed


def register(app: cyclopts.App) -> None:
    """Add the command to an application."""
    app.command(model)


def measure(mutation: str, runs: int, first: int = 1, *, until_found: bool = False) -> Figures:
    """Return what ``runs`` seeds from ``first`` on show; ``until_found`` ends with the first that shows anything."""
    figures = Figures(mutation)
    began_s = time.perf_counter()
    for seed in range(first, first + runs):
        figures.add(seed, mutation)
        if until_found and figures.found:
            break
    figures.seconds = round(time.perf_counter() - began_s, 1)
    return figures


def model(
    *,
    runs: Annotated[int, Parameter(help="Seeds with all rules.")] = 1_000,
    first: Annotated[int, Parameter(help="The first seed.")] = 1,
    mutation: Annotated[
        tuple[str, ...], Parameter(help="A rule to leave out, until a run shows it; `all` for each in turn.")
    ] = (),
    output: Literal["table", "json"] = "table",
) -> int:
    """Model-check ring changes: joins, leaves and removals under crashes and cuts."""
    unknown = [name for name in mutation if name not in (*MUTATIONS, _EVERY)]
    if unknown:
        raise InvalidOption(f"--mutation: got {unknown[0]!r}, expected {_EVERY} or one of {', '.join(MUTATIONS)}")
    names = MUTATIONS if _EVERY in mutation else mutation
    rules = measure("", runs, first)
    left_out = [measure(name, runs, first, until_found=True) for name in names]
    if output == "json":
        sys.stdout.write(json.dumps([attrs.asdict(each) for each in (rules, *left_out)]) + "\n")
    else:
        Console(width=_WIDTH).print(_table([rules, *left_out]))
    return int(rules.found or not all(each.found for each in left_out))


def _table(rows: list[Figures]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("rule left out")
    for name in ("runs", "writes", "quorum reads", "stale", "lost", "unfinished", "first seed", "seconds"):
        table.add_column(name, justify="right")
    for row in rows:
        figures: tuple[Any, ...] = (row.runs, row.writes, row.reads, row.stale, row.lost, row.unfinished)
        first = "" if row.first_seed is None else str(row.first_seed)
        table.add_row(row.mutation or "none", *(f"{each:,}" for each in figures), first, f"{row.seconds:.1f}")
    return table
