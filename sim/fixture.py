"""A pytest plug-in: the fixture ``simulated_cluster``, for tests of applications against whole clusters.

What: a test that takes ``simulated_cluster`` gets a ``SimulatedCluster`` (see ``cluster``). Name the plug-in in
``conftest.py`` (``pytest_plugins = ["dynacache.simulator.fixture"]``). ``@pytest.mark.simulated(nodes=5, ...)`` sets
options of the cluster, and ``seeds=(3, 17)`` the seeds that always run. ``--sim-seed K`` runs one seed, ``--sim-seeds
N`` the seeds 1 to N.

Invariant: the seed stands in the test's id, and a failure prints it with the command that repeats it and with the story
of what the test did; the same seed gives the same story.

Why a plug-in that is named and not found by itself: who does not simulate pays nothing and sees no options.
"""

import argparse
from collections.abc import Callable, Generator, Sequence
from typing import Any

import pytest

from .cluster import SimulatedCluster

__all__ = [
    "pytest_addoption",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_runtest_makereport",
    "simulated_cluster",
    "simulated_seed",
]

_MARK = "simulated"
_SEED_FIXTURE = "simulated_seed"
_STORY = pytest.StashKey[SimulatedCluster]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose seeds."""
    group = parser.getgroup("dynacache", "simulated clusters")
    group.addoption(
        "--sim-seed", type=_at_least(0), metavar="K", help="run tests with a simulated cluster under seed K"
    )
    group.addoption("--sim-seeds", type=_at_least(1), metavar="N", help="run each of them under the seeds 1 to N")


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known; refuse options that contradict each other."""
    if config.getoption("--sim-seed") is not None and config.getoption("--sim-seeds") is not None:
        raise pytest.UsageError("only one of --sim-seed and --sim-seeds can be given")
    line = f"{_MARK}(*, seeds=(1,), **options): options of the simulated cluster, and the seeds it runs under"
    config.addinivalue_line("markers", line)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each seed."""
    if _SEED_FIXTURE not in metafunc.fixturenames:
        return
    seeds = _seeds(metafunc)
    metafunc.parametrize(_SEED_FIXTURE, seeds, indirect=True, ids=[f"seed{seed}" for seed in seeds])


@pytest.fixture
def simulated_seed(request: pytest.FixtureRequest) -> int:
    """The seed of this run of the test."""
    seed: int = request.param
    return seed


@pytest.fixture
def simulated_cluster(request: pytest.FixtureRequest, simulated_seed: int) -> SimulatedCluster:
    """A cluster under virtual time that has just been born."""
    options = _options(request.node)
    options.pop("seeds", None)
    cluster = SimulatedCluster.start(simulated_seed, **options)
    request.node.stash[_STORY] = cluster
    return cluster


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the seed and the story of a test that failed."""
    report = yield
    callspec = getattr(item, "callspec", None)
    seed = callspec.params.get(_SEED_FIXTURE) if callspec is not None else None
    if report.failed and seed is not None:
        report.sections.append((f"simulated cluster, seed {seed}", "\n".join(_told(item, seed))))
    return report


def _told(item: pytest.Item, seed: int) -> Sequence[str]:
    cluster = item.stash.get(_STORY, None)
    story = [] if cluster is None else [f"{cluster.now_s:10.3f} virtual seconds at the end", *cluster.story]
    name = item.nodeid.partition("[")[0]
    return [f"again: pytest '{name}' --sim-seed {seed}", *story]


def _seeds(metafunc: pytest.Metafunc) -> Sequence[int]:
    """The seeds asked for: on the command line, else by the mark, else 1."""
    one, many = metafunc.config.getoption("--sim-seed"), metafunc.config.getoption("--sim-seeds")
    if one is not None:
        return (one,)
    if many is not None:
        return range(1, many + 1)
    seeds: Sequence[Any] = _options(metafunc.definition).get("seeds", (1,))
    if not seeds or not all(isinstance(seed, int) and seed >= 0 for seed in seeds):
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: got seeds={seeds!r}, expected whole numbers, 0 or more")
    return seeds


def _options(node: Any) -> dict[str, Any]:
    """What the marks of a test say; the nearest one decides."""
    options: dict[str, Any] = {}
    for mark in reversed(list(node.iter_markers(_MARK))):
        if mark.args:
            raise pytest.UsageError(f"{node.nodeid}: mark {_MARK} takes its options by name, got {mark.args!r}")
        options |= mark.kwargs
    return options


def _at_least(minimum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number, {minimum} or more")
        return int(text)

    return parse
