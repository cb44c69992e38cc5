"""Starting the generator: its outcome comes back, its words come back as an error."""

import attrs
import pytest

from dynacache.cli.bench.job import Job
from dynacache.cli.bench.launch import run_generator
from dynacache.cli.processes import StartFailed
from tests.cli.bench.fake_node import FakeNode

JOB = Job("dynacache", (("127.0.0.1", 1),), connections=1, key_count=100, timeout_s=1.0)


def test_the_outcome_comes_back() -> None:
    with FakeNode() as node:
        outcome = run_generator(attrs.evolve(JOB, targets=(("127.0.0.1", node.port),), sequence=True))
        assert (outcome.requests, len(node.values)) == (100, 100)


def test_its_words_come_back() -> None:
    with pytest.raises(StartFailed, match="ended early: ConnectionRefusedError"):
        run_generator(JOB)
