"""The generator's process: a job in, an outcome or one sentence out."""

import subprocess
import sys
from typing import Any

import attrs
import pytest

from dynacache.cli.bench.generator import run_job
from dynacache.cli.bench.job import Job, Outcome
from dynacache.cli.processes import child_environment
from tests.cli.bench.fake_node import FakeNode

JOB = Job("dynacache", (("127.0.0.1", 1),), connections=1, timeout_s=1.0)


def started(job: Job) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "dynacache.cli.bench.generator"]
    return subprocess.run(
        command, input=job.to_json(), capture_output=True, text=True, check=False, env=child_environment()
    )


def test_a_job_in_an_outcome_out() -> None:
    with FakeNode(secret="s") as node:
        job = attrs.evolve(JOB, targets=(("127.0.0.1", node.port),), secret="s", requests=50, warmup_s=0.0)
        ran = started(job)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert Outcome.from_json(ran.stdout).requests >= 50


def test_one_sentence_where_nobody_listens() -> None:
    ran = started(JOB)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.count("\n") == 1
    assert "refused" in ran.stderr


@pytest.mark.parametrize("changes", [{"depth": 0}, {"depth": 128}, {"connections": 0}, {"targets": ()}])
def test_nonsense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        run_job(attrs.evolve(JOB, **changes))
