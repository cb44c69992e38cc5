"""The command `explain`: why a seed failed, and what is kept of it.

What: runs a seed, shrinks what it shows, and prints the schedule that is left and the story of the key. With
``--store`` the reduced scenario is written as one JSON file (``regressions``), into the folder whose files a test
replays.

Invariant: exits as one seed does: 0 where nothing was violated, else 1. Where the file would go is settled before the
search begins, and an existing file is never written over.

Why no default folder in an installed package: a wheel has no tests, and a file somewhere in it is lost with the next
upgrade.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts

from dynacache.errors import InvalidOption

from .faults.schedule import to_json
from .regressions import Regression, dumps, file_name
from .run import draw_scenario
from .shrink import RUN_LIMIT, Shrunk, shrink
from .timeline import story

__all__ = ["Output", "explain", "folder_of", "register", "store_in"]

Output = Literal["table", "json"]

_CHECKOUT = Path(__file__).resolve().parent.parent
_STORE = cyclopts.Parameter(
    consume_multiple=(0, 1),
    negative=(),
    help="Keep what is left as a file in this folder; without a path, in tests/sim/regressions of a checkout.",
)


def register(app: cyclopts.App) -> None:
    """Add the command to the simulator's command line."""
    app.command(explain)


def explain(
    *,
    seed: Annotated[int, cyclopts.Parameter(help="A seed that was violated.")],
    limit: Annotated[int, cyclopts.Parameter(help="Runs that shrinking may take.")] = RUN_LIMIT,
    store: Annotated[tuple[Path, ...] | None, _STORE] = None,
    output: Output = "table",
) -> int:
    """Shrink a seed's violation, tell the story of the key, and keep what is left where ``--store`` says."""
    folder = None if store is None else folder_of(store)
    shrunk = shrink(draw_scenario(seed), limit=limit)
    if shrunk is None:
        _say("{}" if output == "json" else f"seed {seed} violates nothing")
        return 0
    evidence = shrunk.result.evidence
    assert evidence is not None, "shrinking keeps the evidence"
    told = story(evidence, shrunk.violation)
    schedule = to_json(shrunk.scenario.faults)
    stored = None if folder is None else str(store_in(folder, _kept(shrunk)))
    if output == "json":
        kept = [operation.number for operation in shrunk.scenario.operations]
        record = {"seed": seed, "runs": shrunk.runs, "faults": schedule, "operations": kept, "story": told}
        _say(json.dumps(record | {"stored": stored}))
    else:
        _say(told)
        _say(f"faults: {schedule}")
        _say(f"seed {seed}: {len(shrunk.scenario.operations)} operations left after {shrunk.runs} runs")
        if stored is not None:
            _say(f"stored: {stored}")
    return 1


def folder_of(given: tuple[Path, ...], checkout: Path = _CHECKOUT) -> Path:
    """Return the folder that ``--store`` names, or that of a checkout; raises InvalidOption where there is none."""
    if len(given) > 1:
        raise InvalidOption(f"--store: got {len(given)} folders, expected one")
    if not given and not (checkout / "tests/sim").is_dir():
        raise InvalidOption("--store: an installed package has no folder of regressions; name one: --store PATH")
    folder = given[0] if given else checkout / "tests/sim/regressions"
    if folder.exists() and not folder.is_dir():
        raise InvalidOption(f"--store: got {str(folder)!r}, which is a file, expected a folder")
    return folder


def store_in(folder: Path, regression: Regression) -> Path:
    """Write a regression into a folder, which is made if need be; returns its path. An existing file stays as it is,
    and the new one has a number behind its name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(regression)
    number = 1
    while path.exists():
        number += 1
        path = folder / f"{Path(file_name(regression)).stem}-{number}.json"
    path.write_text(dumps(regression), encoding="utf-8")
    return path


def _kept(shrunk: Shrunk) -> Regression:
    violation = shrunk.violation
    return Regression(violation.invariant, violation.text.splitlines()[0], "", shrunk.scenario)


def _say(text: Any) -> None:
    sys.stdout.write(f"{text}\n")
