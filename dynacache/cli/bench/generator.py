"""The load generator's process: one job on standard input, one outcome on standard output.

What: ``python -m dynacache.cli.bench.generator`` reads a `Job`, draws and encodes every request, connects, runs the
closed or the open loop, and prints the `Outcome`. `run_job` does the same within this process.

Invariant: exit 0 with one line of JSON, or exit 1 with one sentence on standard error.

Why: see `job`. The collector is switched off for the run, which creates no cycles and lasts seconds.
"""

import contextlib
import gc
import sys

from dynacache.cli.bench.closed_loop import run_closed
from dynacache.cli.bench.connect import open_connections
from dynacache.cli.bench.dialects import DEPTH_LIMIT, dialect_of
from dynacache.cli.bench.job import Job, Outcome
from dynacache.cli.bench.open_loop import run_open
from dynacache.cli.bench.stream import requests_for
from dynacache.errors import DynacacheError

__all__ = ["main", "run_job"]


def run_job(job: Job) -> Outcome:
    """Run a job; raises OSError, ValueError or an error of the tree."""
    if not 1 <= job.depth <= DEPTH_LIMIT:
        raise ValueError(f"depth: got {job.depth}, expected a number between 1 and {DEPTH_LIMIT}")
    if job.connections < 1 or not job.targets:
        raise ValueError("expected at least one connection and one server")
    dialect = dialect_of(job)
    streams = requests_for(job)
    with contextlib.ExitStack() as stack:
        connections = open_connections(job, stack)
        run = run_open if job.rate else run_closed
        return run(job, connections, dialect, streams)


def main() -> int:
    """Read the job, run it, print the outcome; return the exit code."""
    gc.disable()
    try:
        outcome = run_job(Job.from_json(sys.stdin.read()))
    except (OSError, ValueError, DynacacheError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(outcome.to_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
