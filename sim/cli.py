"""The simulator's commands: `python -m sim` and `dynacache sim` are the same.

What: without a command one seed is run (``--seed``); ``run`` runs many. Every option of ``sim.options`` can be fixed by
``--set name=value``, and the common ones by flags of their own.

Invariant: the last line of one seed is ``seed K trace HEX held|violated|unknown``; exit codes are 0 held, 1 violated, 2
unknown. With ``--output json`` one object is printed and nothing else.

Why the world of terminals is only here: a run itself is pure.
"""

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import attrs
import cyclopts
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dynacache.errors import DynacacheError, InvalidOption

from .coverage import SEEDS_ENOUGH, unreached
from .explain import register as register_explain
from .faults.schedule import to_json
from .many import Summary, Tally, run_many
from .options import Options
from .planted.command import register as register_planted
from .ring.command import register as register_model
from .run import Result, draw_scenario, run
from .speed import register as register_speed
from .studies import register

__all__ = ["Fixed", "Output", "app", "main", "many", "one"]

Output = Literal["table", "json"]
_EXIT = {"held": 0, "violated": 1, "unknown": 2}
_EXIT_USAGE = 2
"""Nothing was judged, as with an unknown verdict."""
_SHOWN_LIMIT = 20

app = cyclopts.App(
    name="sim",
    help="Whole clusters of the real node core under virtual time, with faults, judged from outside.",
    version_flags=[],
)
register(app)
register_planted(app)
register_model(app)
register_explain(app)
register_speed(app)


@cyclopts.Parameter(name="*")
@attrs.frozen
class Fixed:
    """Options that are fixed instead of drawn from the seed."""

    nodes: Annotated[int | None, cyclopts.Parameter(help="Founders, 3 to 9.")] = None
    duration_s: Annotated[float | None, cyclopts.Parameter(help="Virtual seconds of workload and faults.")] = None
    operations_per_s: Annotated[float | None, cyclopts.Parameter(help="Operations a virtual second.")] = None
    replication_factor: Annotated[int | None, cyclopts.Parameter(help="Copies of each key.")] = None
    write_level: Annotated[int | None, cyclopts.Parameter(help="1 one, 2 quorum, 3 strict quorum, 4 all.")] = None
    read_level: Annotated[int | None, cyclopts.Parameter(help="As the write level.")] = None
    faults: Annotated[bool, cyclopts.Parameter(help="--no-faults: fair weather.")] = True
    set: Annotated[tuple[str, ...], cyclopts.Parameter(help="name=value, for any other option of a run.")] = ()

    def values(self) -> dict[str, Any]:
        """Return what is fixed, by name; raises InvalidOption for a name or value that is none."""
        given = {"nodes", "duration_s", "operations_per_s", "replication_factor", "write_level", "read_level"}
        values = {name: getattr(self, name) for name in sorted(given) if getattr(self, name) is not None}
        if not self.faults:
            values |= {"fault_kinds": (), "loss_rate": 0.0, "duplicate_rate": 0.0, "reorder_rate": 0.0}
        for text in self.set:
            name, _, value = text.partition("=")
            values[name] = _parsed(name, value)
        return values


def _parsed(name: str, text: str) -> Any:
    """Read a value as the option's type."""
    default = {field.name: field.default for field in attrs.fields(Options)}
    if name not in default:
        raise InvalidOption(f"--set: got {name!r}, expected one of {', '.join(default)}")
    kind: Any = type(default[name])
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind is tuple:
            return tuple(part for part in text.split(",") if part)
        return kind(text)
    except (KeyError, ValueError) as error:
        raise InvalidOption(f"--set {name}: got {text!r}, expected a {kind.__name__}") from error


@app.default
def one(
    *,
    seed: Annotated[int, cyclopts.Parameter(help="Decides everything.")],
    output: Output = "table",
    faults_shown: Annotated[bool, cyclopts.Parameter(name="--schedule", help="Print the schedule of faults.")] = False,
    fixed: Fixed | None = None,
) -> int:
    """Run one seed."""
    values = (fixed or Fixed()).values()
    if faults_shown:
        _say(to_json(draw_scenario(seed, **values).faults))
    result = run(seed, **values)
    if output == "json":
        _say(json.dumps(_as_map(result), sort_keys=True))
    else:
        _tell(result)
        _say(result.line)
    return _EXIT[result.verdict]


@app.command(name="run")
def many(
    *,
    seeds: Annotated[int, cyclopts.Parameter(help="How many.")],
    first: Annotated[int, cyclopts.Parameter(help="The first of them.")] = 1,
    jobs: Annotated[int, cyclopts.Parameter(help="Processes; 0 is one for each core.")] = 0,
    output: Output = "table",
    coverage: Annotated[bool, cyclopts.Parameter(help="Print how often each rare branch was reached.")] = False,
    fixed: Fixed | None = None,
) -> int:
    """Run many seeds; one summary line at the end. With 300 or more, no option fixed, all that is rare must occur."""
    values = (fixed or Fixed()).values()
    count = jobs or _cores()
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        console=console,
        disable=output == "json" or not console.is_terminal,
    ) as bar:
        task = bar.add_task("seeds", total=seeds, speed="")

        def progress(tally: Tally, summary: Summary) -> None:
            speed = f"{tally.seeds / tally.real_s:.1f} seeds/s {tally.virtual_s / tally.real_s:.0f} virtual s/s"
            bar.update(task, advance=1, speed=speed)
            if summary.verdict != "held" and output == "table" and len(tally.failures) <= _SHOWN_LIMIT:
                bar.console.print(_failure_line(summary), highlight=False, markup=False)

        tally = run_many(first, seeds, count, values, progress)
    if output == "json":
        _say(json.dumps(_tally_map(tally), sort_keys=True))
    else:
        if coverage:
            for name in sorted(tally.coverage):
                _say(f"{tally.coverage[name]:10d}  {name}")
        _say(tally.line)
    missing = unreached(tally.coverage) if tally.seeds >= SEEDS_ENOUGH and not values else []
    for name in missing:
        sys.stderr.write(f"never reached: {name}\n")
    return 1 if tally.verdicts["violated"] or missing else 2 if tally.verdicts["unknown"] else 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code; a mistake in it is one sentence and code 2."""
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except (cyclopts.CycloptsError, DynacacheError, ValueError) as error:
        sys.stderr.write(f"sim: {' '.join(str(error).split())} (see --help)\n")
        code = _EXIT_USAGE
    except KeyboardInterrupt:
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _tell(result: Result) -> None:
    """Print what a person wants to know before the last line."""
    for violation in result.violations[:_SHOWN_LIMIT]:
        key = "" if violation.key is None else f" {violation.key!r}"
        _say(f"{violation.invariant}{key}: {violation.text}")
    if len(result.violations) > _SHOWN_LIMIT:
        _say(f"... and {len(result.violations) - _SHOWN_LIMIT} more")
    if result.reason:
        _say(f"reason: {result.reason}")
    _say(f"{result.operations} operations, {result.events} events, {result.virtual_s:.1f} virtual s")


def _failure_line(summary: Summary) -> str:
    first = f" {summary.violations[0][0]}: {summary.violations[0][1]}"[:200] if summary.violations else ""
    return f"seed {summary.seed} {summary.verdict}{first or ' ' + summary.reason}"


def _as_map(result: Result) -> dict[str, Any]:
    violations = [
        {"invariant": each.invariant, "key": repr(each.key), "text": each.text, "sequences": list(each.sequences)}
        for each in result.violations
    ]
    return {
        "seed": result.seed,
        "verdict": result.verdict,
        "trace": result.trace_hash,
        "violations": violations,
        "coverage": result.coverage,
        "virtual_s": result.virtual_s,
        "operations": result.operations,
        "reason": result.reason,
    }


def _tally_map(tally: Tally) -> dict[str, Any]:
    return {
        "seeds": tally.seeds,
        "verdicts": dict(tally.verdicts),
        "virtual_s": tally.virtual_s,
        "real_s": tally.real_s,
        "operations": tally.operations,
        "coverage": dict(tally.coverage),
        "failures": [attrs.asdict(each) for each in tally.failures],
    }


def _cores() -> int:
    from multiprocessing import cpu_count

    return cpu_count()
