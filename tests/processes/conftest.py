"""Every test here starts real processes. What a test says aloud stands in the summary of the run, green or not."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes.nodes import Nodes, nodes_in

SAID: pytest.StashKey[list[str]] = pytest.StashKey()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """A place to start nodes from; none outlives the test."""
    with nodes_in(tmp_path) as made:
        yield made


@pytest.fixture
def say_aloud(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Says a sentence in the summary of the run."""
    said = request.config.stash.setdefault(SAID, [])
    return lambda text: said.append(f"{request.node.name}: {text}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what tests said aloud."""
    for text in config.stash.get(SAID, []):
        terminalreporter.write_line(f"SAID {text}")
