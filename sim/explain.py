"""The command `explain`: why a seed failed.

What: runs a seed, shrinks what it shows, and prints the schedule that is left and the story of the key.

Invariant: exits as one seed does: 0 where nothing was violated, else 1.
"""

import json
import sys
from typing import Annotated, Any, Literal

import cyclopts

from .faults.schedule import to_json
from .run import draw_scenario
from .shrink import RUN_LIMIT, shrink
from .timeline import story

__all__ = ["Output", "explain", "register"]

Output = Literal["table", "json"]


def register(app: cyclopts.App) -> None:
    """Add the command to the simulator's command line."""
    app.command(explain)


def explain(
    *,
    seed: Annotated[int, cyclopts.Parameter(help="A seed that was violated.")],
    limit: Annotated[int, cyclopts.Parameter(help="Runs that shrinking may take.")] = RUN_LIMIT,
    output: Output = "table",
) -> int:
    """Shrink a seed's violation, and tell the story of the key."""
    shrunk = shrink(draw_scenario(seed), limit=limit)
    if shrunk is None:
        _say("{}" if output == "json" else f"seed {seed} violates nothing")
        return 0
    evidence = shrunk.result.evidence
    assert evidence is not None, "shrinking keeps the evidence"
    told = story(evidence, shrunk.violation)
    schedule = to_json(shrunk.scenario.faults)
    if output == "json":
        kept = [operation.number for operation in shrunk.scenario.operations]
        _say(json.dumps({"seed": seed, "runs": shrunk.runs, "faults": schedule, "operations": kept, "story": told}))
    else:
        _say(told)
        _say(f"faults: {schedule}")
        _say(f"seed {seed}: {len(shrunk.scenario.operations)} operations left after {shrunk.runs} runs")
    return 1


def _say(text: Any) -> None:
    sys.stdout.write(f"{text}\n")
