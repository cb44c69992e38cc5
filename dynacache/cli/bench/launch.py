"""Run a job in the load generator's own process.

What: `run_generator` starts ``python -m dynacache.cli.bench.generator``, hands it the job on standard input (so that a
secret stays out of the list of processes) and returns its outcome.

Invariant: the generator never outlives the call.

Why a fresh process for each round: no round inherits another's sockets, heap or collector state.
"""

import subprocess
import sys

from dynacache.cli.bench.job import Job, Outcome
from dynacache.cli.processes import StartFailed, child_environment

__all__ = ["run_generator"]

_GRACE_S = 60.0
"""Time for drawing, encoding and connecting, on top of what the job itself takes."""


def run_generator(job: Job) -> Outcome:
    """Run a job to its end; raises StartFailed with the generator's own words."""
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "dynacache.cli.bench.generator"],
            input=job.to_json(),
            capture_output=True,
            text=True,
            check=False,
            timeout=None if job.requests else _GRACE_S + job.warmup_s + job.seconds + 3 * job.timeout_s,
            env=child_environment(),
        )
    except subprocess.TimeoutExpired as error:
        raise StartFailed(f"the load generator did not end within {error.timeout:g} s") from error
    if ended.returncode:
        raise StartFailed(f"the load generator ended early: {ended.stderr.strip()[-500:]}")
    return Outcome.from_json(ended.stdout)
