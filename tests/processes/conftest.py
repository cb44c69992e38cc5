"""Every test here starts real processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.nodes import Nodes, nodes_in


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """A place to start nodes from; none outlives the test."""
    with nodes_in(tmp_path) as made:
        yield made
